//! Listener, certificates and access rules of the xDS port.

use std::sync::Arc;

use tidegate::auth::access::Access;
use tidegate::config::{Config, Security};
use tidegate::rejections::Rejections;
use tidegate::transport::tls::{CertificateReloader, RELOAD_INTERVAL, TlsError};
use tidegate::transport::{Acceptor, Limits};
use tracing::warn;

/// The port, before it is served.
pub(super) struct XdsPort {
    pub(super) acceptor: Arc<Acceptor>,
    pub(super) access: Arc<Access>,
    /// `None`: plaintext.
    pub(super) certificates: Option<CertificateReloader>,
}

impl XdsPort {
    pub(super) fn new(config: &Config) -> Result<Self, TlsError> {
        let rejections = Arc::new(Rejections::default());
        let (certificates, access) = match &config.listen.security {
            Security::Plaintext => (None, Access::unrestricted(Arc::clone(&rejections))),
            Security::MutualTls(files) => {
                let certificates = CertificateReloader::load(files.clone())?;
                let access =
                    Access::by_identity(config.identities.clone(), Arc::clone(&rejections));
                (Some(certificates), access)
            }
        };
        if certificates.is_none() && !config.listen.xds.ip().is_loopback() {
            warn!(
                address = %config.listen.xds,
                "the xDS port is plaintext because of `insecure_plaintext`: any client that reaches it can act as any sidecar"
            );
        }
        let tls = certificates.as_ref().map(CertificateReloader::subscribe);
        let acceptor = Acceptor::new(tls, Limits::default(), rejections);
        Ok(Self { acceptor, access: Arc::new(access), certificates })
    }
}

/// Reloads the certificates. Returns only if the task fails.
pub(super) async fn reload_certificates(
    certificates: Option<CertificateReloader>,
) -> tokio::task::JoinError {
    match certificates {
        Some(certificates) => certificates.run(RELOAD_INTERVAL).await,
        None => std::future::pending().await,
    }
}
