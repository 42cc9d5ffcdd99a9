//! A certificate authority for tests.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

use crate::transport::tls::TlsFiles;

pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, in PEM.
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
    pub(crate) der: Vec<u8>,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn sign(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Pair { cert: cert.pem(), key: key.serialize_pem(), der: cert.der().to_vec() }
    }

    /// A client certificate with this SPIFFE ID.
    pub(crate) fn svid(&self, id: &str) -> Pair {
        self.sign(&named([uri(id)]))
    }

    /// Writes the server's certificate files.
    pub(crate) fn server(&self, dir: &Path) -> TlsFiles {
        let files = TlsFiles {
            cert: dir.join("server.pem"),
            key: dir.join("server.key"),
            client_ca: dir.join("ca.pem"),
        };
        fs::write(&files.client_ca, &self.pem).unwrap();
        self.renew(&files);
        files
    }

    /// Replaces the server's certificate and key.
    pub(crate) fn renew(&self, files: &TlsFiles) {
        let pair = self.sign(&CertificateParams::new(["localhost".to_owned()]).unwrap());
        fs::write(&files.cert, pair.cert).unwrap();
        fs::write(&files.key, pair.key).unwrap();
    }
}

pub(crate) fn named(names: impl IntoIterator<Item = SanType>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.into_iter().collect();
    params
}

pub(crate) fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}
