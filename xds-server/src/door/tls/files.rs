//! Three files, and what rustls makes of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::{
    NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier,
};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use x509_parser::parse_x509_certificate;

use crate::config::{FileError, MAX_BYTES, read_bytes};

/// Where the certificates are, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its CA.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// The CAs of the clients' certificates.
    pub client_ca: PathBuf,
}

/// What is wrong with the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("`listen.tls`: {0}")]
    File(#[from] FileError),
    /// One holds something else, or nothing.
    #[error("{} holds no {what} in PEM: {source}", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What it is instead.
        source: pem::Error,
    },
    /// A certificate that cannot be read.
    #[error("{} holds a certificate that cannot be used: {source}", path.display())]
    Certificate {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// The CAs cannot be used.
    #[error("{} cannot be used for clients: {source}", path.display())]
    ClientCa {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: VerifierBuilderError,
    },
}

/// What the files hold.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<u8>,
}

/// What a server needs for its handshakes.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// When the server's certificate expires, in seconds since 1970.
    pub(super) not_after: i64,
}

impl TlsFiles {
    /// Reads them.
    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            cert: read_bytes(&self.cert, MAX_BYTES)?,
            key: read_bytes(&self.key, MAX_BYTES)?,
            client_ca: read_bytes(&self.client_ca, MAX_BYTES)?,
        })
    }

    /// Makes a configuration of what they hold.
    pub(super) fn load(&self, contents: &Contents) -> Result<Loaded, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let unusable = |source| TlsError::Certificate { path: self.cert.clone(), source };
        let mut roots = RootCertStore::empty();
        for root in certificates(&self.client_ca, &contents.client_ca)? {
            let unusable = |source| TlsError::Certificate { path: self.client_ca.clone(), source };
            roots.add(root).map_err(unusable)?;
        }
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|source| TlsError::ClientCa { path: self.client_ca.clone(), source })?;
        let chain = certificates(&self.cert, &contents.cert)?;
        let not_after = chain
            .first()
            .and_then(not_after)
            .ok_or(rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding));
        let not_after = not_after.map_err(unusable)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|source| TlsError::Pem {
            path: self.key.clone(),
            what: "private key",
            source,
        })?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A session that is resumed does not show its certificate again, though that may have
        // expired or its CA be gone.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Loaded { config: Arc::new(config), not_after })
    }
}

/// At least one certificate.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |source| TlsError::Pem { path: path.to_owned(), what: "certificate", source };
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(fail)?;
    if found.is_empty() { Err(fail(pem::Error::NoItemsFound)) } else { Ok(found) }
}

/// How long a certificate is still good for, by the clock that rustls checks it with.
pub(in crate::door) fn time_left(certificate: &CertificateDer<'_>) -> Option<Duration> {
    let not_after: u64 = not_after(certificate)?.try_into().ok()?;
    Some(Duration::from_secs(not_after.saturating_sub(UnixTime::now().as_secs())))
}

fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}
