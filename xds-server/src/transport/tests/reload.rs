//! Reload of certificates.

use std::fs;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::UnixTime;

use super::ca::{Ca, named, uri};
use super::world::{FLEET, World, open_ads, open_stream, set, until};
use crate::transport::Limits;
use crate::transport::tls::{CertificateReloader, TlsFiles};

const WEB: &str = "spiffe://example.org/ns/shop/web";

fn files(world: &World) -> TlsFiles {
    let at = |name: &str| world.dir.path().join(name);
    TlsFiles { cert: at("server.pem"), key: at("server.key"), client_ca: at("ca.pem") }
}

/// The certificate that the server presents.
async fn presented(world: &World) -> Vec<u8> {
    let stream = world.connect_tls(Some(&world.ca.svid(WEB))).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn new_handshakes_use_new_files_and_open_streams_continue() {
    let world = World::start(Limits::default()).await;
    let channel = world.channel(&world.ca.svid(WEB)).await;
    let mut stream = open_ads(&channel, FLEET, "web-1").await.unwrap();
    stream.next().await.unwrap();
    let before = presented(&world).await;
    assert_eq!(presented(&world).await, before);

    world.ca.renew(&files(&world));
    // A read between the two writes finds a certificate and key that do not match.
    until("a reload", || world.tls.succeeded().get() > 0).await;
    assert_ne!(presented(&world).await, before);
    assert!(world.tls.not_after.get() > 0);
    world.snapshots.send_replace(set(2));
    stream.next().await.unwrap();
}

#[tokio::test]
async fn a_new_ca_applies_to_new_handshakes() {
    let world = World::start(Limits::default()).await;
    let (old, other) = (world.ca.svid(WEB), Ca::new());
    let channel = world.channel(&old).await;
    fs::write(files(&world).client_ca, &other.pem).unwrap();
    until("a reload", || world.tls.succeeded().get() == 1).await;
    open_stream(&channel, FLEET, "web-1").await.unwrap();
    open_stream(&world.channel(&other.svid(WEB)).await, FLEET, "web-1").await.unwrap();
    if let Ok(late) = world.channel_from([127, 0, 0, 1].into(), &old).await {
        open_stream(&late, FLEET, "web-1").await.unwrap_err();
    }
}

#[tokio::test]
async fn invalid_files_are_counted_once_and_the_previous_stay_in_use() {
    let world = World::start(Limits::default()).await;
    let (before, files) = (presented(&world).await, files(&world));
    fs::remove_file(&files.cert).unwrap();
    until("a missing file", || world.tls.failed().get() == 1).await;
    fs::write(&files.cert, "no certificate").unwrap();
    until("a file without PEM", || world.tls.failed().get() == 2).await;
    assert_eq!(presented(&world).await, before);
    // A certificate with another key.
    let other = world.ca.svid(WEB);
    fs::write(&files.cert, other.cert).unwrap();
    until("a certificate and key that do not match", || world.tls.failed().get() == 3).await;
    assert_eq!(presented(&world).await, before);
    assert_eq!(world.tls.succeeded().get(), 0);
    world.ca.renew(&files);
    until("valid files", || world.tls.succeeded().get() > 0).await;
}

#[test]
fn a_server_does_not_start_with_invalid_files() {
    let dir = tempfile::tempdir().unwrap();
    let files = Ca::new().server(dir.path());
    for (path, valid) in
        [&files.cert, &files.key, &files.client_ca].map(|path| (path, fs::read(path).unwrap()))
    {
        let name = path.display().to_string();
        fs::write(path, "-----BEGIN NOTHING-----").unwrap();
        let error = CertificateReloader::load(files.clone()).unwrap_err().to_string();
        assert!(error.contains(&name), "{error}");
        fs::remove_file(path).unwrap();
        let error = CertificateReloader::load(files.clone()).unwrap_err().to_string();
        assert!(error.contains(&name) && error.contains("cannot read"), "{error}");
        fs::write(path, valid).unwrap();
    }
    CertificateReloader::load(files).unwrap();
}

#[tokio::test]
async fn a_connection_ends_when_its_certificate_expires() {
    let world = World::start(Limits::default()).await;
    let mut short = named([uri(WEB)]);
    // The times of a certificate are whole seconds.
    let soon = Duration::from_secs(UnixTime::now().as_secs() + 3);
    short.not_after = rcgen::date_time_ymd(1970, 1, 1) + soon;
    let (short, long) = (world.ca.sign(&short), world.ca.svid(WEB));
    let (short, long) = (world.channel(&short).await, world.channel(&long).await);
    let mut ends = open_ads(&short, FLEET, "web-1").await.unwrap();
    let mut stays = open_ads(&long, FLEET, "web-2").await.unwrap();
    for stream in [&mut ends, &mut stays] {
        stream.next().await.unwrap();
    }
    ends.next().await.unwrap_err();
    assert_eq!(world.acceptor.connections(), 1);
    world.snapshots.send_replace(set(2));
    stays.next().await.unwrap();
}
