//! Compiles a [`FilterConfig`] into a [`Router`]: validation, lookup tables, header slots.

use serde_json::Value as Json;

use super::{
    MeshRoutes, Router, Service, ServiceIndex,
    error::RouterError,
    identity::IdentityLookup,
    istio,
    request::{Attribute, HeaderSlot},
};
use crate::{
    config::{
        BusinessRule, Exclusion, FilterConfig, IDENTITY_COOKIE, IdentitySource, MAX_BUSINESS_RULES,
        MAX_EXCLUSIONS, Mesh, ServiceConfig,
    },
    flags::{Flag, FlagSet},
    report::{ClientScope, INTERVAL_MS},
    upstream::Upstream,
    version::PROTOCOL,
};

const MAX_NAME: usize = 256;
/// Limit of services per configuration.
pub const MAX_SERVICES: usize = 4096;

pub(super) fn router(config: &FilterConfig) -> Result<Router, RouterError> {
    validate_global(config)?;
    let mut headers = HeaderList::default();
    let flags = FlagSet::from_json(&config.flags)?;
    let mut services = Vec::with_capacity(config.services.len());
    let mut names = Vec::new();
    let mut hosts = Vec::new();
    for (index, service) in config.services.iter().enumerate() {
        let index = ServiceIndex(index);
        validate_service(service)?;
        names.push((service.name.as_str().into(), index));
        hosts.extend(service.hosts.iter().map(|h| (h.as_str().into(), index)));
        services.push(Service {
            name: service.name.as_str().into(),
            salt: service.salt.as_str().into(),
            release: service.release.as_str().into(),
            scope: ClientScope::new(&service.name, &service.release),
            versions: service.versions.iter().map(|v| v.as_str().into()).collect(),
            identity: identity_lookups(service, &mut headers)?,
            flags: routing_flags(&flags, &service.name),
            business: service.business.clone(),
            excluded: service.excluded.clone(),
        });
    }
    names.sort();
    hosts.sort();
    if let Some(name) = find_duplicate(&names) {
        return Err(RouterError::DuplicateService(name));
    }
    if let Some(host) = find_duplicate(&hosts) {
        return Err(RouterError::DuplicateHost(host));
    }
    let attributes =
        flags.attributes().iter().map(|path| attribute(path.as_str(), &mut headers)).collect();
    let mesh = match &config.mesh {
        Mesh::Tidegate => MeshRoutes::Tidegate { hosts, names },
        Mesh::Istio(mesh) => MeshRoutes::Istio(istio::compile(mesh, &names)?),
    };
    Ok(Router { services, mesh, flags, attributes, headers: headers.0 })
}

fn validate_global(config: &FilterConfig) -> Result<(), RouterError> {
    if config.min_protocol > PROTOCOL {
        return Err(RouterError::Protocol { needed: config.min_protocol, supported: PROTOCOL });
    }
    validate_length("version", &config.version)?;
    validate_length("fleet", &config.fleet)?;
    if !INTERVAL_MS.contains(&config.report.interval_ms) {
        return Err(RouterError::Interval(config.report.interval_ms));
    }
    // In an Istio mesh the plugin configuration names the cluster.
    if config.mesh == Mesh::Tidegate {
        validate_length("report.cluster", &config.report.cluster)?;
        Upstream::cluster(&config.report.cluster)?;
    }
    if config.services.len() > MAX_SERVICES {
        return Err(RouterError::TooManyServices { limit: MAX_SERVICES });
    }
    Ok(())
}

fn validate_service(service: &ServiceConfig) -> Result<(), RouterError> {
    validate_length("service name", &service.name)?;
    if service.name.contains(['/', '|']) {
        return Err(RouterError::ServiceName(service.name.clone()));
    }
    for version in &service.versions {
        validate_length(&format!("version of `{}`", service.name), version)?;
        if !is_header_value(version) {
            return Err(RouterError::Version {
                service: service.name.clone(),
                version: version.clone(),
            });
        }
    }
    if service.release.len() > MAX_NAME {
        return Err(RouterError::Length {
            field: format!("release of `{}`", service.name),
            limit: MAX_NAME,
        });
    }
    if service.business.len() > MAX_BUSINESS_RULES {
        return Err(RouterError::TooManyRules {
            service: service.name.clone(),
            limit: MAX_BUSINESS_RULES,
        });
    }
    if service.excluded.len() > MAX_EXCLUSIONS {
        return Err(RouterError::TooManyExclusions {
            service: service.name.clone(),
            limit: MAX_EXCLUSIONS,
        });
    }
    service.excluded.iter().try_for_each(|it| validate_exclusion(&service.name, it))?;
    service.business.iter().try_for_each(|rule| validate_rule(&service.name, rule))
}

