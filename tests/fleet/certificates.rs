//! Mutual TLS for a simulated fleet: a certificate authority, the server's certificate, and one for each sidecar.

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

/// The SPIFFE ids that the fleet accepts.
pub(crate) const IDENTITIES: &str = "spiffe://example.org/fleet/*";
/// File name of the authority's certificate.
pub(crate) const CA: &str = "ca.pem";
/// File name of the server's certificate.
pub(crate) const CERTIFICATE: &str = "server.pem";
/// File name of the server's key.
pub(crate) const KEY: &str = "server.key";

/// The certificate authority of both sides, and a TLS client configuration for each sidecar.
pub(crate) struct Authority {
    connectors: Vec<TlsConnector>,
    dir: PathBuf,
}

impl Authority {
    /// Signs certificates for so many sidecars, and writes those of a server to `dir`: [`CA`], [`CERTIFICATE`], [`KEY`].
    pub(crate) fn new(dir: &Path, sidecars: usize) -> Result<Self> {
        let signer = Signer::new()?;
        let (server, key) = signer.sign(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()))?;
        fs::write(dir.join(CA), signer.root.pem())?;
        fs::write(dir.join(CERTIFICATE), server.pem())?;
        fs::write(dir.join(KEY), key.serialize_pem())?;
        let connectors = (0..sidecars).map(|it| signer.connector(it)).collect::<Result<_>>()?;
        Ok(Self { connectors, dir: dir.to_owned() })
    }

    /// The directory with the server's files.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// One for each sidecar, with its certificate, and its TLS sessions for a reconnect.
    pub(crate) fn connectors(&self) -> &[TlsConnector] {
        &self.connectors
    }
}

/// The raw server's side: it accepts every certificate that the authority signed.
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

    fn sign(&self, name: SanType) -> Result<(Certificate, KeyPair)> {
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(name);
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?, key))
    }
}

/// Connects, and completes the handshake.
pub(crate) async fn connect(
    server: SocketAddr,
    connector: TlsConnector,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
    connector.connect(name, stream).await
}
