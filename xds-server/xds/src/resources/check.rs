//! Checks of what a state would publish. The filter's configurations are compiled with the filter's own compiler, and the
//! resources decoded with Envoy's types, so a state that passes is not rejected by a sidecar.

use std::collections::BTreeSet;
use std::fmt;

use prost::{DecodeError, Message};
use tidegate_core::flags::{FlagError, FlagSet};
use tidegate_core::routing::{Router, RouterError};
use tidegate_proto::envoy::envoy::config::cluster::v3::Cluster;
use tidegate_proto::envoy::envoy::config::core::v3::TypedExtensionConfig;
use tidegate_proto::envoy::envoy::config::endpoint::v3::ClusterLoadAssignment;
use tidegate_proto::envoy::envoy::config::listener::v3::Listener;
use tidegate_proto::envoy::envoy::config::route::v3::RouteConfiguration;

use super::{FleetSnapshot, Resource, ResourceRef, SnapshotCache, extension, istio, names};
use crate::kind::Kind;
use crate::mesh::{ControlPlane, Fleet, Mesh};
use tidegate_delivery::model::catalogue::VersionSpec;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{FleetName, ServiceName, VersionName};

/// A resource that sidecars would reject, or never apply.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidResource {
    /// All flags together do not compile.
    #[error("flags: {0}")]
    Flags(FlagError),
    /// The filter does not compile its configuration.
    #[error("fleet `{fleet}`: the filter would reject its configuration: {error}")]
    Filter {
        /// The fleet.
        fleet: FleetName,
        /// The filter's error.
        error: RouterError,
    },
    /// Two resources of one name.
    #[error("fleet `{fleet}`: two resources of type {kind} are named `{name}`")]
    DuplicateName {
        /// The fleet.
        fleet: FleetName,
        /// The resource type.
        kind: Kind,
        /// The name.
        name: String,
    },
    /// A domain of two virtual hosts.
    #[error("fleet `{fleet}`: the routes `{routes}` contain the host `{domain}` twice")]
    DuplicateDomain {
        /// The fleet.
        fleet: FleetName,
        /// The route configuration.
        routes: String,
        /// The domain.
        domain: String,
    },
    /// A virtual host without domains.
    #[error("fleet `{fleet}`: service `{service}` has no hosts")]
    NoDomains {
        /// The fleet.
        fleet: FleetName,
        /// The service.
        service: String,
    },
    /// A version without endpoints, whose cluster would answer no request.
    #[error("fleet `{fleet}`: version `{version}` of service `{service}` has no endpoints")]
    NoEndpoints {
        /// The fleet.
        fleet: FleetName,
        /// The service.
        service: ServiceName,
        /// The version.
        version: VersionName,
    },
    /// A service or a version that Istio cannot route to.
    #[error(
        "fleet `{fleet}` is one of an Istio mesh, and {} of service `{service}` has no `istio`",
        version.as_ref().map_or("the declaration".to_owned(), |version| format!("version `{version}`"))
    )]
    NotInIstio {
        /// The fleet.
        fleet: FleetName,
        /// The service.
        service: ServiceName,
        /// The version, if the service has a host in Istio.
        version: Option<VersionName>,
    },
    /// A reference to a resource that does not exist. Its owner would never be sent.
    #[error(
        "fleet `{fleet}`: {kind} `{name}` refers to {} `{}`, which does not exist",
        reference.kind, reference.name
    )]
    DanglingReference {
        /// The fleet.
        fleet: FleetName,
        /// The type of the owner.
        kind: Kind,
        /// The name of the owner.
        name: String,
        /// The missing resource.
        reference: ResourceRef,
    },
    /// The bytes are not a message of the type.
    #[error("fleet `{fleet}`: {kind} `{name}` is malformed: {error}")]
    Malformed {
        /// The fleet.
        fleet: FleetName,
        /// The resource type.
        kind: Kind,
        /// The name.
        name: String,
        /// The error.
        error: DecodeError,
    },
}