fn validate_exclusion(service: &str, exclusion: &Exclusion) -> Result<(), RouterError> {
    let text = match exclusion {
        Exclusion::Path(text) | Exclusion::Prefix(text) | Exclusion::UserAgent(text) => text,
        Exclusion::Header(header) if !is_token(&header.name) => {
            return Err(header_name(service, &header.name));
        }
        Exclusion::Header(header) => &header.value,
    };
    validate_length(&format!("exclusion of `{service}`"), text)
}

fn validate_rule(service: &str, rule: &BusinessRule) -> Result<(), RouterError> {
    validate_length(&format!("name of a business rule of `{service}`"), &rule.name)?;
    match &rule.good.header {
        Some(header) if !is_token(&header.name) => Err(header_name(service, &header.name)),
        _ => Ok(()),
    }
}

fn validate_length(field: &str, value: &str) -> Result<(), RouterError> {
    if (1..=MAX_NAME).contains(&value.len()) {
        return Ok(());
    }
    Err(RouterError::Length { field: field.to_owned(), limit: MAX_NAME })
}

fn find_duplicate(sorted: &[(Box<str>, ServiceIndex)]) -> Option<String> {
    sorted.windows(2).find_map(|pair| match pair {
        [(a, _), (b, _)] if a == b => Some(a.to_string()),
        _ => None,
    })
}

fn identity_lookups(
    service: &ServiceConfig,
    headers: &mut HeaderList,
) -> Result<Vec<IdentityLookup>, RouterError> {
    let own_cookie = IdentitySource::Cookie(IDENTITY_COOKIE.to_owned());
    service
        .identity
        .iter()
        .chain([&own_cookie])
        .map(|source| match source {
            IdentitySource::Header(name) if is_token(name) => {
                Ok(IdentityLookup::Header(headers.slot(&name.to_ascii_lowercase())))
            }
            IdentitySource::Cookie(name) if is_token(name) => Ok(IdentityLookup::Cookie {
                header: headers.slot("cookie"),
                name: name.as_str().into(),
            }),
            IdentitySource::Header(name) | IdentitySource::Cookie(name) => {
                Err(header_name(&service.name, name))
            }
        })
        .collect()
}

fn header_name(service: &str, name: &str) -> RouterError {
    RouterError::HeaderName { service: service.to_owned(), name: name.to_owned() }
}

/// Keys of the flags that may pin a version of a service: enabled, with the service in their
/// metadata, and with only strings (or null) as values.
fn routing_flags(flags: &FlagSet, service: &str) -> Vec<Box<str>> {
    let pins = |flag: &Flag| {
        flag.is_enabled()
            && flag.metadata().get("service").and_then(Json::as_str) == Some(service)
            && flag.values().all(|value| value.is_string() || value.is_null())
    };
    flags.iter().filter(|(_, flag)| pins(flag)).map(|(key, _)| key.into()).collect()
}

fn attribute(name: &str, headers: &mut HeaderList) -> Attribute {
    if let Some(header) = name.strip_prefix("headers.") {
        return Attribute::Header(headers.slot(&header.to_ascii_lowercase()));
    }
    if let Some(cookie) = name.strip_prefix("cookies.") {
        return Attribute::Cookie { header: headers.slot("cookie"), name: cookie.into() };
    }
    match name {
        "targetingKey" => Attribute::Identity,
        "host" => Attribute::Host,
        "path" => Attribute::Path(headers.slot(":path")),
        "method" => Attribute::Header(headers.slot(":method")),
        _ => Attribute::Absent,
    }
}

/// The distinct headers that decisions need.
struct HeaderList(Vec<Box<str>>);

impl Default for HeaderList {
    /// `:authority` is first, see [`HeaderSlot::AUTHORITY`].
    fn default() -> Self {
        Self(vec![":authority".into()])
    }
}

impl HeaderList {
    fn slot(&mut self, name: &str) -> HeaderSlot {
        let known = self.0.iter().position(|header| **header == *name);
        HeaderSlot(known.unwrap_or_else(|| {
            self.0.push(name.into());
            self.0.len() - 1
        }))
    }
}

/// Whether a name is an RFC 9110 token, as header and cookie names must be.
fn is_token(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether a value is visible ASCII, which is unambiguous in the version header.
fn is_header_value(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_graphic())
}
