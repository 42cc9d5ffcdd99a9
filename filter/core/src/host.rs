//! Hosts: the DNS names and IP addresses by which requests select a service.
//!
//! Configuration, xDS routes, the filter and flag rules compare hosts in one normal form: lower
//! case, no port, no final dot, IPv6 addresses in brackets and in the spelling of RFC 5952. A
//! [`Host`] is always in that form; [`host_of_authority`] brings the `:authority` of a request into
//! it as Envoy does with `ignore_port_in_host_matching`.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Limit of a DNS name without its final dot, in bytes.
const MAX_NAME: usize = 253;
/// Limit of a label of a DNS name, in bytes.
const MAX_LABEL: usize = 63;

/// A host in normal form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host(Box<str>);

/// A text that is not a host.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HostError {
    /// An IPv6 address without brackets, which is ambiguous with a host and port.
    #[error("host `{0}` is an IPv6 address without brackets")]
    MissingBrackets(String),
    /// Brackets around something else than an IPv6 address.
    #[error("host `{0}` has brackets but is not an IPv6 address")]
    NotIpv6(String),
    /// A host with a port. Requests match with any port.
    #[error("host `{host}:{port}` has a port")]
    Port {
        /// The part before the port.
        host: String,
        /// The port.
        port: String,
    },
    /// Neither a DNS name nor an IP address.
    #[error("host `{0}` is neither a DNS name nor an IP address")]
    Invalid(String),
}

impl HostError {
    /// What to write instead.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Self::MissingBrackets(address) => format!("write `[{address}]`"),
            Self::NotIpv6(_) => "write an address such as `[2001:db8::1]`".to_owned(),
            Self::Port { host, .. } => format!("write `{host}`: requests match with any port"),
            Self::Invalid(_) => "write one without scheme, path or wildcard, such as \
                                 `order.local`"
                .to_owned(),
        }
    }
}

impl Host {
    /// The normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domains of an Envoy virtual host for it. Envoy compares a final dot, so a name is listed
    /// with and without it; listeners of other owners need no `strip_trailing_host_dot`.
    pub fn domains(&self) -> impl Iterator<Item = String> + '_ {
        let absolute = (!self.0.starts_with('[')).then(|| format!("{}.", self.0));
        std::iter::once(self.0.to_string()).chain(absolute)
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(HostError::MissingBrackets(text.to_owned()));
        }
        if let Some((host, port)) = text.rsplit_once(':')
            && !host.is_empty()
            && host.starts_with('[') == host.ends_with(']')
            && !port.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(HostError::Port { host: host.to_owned(), port: port.to_owned() });
        }
        if let Some(rest) = text.strip_prefix('[') {
            let address = rest.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
            let address = address.ok_or_else(|| HostError::NotIpv6(text.to_owned()))?;
            return Ok(Self(format!("[{address}]").into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if !is_dns_name(name) {
            return Err(HostError::Invalid(text.to_owned()));
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }
}

impl TryFrom<String> for Host {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.0.into()
    }
}

impl AsRef<str> for Host {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is a DNS name without final dot, or an IPv4 address. Underscores are allowed,
/// because service discovery uses them.
#[must_use]
pub fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(allowed)
    };
    text.len() <= MAX_NAME && text.split('.').all(is_label)
}

/// The host of a request's `:authority`: without port and final dot, in lower case. It is not
/// validated; a text that is not a host equals no [`Host`].
#[must_use]
pub fn host_of_authority(authority: &str) -> Cow<'_, str> {
    let host = without_port(authority);
    // Envoy's route domains list a name with at most one final dot.
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// Removes everything after the last colon that is not inside brackets, as Envoy does.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_lower_case_without_final_dot() {
        for (text, host) in [
            ("order.local", "order.local"),
            ("Order.LOCAL.", "order.local"),
            ("order", "order"),
            ("_order.svc-1", "_order.svc-1"),
            ("10.0.0.7", "10.0.0.7"),
            ("[::1]", "[::1]"),
            ("[2001:DB8:0:0:0:0:0:1]", "[2001:db8::1]"),
        ] {
            assert_eq!(text.parse::<Host>().unwrap().as_str(), host, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_host_is_rejected_with_the_fix() {
        let error = |text: &str| text.parse::<Host>().unwrap_err();
        assert_eq!(error("::1"), HostError::MissingBrackets("::1".to_owned()));
        assert_eq!(error("::1").fix(), "write `[::1]`");
        let port = |host: &str| HostError::Port { host: host.to_owned(), port: "80".to_owned() };
        assert_eq!(error("order.local:80"), port("order.local"));
        assert_eq!(error("[::1]:80"), port("[::1]"));
        for text in ["[::1", "[order.local]", "[127.0.0.1]", "[fe80::1%eth0]"] {
            assert_eq!(error(text), HostError::NotIpv6(text.to_owned()));
        }
        let long = format!("{}.local", "x".repeat(MAX_LABEL + 1));
        for text in ["", ".", "order..local", "order.local..", "*.local", "http://order", &long] {
            assert_eq!(error(text), HostError::Invalid(text.to_owned()));
        }
    }

    #[test]
    fn the_authority_of_a_request_is_normalised() {
        for (authority, host) in [
            ("order.local", "order.local"),
            ("ORDER.Local:8080", "order.local"),
            ("order.local.", "order.local"),
            ("order.local.:80", "order.local"),
            ("order.local:", "order.local"),
            ("order.local..", "order.local."),
            ("[::1]", "[::1]"),
            ("[2001:DB8::1]:80", "[2001:db8::1]"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("", ""),
        ] {
            assert_eq!(host_of_authority(authority), host, "{authority}");
        }
    }

    #[test]
    fn every_domain_of_a_host_is_matched_by_requests() {
        for (text, domains) in [
            ("order.local", &["order.local", "order.local."][..]),
            ("10.0.0.7", &["10.0.0.7", "10.0.0.7."]),
            ("[::1]", &["[::1]"]),
        ] {
            let host: Host = text.parse().unwrap();
            assert_eq!(host.domains().collect::<Vec<_>>(), domains);
            for domain in domains {
                assert_eq!(host_of_authority(domain), host.as_str());
            }
        }
    }
}