impl InvalidResource {
    /// What to change.
    #[must_use]
    pub const fn fix(&self) -> &'static str {
        match self {
            Self::Flags(_) => "correct this flag, or remove it",
            Self::Filter { error, .. } => error.fix(),
            Self::DuplicateName { .. } => "rename the fleet or the listener",
            Self::DuplicateDomain { .. } => "remove the host from one of the two services",
            Self::NoDomains { .. } => "list at least one, such as [\"order.local\"]",
            Self::NoEndpoints { .. } => {
                "list at least one host:port: Tidegate sends the clusters of this fleet"
            }
            Self::NotInIstio { version: None, .. } => {
                "add `istio: {host: …, port: …}` to the service, or list the `services` of the fleet"
            }
            Self::NotInIstio { version: Some(_), .. } => {
                "register it again with `istio: {subset: …}` or `istio: {host: …}`"
            }
            Self::DanglingReference { .. } | Self::Malformed { .. } => {
                "this is an error of Tidegate; report it with the configuration"
            }
        }
    }

    /// The fleet that would not accept the resource; `None` if it concerns no single fleet.
    #[must_use]
    pub const fn fleet(&self) -> Option<&FleetName> {
        match self {
            Self::Flags(_) => None,
            Self::Filter { fleet, .. }
            | Self::DuplicateName { fleet, .. }
            | Self::DuplicateDomain { fleet, .. }
            | Self::NoDomains { fleet, .. }
            | Self::NoEndpoints { fleet, .. }
            | Self::NotInIstio { fleet, .. }
            | Self::DanglingReference { fleet, .. }
            | Self::Malformed { fleet, .. } => Some(fleet),
        }
    }

    /// The service with the invalid value, if it is a value of one service.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::Filter { error, .. } => error.service(),
            Self::NoDomains { service, .. } => Some(service),
            Self::NoEndpoints { service, .. } | Self::NotInIstio { service, .. } => {
                Some(service.as_str())
            }
            _ => None,
        }
    }

    /// Whether the invalid value is a flag.
    #[must_use]
    pub const fn is_flag(&self) -> bool {
        matches!(self, Self::Flags(_) | Self::Filter { error: RouterError::Flags(_), .. })
    }
}

/// All errors, at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct InvalidResources(pub Vec<InvalidResource>);

impl std::error::Error for InvalidResources {}

/// One line for each error, with its fix.
impl fmt::Display for InvalidResources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{error}; {}", error.fix())?;
        }
        Ok(())
    }
}

/// Checks all resources of a state, and the filter's configurations as [`check_filters`].
///
/// # Errors
/// With all resources that sidecars would reject, by fleet.
pub fn check(mesh: &Mesh, state: &State) -> Result<(), InvalidResources> {
    let mut found = invalid_filters(mesh, state);
    add_unreachable_versions(mesh, state, &mut found);
    let cache = SnapshotCache::new(mesh, state);
    for fleet in &mesh.fleets {
        add_duplicate_names(fleet, state, &mut found);
        if let Some(snapshot) = cache.latest().fleet(fleet.name.as_str()) {
            add_invalid_resources(snapshot, &mut found);
        }
    }
    result(found)
}

/// Checks that each version can be routed to, and compiles the filter's configuration of each fleet, at the largest size that it can have until services, versions or flags
/// change: a release that starts must not exceed a limit.
///
/// # Errors
/// With the unreachable versions, and the first error of each filter.
pub fn check_filters(mesh: &Mesh, state: &State) -> Result<(), InvalidResources> {
    let mut found = invalid_filters(mesh, state);
    add_unreachable_versions(mesh, state, &mut found);
    result(found)
}

/// Compiles all flags of a state, also those that no sidecar receives.
///
/// # Errors
/// With the first error.
pub fn check_flags(state: &State) -> Result<(), InvalidResources> {
    let compiled = FlagSet::from_json(&extension::flag_document(state, |_| true));
    compiled.map(drop).map_err(|error| InvalidResources(vec![InvalidResource::Flags(error)]))
}

fn result(found: Vec<InvalidResource>) -> Result<(), InvalidResources> {
    if found.is_empty() { Ok(()) } else { Err(InvalidResources(found)) }
}

fn invalid_filters(mesh: &Mesh, state: &State) -> Vec<InvalidResource> {
    let invalid = |fleet: &Fleet| {
        let served = || state.services.iter().filter(|(name, _)| fleet.serves(name));
        let services: Vec<_> =
            served().map(|(name, service)| extension::largest_service(name, service)).collect();
        let istio = served().filter_map(|(name, service)| istio::largest_service(name, service));
        let known: BTreeSet<_> = services.iter().map(|service| service.name.as_str()).collect();
        let flags = extension::routing_flags(|service| known.contains(service), state);
        let mut config = extension::config(fleet, services, istio.collect(), flags);
        let error = Router::parse(extension::encode(&mut config).as_bytes()).err()?;
        Some(InvalidResource::Filter { fleet: fleet.name.clone(), error })
    };
    mesh.fleets.iter().filter_map(invalid).collect()
}

