//! Routing decisions: determines the service and the user of a request, the user's bucket, and the
//! version that a flag pins.
//!
//! A [`Router`] is compiled from a [`FilterConfig`] once and is immutable. Names are resolved at
//! compile time; a decision only compares bytes.

mod compile;
mod error;
mod identity;
mod request;

pub use compile::MAX_SERVICES;
pub use error::RouterError;
pub use identity::GeneratedIdentity;
pub use request::{Request, is_request_attribute};

use std::borrow::Cow;

use crate::{
    bucket::bucket,
    config::{BusinessRule, FilterConfig},
    flags::FlagSet,
    host::host_of_authority,
    routing::{
        identity::IdentityLookup,
        request::{Attribute, FlagContext, Headers},
    },
};

/// Limit of the size of a configuration, in bytes.
pub const MAX_CONFIG_BYTES: usize = 4 << 20;

/// A compiled configuration.
#[derive(Debug)]
pub struct Router {
    services: Vec<Service>,
    /// Host to service, ascending.
    hosts: Vec<(Box<str>, ServiceIndex)>,
    /// Service name to service, ascending.
    names: Vec<(Box<str>, ServiceIndex)>,
    flags: FlagSet,
    /// How each of `flags.attributes()` is read from a request.
    attributes: Vec<Attribute>,
    /// The request headers that decisions read; [`HeaderSlot`] is an index into them.
    headers: Vec<Box<str>>,
}

/// Index of a service within its [`Router`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceIndex(usize);

#[derive(Debug)]
struct Service {
    name: Box<str>,
    salt: Box<str>,
    release: Box<str>,
    versions: Vec<Box<str>>,
    identity: Vec<IdentityLookup>,
    /// Keys of the flags that may pin a version of this service, ascending.
    flags: Vec<Box<str>>,
    business: Vec<BusinessRule>,
}

/// Routing decision for one request.
#[derive(Debug, PartialEq, Eq)]
pub struct RouteDecision<'r> {
    /// The service of the request's host.
    pub service: ServiceIndex,
    /// Value of the bucket header.
    pub bucket: u32,
    /// The version that a flag pins, the value of the version header.
    pub pin: Option<&'r str>,
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

    /// Decides where a request goes; `None` if its host belongs to no service.
    pub fn decide<R: Request + ?Sized>(&self, request: &R) -> Option<RouteDecision<'_>> {
        let headers = Headers::new(request, &self.headers);
        let index = self.service_of_host(headers.host()?)?;
        let service = self.services.get(index.0)?;
        let identity = identity::find(&service.identity, &headers);
        let (identity, generated) = match identity {
            Some(identity) => (Cow::Borrowed(identity), None),
            None => {
                let generated = GeneratedIdentity::new(request.random());
                let bytes = generated.as_str().as_bytes().to_vec();
                (Cow::Owned(bytes), Some(generated))
            }
        };
        Some(RouteDecision {
            service: index,
            bucket: bucket(service.salt.as_bytes(), &identity),
            pin: self.pin(service, &identity, &headers),
            generated,
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

    /// Service and version of an Envoy cluster name, `SERVICE/VERSION` or Istio's
    /// `outbound|PORT|SUBSET|HOST`. `None` for clusters of unknown services or without a version.
    #[must_use]
    pub fn version_of_cluster<'a>(&self, cluster: &'a str) -> Option<ClusterVersion<'a>> {
        if let Some(istio) = cluster.strip_prefix("outbound|") {
            let mut parts = istio.splitn(3, '|');
            let (_port, version, host) = (parts.next()?, parts.next()?, parts.next()?);
            let service = self.service_of_host(&host_of_authority(host))?;
            return (!version.is_empty()).then_some(ClusterVersion { service, version });
        }
        let (name, version) = cluster.split_once('/')?;
        let at = self.names.binary_search_by(|(known, _)| known.as_ref().cmp(name));
        let (_, service) = self.names.get(at.ok()?)?;
        (!version.is_empty()).then_some(ClusterVersion { service: *service, version })
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

    /// `host` is in normal form, see [`host_of_authority`].
    fn service_of_host(&self, host: &str) -> Option<ServiceIndex> {
        let at = self.hosts.binary_search_by(|(known, _)| known.as_ref().cmp(host));
        self.hosts.get(at.ok()?).map(|(_, service)| *service)
    }
}

#[cfg(test)]
mod tests;
