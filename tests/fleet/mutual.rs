//! Mutual TLS for a simulated fleet: an authority, the server's certificate, and one for each sidecar.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Who may be of the fleet.
pub(crate) const IDENTITIES: &str = "spiffe://example.org/fleet/*";
/// Who signed both sides' certificates.
pub(crate) const CA: &str = "ca.pem";
/// The server's certificate.
pub(crate) const CERTIFICATE: &str = "server.pem";
/// Its key.
pub(crate) const KEY: &str = "server.key";

/// Who signs the certificates of both sides, and the sidecars' ways in.
pub(crate) struct Authority {
    connectors: Vec<TlsConnector>,
    dir: PathBuf,
}

impl Authority {
    /// A new one for so many sidecars. It leaves in a directory what a server needs: [`CA`], [`CERTIFICATE`], [`KEY`].
    pub(crate) fn new(dir: &Path, sidecars: usize) -> Result<Self> {
        let signer = Signer::new()?;
        let (server, key) = signer.sign(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()))?;
        fs::write(dir.join(CA), signer.root.pem())?;
        fs::write(dir.join(CERTIFICATE), server.pem())?;
        fs::write(dir.join(KEY), key.serialize_pem())?;
        let connectors = (0..sidecars).map(|it| signer.connector(it)).collect::<Result<_>>()?;
        Ok(Self { connectors, dir: dir.to_owned() })
    }

    /// Where the server's files are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The way in for each sidecar. It keeps its certificate and its sessions when it comes back.
    pub(crate) fn connectors(&self) -> &[TlsConnector] {
        &self.connectors
    }
}

/// The raw server's side: who shows no certificate of ours is not let in, and is not looked at more closely.
pub(crate) fn acceptor(dir: &Path) -> Result<TlsAcceptor> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join(CA))?)?;
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients.build()?)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(dir.join(CERTIFICATE))?],
            PrivateKeyDer::from_pem_file(dir.join(KEY))?,
        )?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config).into())
}

struct Signer {
    issuer: Issuer<'static, KeyPair>,
    root: Certificate,
}

impl Signer {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let root = params.self_signed(&key)?;
        Ok(Self { issuer: Issuer::new(params, key), root })
    }

    fn connector(&self, sidecar: usize) -> Result<TlsConnector> {
        let id = format!("spiffe://example.org/fleet/sidecar-{sidecar}");
        let (certificate, key) = self.sign(SanType::URI(id.as_str().try_into()?))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone())?;
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