/// Finds names that two resources of a fleet share. A snapshot would contain only one of the two.
fn add_duplicate_names(fleet: &Fleet, state: &State, found: &mut Vec<InvalidResource>) {
    if fleet.istio().is_some() {
        return;
    }
    let listeners = fleet.listeners().iter().map(|it| (Kind::Listener, it.name.clone()));
    let own = fleet.listeners().iter().map(|it| names::listener_routes(&fleet.name, &it.name));
    let served = state.services.keys().filter(|name| fleet.serves(name));
    let routes = own.chain(served.map(names::service_routes)).map(|name| (Kind::Route, name));
    let mut seen = BTreeSet::new();
    for (kind, name) in listeners.chain(routes) {
        if !seen.insert((kind, name.clone())) {
            found.push(InvalidResource::DuplicateName { fleet: fleet.name.clone(), kind, name });
        }
    }
}

/// Finds versions that the control plane of a fleet cannot route to: without endpoints, or without target in Istio.
fn add_unreachable_versions(mesh: &Mesh, state: &State, found: &mut Vec<InvalidResource>) {
    for fleet in &mesh.fleets {
        for (name, service) in state.services.iter().filter(|(name, _)| fleet.serves(name)) {
            let not_in_istio = |version: Option<&VersionName>| InvalidResource::NotInIstio {
                fleet: fleet.name.clone(),
                service: name.clone(),
                version: version.cloned(),
            };
            if fleet.istio().is_some() && service.spec.istio.is_none() {
                found.push(not_in_istio(None));
                continue;
            }
            let unreachable = |(version, spec): (&VersionName, &VersionSpec)| {
                Some(match fleet.control_plane {
                    ControlPlane::Tidegate { .. } if spec.endpoints.is_empty() => {
                        InvalidResource::NoEndpoints {
                            fleet: fleet.name.clone(),
                            service: name.clone(),
                            version: version.clone(),
                        }
                    }
                    ControlPlane::Istio(_) if spec.istio.is_none() => not_in_istio(Some(version)),
                    ControlPlane::Tidegate { .. } | ControlPlane::Istio(_) => return None,
                })
            };
            found.extend(service.spec.versions.iter().filter_map(unreachable));
        }
    }
}

fn add_invalid_resources(snapshot: &FleetSnapshot, found: &mut Vec<InvalidResource>) {
    for kind in Kind::ALL {
        let collection = snapshot.collection(kind);
        for resource in collection.names().filter_map(|name| collection.get(name)) {
            if let Err(error) = decode(resource, snapshot.fleet(), found) {
                found.push(InvalidResource::Malformed {
                    fleet: snapshot.fleet().clone(),
                    kind,
                    name: resource.name().to_string(),
                    error,
                });
            }
            let missing = resource
                .references()
                .iter()
                .filter(|it| snapshot.collection(it.kind).get(&it.name).is_none());
            found.extend(missing.map(|reference| InvalidResource::DanglingReference {
                fleet: snapshot.fleet().clone(),
                kind,
                name: resource.name().to_string(),
                reference: reference.clone(),
            }));
        }
    }
}

/// Decodes a resource with Envoy's type. Adds the violations of its rules that the type does not express.
fn decode(
    resource: &Resource,
    fleet: &FleetName,
    found: &mut Vec<InvalidResource>,
) -> Result<(), DecodeError> {
    let bytes = resource.value().clone();
    match resource.kind() {
        Kind::Cluster => Cluster::decode(bytes).map(drop),
        Kind::Endpoint => ClusterLoadAssignment::decode(bytes).map(drop),
        Kind::Listener => Listener::decode(bytes).map(drop),
        Kind::Extension => TypedExtensionConfig::decode(bytes).map(drop),
        Kind::Route => {
            RouteConfiguration::decode(bytes).map(|routes| add_invalid_hosts(fleet, &routes, found))
        }
        Kind::ScopedRoute | Kind::VirtualHost | Kind::Secret | Kind::Runtime => Ok(()),
    }
}

/// Envoy requires at least one domain in a virtual host, and no domain in two.
fn add_invalid_hosts(
    fleet: &FleetName,
    routes: &RouteConfiguration,
    found: &mut Vec<InvalidResource>,
) {
    let mut seen = BTreeSet::new();
    for host in &routes.virtual_hosts {
        if host.domains.is_empty() {
            let service = host.name.clone();
            let error = InvalidResource::NoDomains { fleet: fleet.clone(), service };
            // The service is in several route configurations.
            if !found.contains(&error) {
                found.push(error);
            }
        }
        for domain in &host.domains {
            if !seen.insert(domain) {
                found.push(InvalidResource::DuplicateDomain {
                    fleet: fleet.clone(),
                    routes: routes.name.clone(),
                    domain: domain.clone(),
                });
            }
        }
    }
}
