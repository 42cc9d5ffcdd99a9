//! The objects that a user applies once: the filter, the way to the control plane, and the routes of each service.
//!
//! Releases change none of them. They change when versions or environments are declared or a key is rotated, and may change
//! when another version is stable: the route without token is that of the declared stable version.

mod extension;
mod service;
#[cfg(test)]
pub(super) mod tests;

use std::str::FromStr;

use serde::Serialize;
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::names::{FleetName, ServiceName, VersionName};
use tidegate_xds::mesh::IstioMesh;

pub(super) use self::extension::{NAME, report_upstream, service_namespace};
pub(super) use self::service::{Route, ServiceRoutes, service_routes};
use super::objects::Object;
use super::tokens::Keys;

/// Where the module and objects for many namespaces are: Istio's root namespace by default.
pub(in crate::istio) const ROOT_NAMESPACE: &str = "istio-system";

/// What to print.
#[derive(Debug, Clone)]
pub struct Options {
    /// The filter and what it needs; `None`: the routes of services only.
    pub filter: Option<FilterOptions>,
    /// The kind of the routes.
    pub routes: RouteKind,
    /// Gateways whose requests are routed, beside those in the mesh: `NAMESPACE/NAME`.
    pub gateways: Vec<String>,
    /// Remove Tidegate's headers from requests before routes are matched.
    pub strip: bool,
}

/// How the filter is installed.
#[derive(Debug, Clone)]
pub struct FilterOptions {
    /// The module.
    pub image: ImageUrl,
    /// A secret of type `kubernetes.io/dockerconfigjson` in the namespace of the object.
    pub pull_secret: Option<String>,
    /// The kind of the object.
    pub extension: ExtensionKind,
    /// What proxies do without the module.
    pub fail_strategy: FailStrategy,
    /// Waypoints, each of which needs an object of its own.
    pub waypoints: Vec<Waypoint>,
    /// The ports of the control plane.
    pub ports: ControlPlanePorts,
}

/// The ports on which the control plane listens.
#[derive(Debug, Clone, Copy)]
pub struct ControlPlanePorts {
    /// xDS and reports.
    pub xds: u16,
    /// REST and metrics.
    pub api: u16,
}

/// The kind of the object that installs the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtensionKind {
    /// Every supported Istio.
    WasmPlugin,
    /// Istio 1.30 and newer.
    TrafficExtension,
}

/// The kind of the objects that route to versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    /// VirtualService and DestinationRule.
    VirtualService,
    /// HTTPRoute of the Gateway API, with Services as parents.
    HttpRoute,
}

/// What proxies do when the module cannot be fetched or has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailStrategy {
    /// Requests pass without it, to stable.
    Open,
    /// The module is loaded again; until then requests fail with 503. If it cannot be fetched, with 403.
    Reload,
    /// Requests fail.
    Close,
}

impl FailStrategy {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "FAIL_OPEN",
            Self::Reload => "FAIL_RELOAD",
            Self::Close => "FAIL_CLOSE",
        }
    }
}

/// An image of the module, pinned by the digest of its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUrl(String);

/// A waypoint of an ambient mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waypoint {
    namespace: String,
    name: String,
}

/// Why nothing is printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not an image, or one whose content may change.
    #[error(
        "`{0}` is not an image with a digest; write oci://REGISTRY/REPOSITORY@sha256:DIGEST as `tidegate envoy image` prints it"
    )]
    Image(String),
    /// Not a waypoint.
    #[error("`{0}` is not a waypoint; write [NAMESPACE/]NAME")]
    Waypoint(String),
    /// A subset, which the Gateway API does not have.
    #[error(
        "version `{version}` of service `{service}` is a subset, and an HTTPRoute has none; \
         give the version a Service of its own, `istio: {{host: …}}`, or print VirtualServices"
    )]
    SubsetInHttpRoute {
        /// The service.
        service: ServiceName,
        /// The version or environment.
        version: String,
    },
    /// A host without namespace, which no HTTPRoute refers to.
    #[error(
        "`{host}` of service `{service}` is not the host of a Kubernetes Service, which an HTTPRoute needs; print VirtualServices"
    )]
    NotAService {
        /// The service.
        service: ServiceName,
        /// The host.
        host: String,
    },
    /// Too many rules.
    #[error(
        "service `{service}` has {versions} versions, and an HTTPRoute has at most {max} rules; print VirtualServices",
        max = service::MAX_HTTP_ROUTE_RULES
    )]
    TooManyRules {
        /// The service.
        service: ServiceName,
        /// The number of its versions.
        versions: usize,
    },
    /// A service without its stable version.
    #[error("service `{service}` has no target in Istio for its version `{version}`")]
    NoTarget {
        /// The service.
        service: ServiceName,
        /// The version.
        version: VersionName,
    },
}

impl FromStr for ImageUrl {
    type Err = ManifestError;

    fn from_str(text: &str) -> Result<Self, ManifestError> {
        let error = || ManifestError::Image(text.to_owned());
        let reference = text.strip_prefix("oci://").ok_or_else(error)?;
        let (name, digest) = reference.split_once("@sha256:").ok_or_else(error)?;
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let named = name.contains('/') && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !named || digest.len() != 64 || !digest.bytes().all(hex) {
            return Err(error());
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for Waypoint {
    type Err = ManifestError;

    fn from_str(text: &str) -> Result<Self, ManifestError> {
        let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
        let label = |text: &str| {
            let inner =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            (1..=63).contains(&text.len()) && text.bytes().all(inner)
        };
        if !label(namespace) || !label(name) {
            return Err(ManifestError::Waypoint(text.to_owned()));
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

/// The objects of a fleet of an Istio mesh, as YAML.
#[derive(Debug)]
pub struct Manifests(Vec<Manifest>);

/// An object, and what its reader should know.
#[derive(Debug)]
struct Manifest {
    comment: Vec<String>,
    object: Object,
}

impl Manifest {
    fn new(comment: &[&str], object: impl Into<Object>) -> Self {
        let comment = comment.iter().map(|line| (*line).to_owned()).collect();
        Self { comment, object: object.into() }
    }
}

/// Builds the objects of these services, in a fleet of an Istio mesh.
///
/// # Errors
/// When a service has no such objects.
pub fn build(
    fleet: &FleetName,
    mesh: &IstioMesh,
    services: &[&ServiceSpec],
    keys: &Keys,
    options: &Options,
) -> Result<Manifests, ManifestError> {
    let mut all = Vec::new();
    if let Some(filter) = &options.filter {
        all.extend(extension::manifests(fleet, mesh, filter));
    }
    if options.strip {
        all.push(extension::strip());
    }
    for service in services {
        all.extend(service::manifests(service, keys, options)?);
    }
    Ok(Manifests(all))
}

impl Manifests {
    /// The documents, each after its comments.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let documents = self.0.iter().map(Manifest::to_yaml);
        documents.collect::<Vec<_>>().join("---\n")
    }
}

impl Manifest {
    fn to_yaml(&self) -> String {
        let comment: String = self.comment.iter().map(|line| format!("# {line}\n")).collect();
        comment + &yaml(&self.object)
    }
}

fn yaml(object: &impl Serialize) -> String {
    // A URL is one line.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    #[expect(clippy::expect_used, reason = "all keys are strings, and no field fails to serialise")]
    serde_saphyr::to_string_with_options(object, options).expect("an object is YAML")
}
