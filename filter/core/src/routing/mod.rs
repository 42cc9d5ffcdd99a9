//! Routing decisions: determines the service and the user of a request, the user's bucket, and the
//! version that a flag pins.
//!
//! A [`Router`] is compiled from a [`FilterConfig`] once and is immutable. Names are resolved at
//! compile time; a decision only compares bytes.

mod compile;
mod error;
mod identity;
mod istio;
mod request;

pub use compile::MAX_SERVICES;
pub use error::RouterError;
pub use identity::GeneratedIdentity;
pub use istio::{IstioDecision, IstioRouter, SelectedRoute};
pub use request::{Request, is_request_attribute};

use crate::{
    bucket::bucket,
    config::{BusinessRule, Exclusion, FilterConfig},
    flags::FlagSet,
    report::{Client, ClientScope},
    routing::{
        identity::{IdentityLookup, User},
        istio::IstioRoutes,
        request::{Attribute, FlagContext, Headers},
    },
};

/// Limit of the size of a configuration, in bytes.
pub const MAX_CONFIG_BYTES: usize = 4 << 20;

/// A compiled configuration.
#[derive(Debug)]
pub struct Router {
    services: Vec<Service>,
    mesh: MeshRoutes,
    flags: FlagSet,
    /// How each of `flags.attributes()` is read from a request.
    attributes: Vec<Attribute>,
    /// The request headers that decisions read; [`HeaderSlot`] is an index into them.
    headers: Vec<Box<str>>,
}

/// What identifies the service of a request and of a cluster.
#[derive(Debug)]
enum MeshRoutes {
    Tidegate {
        /// Host to service, ascending.
        hosts: Vec<(Box<str>, ServiceIndex)>,
        /// Service name to service, ascending.
        names: Vec<(Box<str>, ServiceIndex)>,
    },
    Istio(IstioRoutes),
}

/// Index of a service within its [`Router`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceIndex(usize);

#[derive(Debug)]
struct Service {
    name: Box<str>,
    salt: Box<str>,
    release: Box<str>,
    scope: ClientScope,
    versions: Vec<Box<str>>,
    identity: Vec<IdentityLookup>,
    /// Keys of the flags that may pin a version of this service, ascending.
    flags: Vec<Box<str>>,
    business: Vec<BusinessRule>,
    excluded: Vec<Exclusion>,
}

impl Service {
    fn user<'h, R: Request + ?Sized>(&self, headers: &'h Headers<'_, R>) -> User<'h> {
        identity::user(&self.identity, headers)
    }

    fn identity<'h, R: Request + ?Sized>(&self, headers: &'h Headers<'_, R>) -> Option<&'h [u8]> {
        identity::find(&self.identity, headers)
    }

    fn bucket(&self, identity: &[u8]) -> u32 {
        bucket(self.salt.as_bytes(), identity)
    }

    /// `None` for a user without an identity: the generated one may never return.
    fn client_of(&self, user: &User<'_>) -> Option<Client> {
        user.generated.is_none().then(|| self.client(&user.identity))
    }

    fn client(&self, identity: &[u8]) -> Client {
        Client::new(self.scope, &self.name, identity)
    }
}

/// Routing decision for one request in Tidegate's own mesh.
#[derive(Debug, PartialEq, Eq)]
pub struct RouteDecision<'r> {
    /// The service of the request's host.
    pub service: ServiceIndex,
    /// Value of the bucket header.
    pub bucket: u32,
    /// The version that a flag pins, the value of the version header.
    pub pin: Option<&'r str>,
    /// The client; `None` for a request without identity.
    pub client: Option<Client>,
    /// Set for a user without identity. The filter must add its `Set-Cookie` to the response.
    pub generated: Option<GeneratedIdentity>,
}

/// Service and version of an Envoy cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterVersion<'a> {
    /// The service.
    pub service: ServiceIndex,
    /// Name of the version.
    pub version: &'a str,
}

impl Router {
    /// Parses and compiles a configuration in its wire format.
    ///
    /// # Errors
    /// If it is too large, not the JSON of a [`FilterConfig`], or invalid as in
    /// [`Router::compile`].
    pub fn parse(json: &[u8]) -> Result<(FilterConfig, Self), RouterError> {
        if json.len() > MAX_CONFIG_BYTES {
            return Err(RouterError::TooLarge { limit: MAX_CONFIG_BYTES });
        }
        let config =
            serde_json::from_slice(json).map_err(|error| RouterError::Json(error.to_string()))?;
        let router = Self::compile(&config)?;
        Ok((config, router))
    }

