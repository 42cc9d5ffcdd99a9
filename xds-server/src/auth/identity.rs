//! The identity of a client: the SPIFFE ID in its certificate.
//!
//! rustls has verified the certificate chain. This module checks what the X509-SVID standard requires beyond that.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use spiffe::{SpiffeId, SpiffeIdError};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// Longest ID, in bytes: the length that the SPIFFE standard requires implementations to support.
const MAX_ID: usize = 2048;

/// The SPIFFE ID of a workload: `spiffe://TRUST-DOMAIN/PATH`, in canonical form. Clones share the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkloadId(Arc<SpiffeId>);

/// A text is not a workload's SPIFFE ID.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WorkloadIdError {
    /// Longer than `MAX_ID`.
    #[error("it is longer than {MAX_ID} bytes")]
    TooLong,
    /// Not a SPIFFE ID.
    #[error(transparent)]
    Spiffe(#[from] SpiffeIdError),
    /// Capitals in the scheme or the trust domain. The `spiffe` crate accepts them, so two texts would be one identity.
    #[error("it is not in canonical form: write `{0}`")]
    NotCanonical(String),
    /// The ID of a trust domain.
    #[error("it has no path, so it identifies a trust domain instead of a workload")]
    NoPath,
}

/// A certificate issued by a trusted CA has no usable identity.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum IdentityError {
    /// Not DER of X.509, or an extension occurs twice.
    #[error("its certificate cannot be parsed")]
    Malformed,
    /// A CA certificate, or a key usage that allows signing certificates or CRLs.
    #[error(
        "its certificate may sign certificates or CRLs, which an X509-SVID of a workload must not"
    )]
    SigningCertificate,
    /// No URI, or several.
    #[error("its certificate has {0} URI names, and an X509-SVID has exactly one")]
    UriCount(usize),
    /// The URI is not a workload's SPIFFE ID.
    #[error("the URI name of its certificate is not a SPIFFE ID of a workload: {0}")]
    WorkloadId(#[from] WorkloadIdError),
}

impl WorkloadId {
    /// Reads the ID from a client's own certificate, in DER.
    ///
    /// # Errors
    /// If the certificate is not an X509-SVID of a workload.
    pub fn of_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let (rest, certificate) =
            parse_x509_certificate(der).map_err(|_| IdentityError::Malformed)?;
        if !rest.is_empty() {
            return Err(IdentityError::Malformed);
        }
        let usage = certificate.key_usage().map_err(|_| IdentityError::Malformed)?;
        if certificate.is_ca()
            || usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign())
        {
            return Err(IdentityError::SigningCertificate);
        }
        let names = certificate.subject_alternative_name().map_err(|_| IdentityError::Malformed)?;
        let names = names.map_or(&[][..], |names| &names.value.general_names);
        let mut uris = names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        match (uris.next(), uris.count()) {
            (Some(uri), 0) => Ok(uri.parse()?),
            (first, more) => Err(IdentityError::UriCount(usize::from(first.is_some()) + more)),
        }
    }

    pub(super) fn trust_domain(&self) -> &str {
        self.0.trust_domain_name()
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        path_segments(&self.0)
    }
}

impl FromStr for WorkloadId {
    type Err = WorkloadIdError;

    fn from_str(text: &str) -> Result<Self, WorkloadIdError> {
        let id = parse_canonical(text)?;
        if id.path().is_empty() {
            return Err(WorkloadIdError::NoPath);
        }
        Ok(Self(Arc::new(id)))
    }
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Parses an ID of a workload or of a trust domain.
pub(super) fn parse_canonical(text: &str) -> Result<SpiffeId, WorkloadIdError> {
    if text.len() > MAX_ID {
        return Err(WorkloadIdError::TooLong);
    }
    let id = SpiffeId::new(text)?;
    let canonical = id.to_string();
    if canonical == text { Ok(id) } else { Err(WorkloadIdError::NotCanonical(canonical)) }
}

/// The segments of the path; none for a trust domain.
pub(super) fn path_segments(id: &SpiffeId) -> impl Iterator<Item = &str> {
    id.path().split('/').skip(1)
}
