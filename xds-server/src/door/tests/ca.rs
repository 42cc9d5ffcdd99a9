//! A certificate authority that signs whatever a test wants.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

use crate::door::tls::files::TlsFiles;

pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

/// A certificate and its key, in PEM.
pub(super) struct Pair {
    pub(super) cert: String,
    pub(super) key: String,
    pub(super) der: Vec<u8>,
}

impl Ca {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(super) fn sign(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Pair { cert: cert.pem(), key: key.serialize_pem(), der: cert.der().to_vec() }
    }

    /// A sidecar's.
    pub(super) fn svid(&self, id: &str) -> Pair {
        self.sign(&named([uri(id)]))
    }

    /// The server's, with the files that it begins with.
    pub(super) fn server(&self, dir: &Path) -> TlsFiles {
        let files = TlsFiles {
            cert: dir.join("server.pem"),
            key: dir.join("server.key"),
            client_ca: dir.join("ca.pem"),
        };
        fs::write(&files.client_ca, &self.pem).unwrap();
        self.renew(&files);
        files
    }

    /// A new certificate for the server.
    pub(super) fn renew(&self, files: &TlsFiles) {
        let pair = self.sign(&CertificateParams::new(["localhost".to_owned()]).unwrap());
        fs::write(&files.cert, pair.cert).unwrap();
        fs::write(&files.key, pair.key).unwrap();
    }
}

pub(super) fn named(names: impl IntoIterator<Item = SanType>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.into_iter().collect();
    params
}

pub(super) fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}
