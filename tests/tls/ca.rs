//! A certificate authority, and atomic replacement of certificate files.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

/// A certificate authority.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Writes `NAME.pem` and `NAME.key` for the control plane.
    pub(crate) fn server(&self, dir: &Path, name: &str) -> Result<()> {
        self.sign(dir, name, SanType::IpAddress(Ipv4Addr::LOCALHOST.into()))
    }

    /// Writes `NAME.pem` and `NAME.key` for a sidecar.
    pub(crate) fn svid(&self, dir: &Path, name: &str, id: &str) -> Result<()> {
        self.sign(dir, name, SanType::URI(id.try_into()?))
    }

    fn sign(&self, dir: &Path, name: &str, subject: SanType) -> Result<()> {
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(subject);
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        replace(dir, &format!("{name}.key"), &key.serialize_pem())?;
        replace(dir, &format!("{name}.pem"), &cert.pem())
    }
}

/// Replaces a file atomically.
pub(crate) fn replace(dir: &Path, name: &str, text: &str) -> Result<()> {
    let new = dir.join(format!(".{name}.new"));
    fs::write(&new, text)?;
    Ok(fs::rename(new, dir.join(name))?)
}
