//! The server side of mutual TLS: a rustls configuration from three PEM files, reloaded when they change.
//!
//! The files are read at a fixed interval instead of watched: that also detects files whose directory is swapped by a
//! symbolic link, as in Kubernetes. New handshakes use the newest configuration, open connections keep theirs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::{
    NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier,
};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tracing::{error, info};
use x509_parser::parse_x509_certificate;

use crate::files::{FileError, MAX_BYTES, read_bytes};

/// Interval at which [`CertificateReloader::run`] reads the files.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// The paths of the PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server certificate, followed by its intermediate certificates.
    pub cert: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// The CAs that issue client certificates.
    pub client_ca: PathBuf,
}

/// The files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("`listen.tls`: {0}")]
    File(#[from] FileError),
    /// A file has no PEM section of the expected kind.
    #[error("{} contains no {expected} in PEM: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// The expected content.
        expected: &'static str,
        /// The error of the parser.
        source: pem::Error,
    },
    /// A certificate or key is invalid, or they do not belong together.
    #[error("{} contains a certificate that cannot be used: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The error of rustls.
        source: rustls::Error,
    },
    /// The CAs cannot be used to verify clients.
    #[error("{} cannot be used to verify client certificates: {source}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// The error of rustls.
        source: VerifierBuilderError,
    },
}

/// The bytes of the files.
#[derive(PartialEq, Eq)]
struct FileContents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<u8>,
}

/// A usable configuration.
#[derive(Debug, Clone)]
struct Loaded {
    config: Arc<ServerConfig>,
    /// Expiry of the server certificate, in seconds since 1970.
    not_after: i64,
}

impl TlsFiles {
    fn read(&self) -> Result<FileContents, TlsError> {
        Ok(FileContents {
            cert: read_bytes(&self.cert, MAX_BYTES)?,
            key: read_bytes(&self.key, MAX_BYTES)?,
            client_ca: read_bytes(&self.client_ca, MAX_BYTES)?,
        })
    }

    fn load(&self, contents: &FileContents) -> Result<Loaded, TlsError> {
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
            expected: "private key",
            source,
        })?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session does not present its certificate again, which may have expired, or whose CA may be removed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Loaded { config: Arc::new(config), not_after })
    }
}

/// The certificates of a file, at least one.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |source| TlsError::Pem { path: path.to_owned(), expected: "certificate", source };
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(fail)?;
    if found.is_empty() { Err(fail(pem::Error::NoItemsFound)) } else { Ok(found) }
}

/// The time until a certificate expires, by the clock that rustls uses.
pub(super) fn remaining_lifetime(certificate: &CertificateDer<'_>) -> Option<Duration> {
    let not_after: u64 = not_after(certificate)?.try_into().ok()?;
    Some(Duration::from_secs(not_after.saturating_sub(UnixTime::now().as_secs())))
}

fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// Reloads the files when they change.
#[derive(Debug)]
pub struct CertificateReloader {
    files: TlsFiles,
    config: watch::Sender<Arc<ServerConfig>>,
    last_read: LastRead,
    metrics: TlsMetrics,
}

/// Metrics of the server certificate. Clones share the values.
#[derive(Debug, Clone, Default)]
pub struct TlsMetrics {
    /// Expiry of the server certificate, in seconds since 1970.
    pub not_after: Gauge,
    reloads: Family<ResultLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

impl TlsMetrics {
    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "xds_tls_certificate_expiry_timestamp_seconds",
            "Expiry of the server certificate of the xDS port, in seconds since 1970",
            self.not_after.clone(),
        );
        registry.register(
            "xds_tls_reloads",
            "Reloads of changed certificate files of the xDS port",
            self.reloads.clone(),
        );
    }

    /// Changed files that are in use.
    #[must_use]
    pub fn succeeded(&self) -> Counter {
        self.reloads.get_or_create(&ResultLabel { result: "success" }).clone()
    }

    /// Changed files that could not be used.
    #[must_use]
    pub fn failed(&self) -> Counter {
        self.reloads.get_or_create(&ResultLabel { result: "failure" }).clone()
    }
}

/// The result of the last read, to detect a change.
enum LastRead {
    Contents(FileContents),
    /// The text of the error.
    Failed(String),
}

impl fmt::Debug for LastRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The contents include a private key.
        match self {
            Self::Contents(_) => f.write_str("Contents"),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl CertificateReloader {
    /// Loads the files for the first time.
    ///
    /// # Errors
    /// If they cannot be used.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = files.read()?;
        let loaded = files.load(&contents)?;
        let metrics = TlsMetrics::default();
        metrics.not_after.set(loaded.not_after);
        // Both series exist from the start.
        drop((metrics.succeeded(), metrics.failed()));
        Ok(Self {
            files,
            config: watch::Sender::new(loaded.config),
            last_read: LastRead::Contents(contents),
            metrics,
        })
    }

    /// The newest configuration, now and whenever it changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.config.subscribe()
    }

    /// Metrics of the server certificate.
    #[must_use]
    pub fn metrics(&self) -> TlsMetrics {
        self.metrics.clone()
    }

    /// Reads the files at this interval. Returns only if the blocking task panics.
    pub async fn run(mut self, interval: Duration) -> JoinError {
        loop {
            sleep(interval).await;
            let reloaded = spawn_blocking(move || {
                self.reload();
                self
            });
            match reloaded.await {
                Ok(reloader) => self = reloader,
                Err(error) => return error,
            }
        }
    }

    /// Applies changed files if they are usable. Files that are not are logged and counted once for each change: while
    /// three files are replaced, a read may find some of each.
    fn reload(&mut self) {
        let read = self.files.read();
        let is_unchanged = match (&read, &self.last_read) {
            (Ok(contents), LastRead::Contents(last)) => contents == last,
            (Err(error), LastRead::Failed(last)) => error.to_string() == *last,
            _ => false,
        };
        if is_unchanged {
            return;
        }
        match read.as_ref().map(|contents| self.files.load(contents)) {
            Ok(Ok(loaded)) => {
                self.config.send_replace(loaded.config);
                self.metrics.not_after.set(loaded.not_after);
                self.metrics.succeeded().inc();
                info!("reloaded the certificates of the xDS port");
            }
            Ok(Err(error)) => self.fail(&error),
            Err(error) => self.fail(error),
        }
        self.last_read = match read {
            Ok(contents) => LastRead::Contents(contents),
            Err(error) => LastRead::Failed(error.to_string()),
        };
    }

    fn fail(&self, error: &TlsError) {
        self.metrics.failed().inc();
        error!(%error, "cannot use the changed certificate files; the previous ones stay in use");
    }
}