    /// Compiles a configuration.
    ///
    /// # Errors
    /// If any value is invalid. Invalid values are never skipped.
    pub fn compile(config: &FilterConfig) -> Result<Self, RouterError> {
        compile::router(config)
    }

    /// The request headers that decisions may read, including pseudo-headers.
    pub fn needed_headers(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(AsRef::as_ref)
    }

    /// Decisions in an Istio mesh; `None` in Tidegate's own, where [`Router::decide`] decides.
    #[must_use]
    pub const fn istio(&self) -> Option<IstioRouter<'_>> {
        match &self.mesh {
            MeshRoutes::Tidegate { .. } => None,
            MeshRoutes::Istio(routes) => Some(IstioRouter { router: self, routes }),
        }
    }

    /// Decides where a request in Tidegate's own mesh goes; `None` if its host belongs to no service.
    pub fn decide<R: Request + ?Sized>(&self, request: &R) -> Option<RouteDecision<'_>> {
        let headers = Headers::new(request, &self.headers);
        let index = self.service_of_host(headers.host()?)?;
        let service = self.services.get(index.0)?;
        let user = service.user(&headers);
        Some(RouteDecision {
            service: index,
            bucket: service.bucket(&user.identity),
            pin: self.pin(service, &user.identity, &headers),
            client: service.client_of(&user),
            generated: user.generated,
        })
    }

    fn pin<'r, R: Request + ?Sized>(
        &'r self,
        service: &'r Service,
        identity: &[u8],
        headers: &Headers<'_, R>,
    ) -> Option<&'r str> {
        if service.flags.is_empty() {
            return None;
        }
        let context = FlagContext {
            attributes: &self.attributes,
            headers,
            // Rules compare text: an identity that is not UTF-8 is absent for them.
            identity: std::str::from_utf8(identity).ok(),
        };
        service.flags.iter().find_map(|key| {
            let value = self.flags.evaluate(key, &context)?.value?.as_str()?;
            let version = service.versions.iter().find(|known| ***known == *value)?;
            Some(version.as_ref())
        })
    }

    /// Service and version of an Envoy cluster: by its name `SERVICE/VERSION`, or in an Istio mesh by
    /// the targets of the versions. `None` for clusters of unknown services or without a version.
    #[must_use]
    pub fn version_of_cluster<'a>(&'a self, cluster: &'a str) -> Option<ClusterVersion<'a>> {
        match &self.mesh {
            MeshRoutes::Tidegate { names, .. } => {
                let (name, version) = cluster.split_once('/')?;
                let service = find(names, name)?;
                (!version.is_empty()).then_some(ClusterVersion { service, version })
            }
            MeshRoutes::Istio(routes) => routes.version_of_cluster(cluster),
        }
    }

    /// A service's name.
    #[must_use]
    pub fn service_name(&self, service: ServiceIndex) -> &str {
        self.services.get(service.0).map_or("", |s| &s.name)
    }

    /// Id of the release that runs for a service, or empty.
    #[must_use]
    pub fn release(&self, service: ServiceIndex) -> &str {
        self.services.get(service.0).map_or("", |s| &s.release)
    }

    /// A service's business metrics.
    #[must_use]
    pub fn business(&self, service: ServiceIndex) -> &[BusinessRule] {
        self.services.get(service.0).map_or(&[], |s| &s.business)
    }

    /// A service's requests that are not counted.
    #[must_use]
    pub fn excluded(&self, service: ServiceIndex) -> &[Exclusion] {
        self.services.get(service.0).map_or(&[], |s| &s.excluded)
    }

    /// `host` is in normal form, see [`host_of_authority`](crate::host::host_of_authority).
    fn service_of_host(&self, host: &str) -> Option<ServiceIndex> {
        match &self.mesh {
            MeshRoutes::Tidegate { hosts, .. } => find(hosts, host),
            MeshRoutes::Istio(_) => None,
        }
    }
}

fn find(sorted: &[(Box<str>, ServiceIndex)], key: &str) -> Option<ServiceIndex> {
    let at = sorted.binary_search_by(|(known, _)| known.as_ref().cmp(key));
    sorted.get(at.ok()?).map(|(_, service)| *service)
}

#[cfg(test)]
mod istio_tests;
#[cfg(test)]
mod tests;
