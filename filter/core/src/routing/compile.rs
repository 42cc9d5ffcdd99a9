//! From a [`FilterConfig`] to a [`Router`]: validation, look-up tables, header numbers.

use serde_json::Value as Json;

use super::{
    Router, Service, ServiceIndex,
    error::RouterError,
    identity::Source,
    request::{Attribute, HeaderSlot},
};
use crate::{
    config::{
        BusinessRule, FilterConfig, IDENTITY_COOKIE, IdentitySource, MAX_BUSINESS_RULES,
        ServiceConfig,
    },
    flags::{Flag, FlagSet},
    report::INTERVAL_MS,
};

const MAX_NAME: usize = 256;
const MAX_SERVICES: usize = 4096;

pub(super) fn router(config: &FilterConfig) -> Result<Router, RouterError> {
    validate_top(config)?;
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
            versions: service.versions.iter().map(|v| v.as_str().into()).collect(),
            identity: sources(&service.identity, &mut headers)?,
            flags: routing_flags(&flags, &service.name),
            business: service.business.clone(),
        });
    }
    names.sort();
    hosts.sort();
    if let Some(name) = repeated(&names) {
        return Err(RouterError::DuplicateService(name));
    }
    if let Some(host) = repeated(&hosts) {
        return Err(RouterError::DuplicateHost(host));
    }
    let attributes =
        flags.attributes().iter().map(|path| attribute(path.as_str(), &mut headers)).collect();
    Ok(Router { services, hosts, names, flags, attributes, headers: headers.0 })
}

fn validate_top(config: &FilterConfig) -> Result<(), RouterError> {
    named("version", &config.version)?;
    named("fleet", &config.fleet)?;
    named("report.cluster", &config.report.cluster)?;
    if !INTERVAL_MS.contains(&config.report.interval_ms) {
        return Err(RouterError::Interval(config.report.interval_ms));
    }
    // Envoy takes the upstream of a gRPC call for a serialised message first and for a name second.
    if <() as prost::Message>::decode(config.report.cluster.as_bytes()).is_ok() {
        return Err(RouterError::ReportCluster(config.report.cluster.clone()));
    }
    if config.services.len() > MAX_SERVICES {
        return Err(RouterError::TooManyServices { limit: MAX_SERVICES });
    }
    Ok(())
}

fn validate_service(service: &ServiceConfig) -> Result<(), RouterError> {
    named("service name", &service.name)?;
    if service.name.contains(['/', '|']) {
        return Err(RouterError::ServiceName(service.name.clone()));
    }
    for version in &service.versions {
        named(&format!("version of `{}`", service.name), version)?;
        if !is_header_value(version) {
            return Err(RouterError::Version(version.clone()));
        }
    }
    for host in &service.hosts {
        named(&format!("host of `{}`", service.name), host)?;
        let has_port = super::without_port(host.as_bytes()).len() != host.len();
        if has_port || host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(RouterError::Host(host.clone()));
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
    service.business.iter().try_for_each(validate_rule)
}

fn validate_rule(rule: &BusinessRule) -> Result<(), RouterError> {
    named("business rule", &rule.name)?;
    match &rule.good.header {
        Some(header) if !is_token(&header.name) => {
            Err(RouterError::HeaderName(header.name.clone()))
        }
        _ => Ok(()),
    }
}

fn named(field: &str, value: &str) -> Result<(), RouterError> {
    if (1..=MAX_NAME).contains(&value.len()) {
        return Ok(());
    }
    Err(RouterError::Length { field: field.to_owned(), limit: MAX_NAME })
}

fn repeated(sorted: &[(Box<str>, ServiceIndex)]) -> Option<String> {
    sorted.windows(2).find_map(|pair| match pair {
        [(a, _), (b, _)] if a == b => Some(a.to_string()),
        _ => None,
    })
}

fn sources(
    configured: &[IdentitySource],
    headers: &mut HeaderList,
) -> Result<Vec<Source>, RouterError> {
    let own_cookie = IdentitySource::Cookie(IDENTITY_COOKIE.to_owned());
    configured
        .iter()
        .chain([&own_cookie])
        .map(|source| match source {
            IdentitySource::Header(name) if is_token(name) => {
                Ok(Source::Header(headers.slot(&name.to_ascii_lowercase())))
            }
            IdentitySource::Cookie(name) if is_token(name) => {
                Ok(Source::Cookie { header: headers.slot("cookie"), name: name.as_str().into() })
            }
            IdentitySource::Header(name) | IdentitySource::Cookie(name) => {
                Err(RouterError::HeaderName(name.clone()))
            }
        })
        .collect()
}

/// The flags that may pin a service: those that name it and whose values are strings.
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

/// The headers that decisions need, each once.
struct HeaderList(Vec<Box<str>>);

impl Default for HeaderList {
    /// `:authority` comes first, see [`HeaderSlot::AUTHORITY`].
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

/// An RFC 9110 token: what header and cookie names are made of.
fn is_token(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Visible ASCII: what may stand in the version header without being misread.
fn is_header_value(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_graphic())
}
