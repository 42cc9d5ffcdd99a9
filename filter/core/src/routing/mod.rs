//! Which service a request asks for, which user it belongs to, and where that user is to go.
//!
//! A [`Router`] is compiled from a [`FilterConfig`] when a sidecar is configured and never changes.
//! All names are looked up then; at a request only bytes are compared.

mod compile;
mod error;
mod identity;
mod request;

pub use error::RouterError;
pub use identity::GeneratedIdentity;
pub use request::Request;

use std::borrow::Cow;

use crate::{
    bucket::bucket,
    config::{BusinessRule, FilterConfig},
    flags::FlagSet,
    routing::{
        identity::Source,
        request::{Attribute, FlagContext, HeaderSlot, Headers},
    },
};

/// The largest configuration that is read.
pub const MAX_CONFIG_BYTES: usize = 4 << 20;

/// Everything a sidecar's filter decides by.
#[derive(Debug)]
pub struct Router {
    services: Vec<Service>,
    /// Host to service, ascending, lower case.
    hosts: Vec<(Box<str>, ServiceIndex)>,
    /// Service name to service, ascending.
    names: Vec<(Box<str>, ServiceIndex)>,
    flags: FlagSet,
    /// How each of `flags.attributes()` is found in a request.
    attributes: Vec<Attribute>,
    /// The request headers that some rule or identity needs.
    headers: Vec<Box<str>>,
}

/// Number of a service within its [`Router`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceIndex(usize);

#[derive(Debug)]
struct Service {
    name: Box<str>,
    salt: Box<str>,
    release: Box<str>,
    versions: Vec<Box<str>>,
    identity: Vec<Source>,
    /// Keys of the flags that may pin this service, ascending.
    flags: Vec<Box<str>>,
    business: Vec<BusinessRule>,
}

/// What to do with one request.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision<'r> {
    /// The service that was asked for.
    pub service: ServiceIndex,
    /// The user's bucket, for the bucket header.
    pub bucket: u32,
    /// The version that a flag pins the user to, for the version header.
    pub pin: Option<&'r str>,
    /// Set if the user brought no identity: the response must hand it out.
    pub generated: Option<GeneratedIdentity>,
}

/// The cluster that served a request, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served<'a> {
    /// The service it belongs to.
    pub service: ServiceIndex,
    /// The version that served.
    pub version: &'a str,
}

impl Router {
    /// Reads and compiles a configuration as it comes over the wire.
    ///
    /// # Errors
    /// If it is too large, no JSON of a [`FilterConfig`], or invalid as in [`Router::compile`].
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
    /// If anything in it is invalid; nothing is ignored silently.
    pub fn compile(config: &FilterConfig) -> Result<Self, RouterError> {
        compile::router(config)
    }

    /// The request headers that decisions may read, pseudo-headers included.
    pub fn needed_headers(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(AsRef::as_ref)
    }

    /// Decides where a request goes; `None` if it asks for none of our services.
    pub fn decide<R: Request + ?Sized>(&self, request: &R) -> Option<Decision<'_>> {
        let headers = Headers::new(request, &self.headers);
        let index = self.service_of_host(headers.get(HeaderSlot::AUTHORITY)?)?;
        let service = self.services.get(index.0)?;
        let brought = identity::find(&service.identity, &headers);
        let (identity, generated) = match brought {
            Some(identity) => (Cow::Borrowed(identity), None),
            None => {
                let generated = GeneratedIdentity::new(request.random());
                let bytes = generated.as_str().as_bytes().to_vec();
                (Cow::Owned(bytes), Some(generated))
            }
        };
        Some(Decision {
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
            // Rules compare text: to them, an identity that is none does not exist.
            identity: std::str::from_utf8(identity).ok(),
        };
        service.flags.iter().find_map(|key| {
            let value = self.flags.evaluate(key, &context)?.value?.as_str()?;
            let version = service.versions.iter().find(|known| ***known == *value)?;
            Some(version.as_ref())
        })
    }

    /// The service and version behind an Envoy cluster name: ours is `SERVICE/VERSION`, Istio's
    /// `outbound|PORT|SUBSET|HOST`. `None` for clusters that are no version of our services.
    #[must_use]
    pub fn served<'a>(&self, cluster: &'a str) -> Option<Served<'a>> {
        if let Some(istio) = cluster.strip_prefix("outbound|") {
            let mut parts = istio.splitn(3, '|');
            let (_port, version, host) = (parts.next()?, parts.next()?, parts.next()?);
            let service = self.service_of_host(host.as_bytes())?;
            return (!version.is_empty()).then_some(Served { service, version });
        }
        let (name, version) = cluster.split_once('/')?;
        let at = self.names.binary_search_by(|(known, _)| known.as_ref().cmp(name));
        let (_, service) = self.names.get(at.ok()?)?;
        (!version.is_empty()).then_some(Served { service: *service, version })
    }

    /// A service's name.
    #[must_use]
    pub fn service_name(&self, service: ServiceIndex) -> &str {
        self.services.get(service.0).map_or("", |s| &s.name)
    }

    /// The release that runs for a service, or empty.
    #[must_use]
    pub fn release(&self, service: ServiceIndex) -> &str {
        self.services.get(service.0).map_or("", |s| &s.release)
    }

    /// A service's business metrics.
    #[must_use]
    pub fn business(&self, service: ServiceIndex) -> &[BusinessRule] {
        self.services.get(service.0).map_or(&[], |s| &s.business)
    }

    fn service_of_host(&self, host: &[u8]) -> Option<ServiceIndex> {
        let host = without_port(host);
        let at = self.hosts.binary_search_by(|(known, _)| {
            let asked = host.iter().map(u8::to_ascii_lowercase);
            known.bytes().cmp(asked)
        });
        self.hosts.get(at.ok()?).map(|(_, service)| *service)
    }
}

/// A host without its port; IPv6 addresses keep their brackets.
fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&byte| byte == b':') {
        Some(colon) => match host.split_at(colon) {
            (name, [_, port @ ..]) if port.iter().all(u8::is_ascii_digit) => name,
            _ => host,
        },
        None => host,
    }
}

#[cfg(test)]
mod tests;
