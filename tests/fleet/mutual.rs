//! Mutual TLS for a simulated fleet: an authority, the server's certificate, and one for each sidecar.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Who may be of the fleet.
pub(crate) const IDENTITIES: &str = "spiffe://example.org/fleet/*";

/// Who signs the certificates of both sides.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

impl Authority {
    /// A new one, which leaves in a directory what the server needs: `ca.pem`, `server.pem`, `server.key`.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let root = params.self_signed(&key)?;
        let authority = Self { issuer: Issuer::new(params, key), root: root.der().clone() };
        let (server, key) = authority.sign(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()))?;
        fs::write(dir.join("ca.pem"), root.pem())?;
        fs::write(dir.join("server.pem"), server.pem())?;
        fs::write(dir.join("server.key"), key.serialize_pem())?;
        Ok(authority)
    }

    /// The way in for one sidecar. It keeps its certificate and its sessions when it comes back.
    pub(crate) fn connector(&self, sidecar: usize) -> Result<TlsConnector> {
        let id = format!("spiffe://example.org/fleet/sidecar-{sidecar}");
        let (certificate, key) = self.sign(SanType::URI(id.as_str().try_into()?))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone())?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config).into())
    }

    fn sign(&self, whose: SanType) -> Result<(Certificate, KeyPair)> {
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(whose);
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?, key))
    }
}

/// A connection on which both sides have shown who they are.
pub(crate) async fn connect(
    server: SocketAddr,
    connector: TlsConnector,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
    connector.connect(name, stream).await
}
