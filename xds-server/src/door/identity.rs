//! Who a client is: the SPIFFE id in its certificate. rustls has checked the chain before anything
//! here is asked; what a certificate must be beyond that is the X509-SVID standard's.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// Longest id, in bytes: the standard's own bound.
const MAX_ID: usize = 2048;
/// Longest trust domain, in bytes.
const MAX_TRUST_DOMAIN: usize = 255;
/// What every id begins with.
const SCHEME: &str = "spiffe://";

/// A SPIFFE id of a workload: `spiffe://TRUST-DOMAIN/PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpiffeId(Arc<str>);

/// Why a text is no SPIFFE id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSpiffe {
    /// Another kind of URI.
    #[error("it does not begin with `spiffe://`")]
    Scheme,
    /// Too long.
    #[error("it is longer than {MAX_ID} bytes")]
    TooLong,
    /// The trust domain is missing, too long, or has a port, a user or capitals.
    #[error(
        "its trust domain must have 1 to {MAX_TRUST_DOMAIN} lower-case letters, digits, `.`, `-` and `_`"
    )]
    TrustDomain,
    /// It names a whole trust domain.
    #[error("it has no path, so it names no workload")]
    NoPath,
    /// A path that could be read in two ways.
    #[error(
        "a segment of its path is empty, `.` or `..`, or holds more than letters, digits, `.`, `-` and `_`"
    )]
    Segment,
}

/// Why a certificate that the CA signed says not who its owner is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// It cannot be read.
    #[error("its certificate cannot be read")]
    Unreadable,
    /// It may sign others.
    #[error("its certificate may sign others: an X509-SVID of a workload must not")]
    Signs,
    /// No URI, or several: each validator could choose another.
    #[error("its certificate has {0} URI names: an X509-SVID has exactly one")]
    Uris(usize),
    /// The one URI is something else.
    #[error("the URI name of its certificate is no SPIFFE id: {0}")]
    NotSpiffe(#[from] NotSpiffe),
}

impl SpiffeId {
    /// The id in a client's own certificate.
    ///
    /// # Errors
    /// Where it is no X509-SVID of a workload.
    pub fn of_certificate(der: &[u8]) -> Result<Self, NoIdentity> {
        let (rest, certificate) =
            parse_x509_certificate(der).map_err(|_| NoIdentity::Unreadable)?;
        if !rest.is_empty() {
            return Err(NoIdentity::Unreadable);
        }
        let usage = certificate.key_usage().map_err(|_| NoIdentity::Unreadable)?;
        if certificate.is_ca()
            || usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign())
        {
            return Err(NoIdentity::Signs);
        }
        let names = certificate.subject_alternative_name().map_err(|_| NoIdentity::Unreadable)?;
        let names = names.map_or(&[][..], |names| &names.value.general_names);
        let mut uris = names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        match (uris.next(), uris.count()) {
            (Some(uri), 0) => Ok(uri.parse()?),
            (first, more) => Err(NoIdentity::Uris(usize::from(first.is_some()) + more)),
        }
    }

    /// The trust domain, and the segments of the path.
    pub(super) fn parts(&self) -> (&str, impl Iterator<Item = &str>) {
        let rest = self.0.strip_prefix(SCHEME).unwrap_or_default();
        let (trust_domain, path) = rest.split_once('/').unwrap_or((rest, ""));
        (trust_domain, path.split('/'))
    }
}

impl FromStr for SpiffeId {
    type Err = NotSpiffe;

    fn from_str(text: &str) -> Result<Self, NotSpiffe> {
        let (trust_domain, path) = split(text)?;
        check_trust_domain(trust_domain)?;
        path.ok_or(NotSpiffe::NoPath)?.split('/').try_for_each(check_segment)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The trust domain and the path, if there is one, of what might be an id.
pub(super) fn split(text: &str) -> Result<(&str, Option<&str>), NotSpiffe> {
    if text.len() > MAX_ID {
        return Err(NotSpiffe::TooLong);
    }
    let rest = text.strip_prefix(SCHEME).ok_or(NotSpiffe::Scheme)?;
    Ok(rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path))))
}

pub(super) fn check_trust_domain(name: &str) -> Result<(), NotSpiffe> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    let fits = (1..=MAX_TRUST_DOMAIN).contains(&name.len());
    if fits && name.bytes().all(good) { Ok(()) } else { Err(NotSpiffe::TrustDomain) }
}

pub(super) fn check_segment(segment: &str) -> Result<(), NotSpiffe> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let named = !matches!(segment, "" | "." | "..");
    if named && segment.bytes().all(good) { Ok(()) } else { Err(NotSpiffe::Segment) }
}
