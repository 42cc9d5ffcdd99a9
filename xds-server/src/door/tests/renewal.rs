//! New certificates while the server runs.

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::UnixTime;

use super::ca::{Ca, named, uri};
use super::world::{FLEET, World, asks, open, set, until};
use crate::door::Limits;
use crate::door::tls::files::TlsFiles;
use crate::door::tls::reload::Certificates;

const WEB: &str = "spiffe://example.org/ns/shop/web";

fn files(world: &World) -> TlsFiles {
    let at = |name: &str| world.dir.path().join(name);
    TlsFiles { cert: at("server.pem"), key: at("server.key"), client_ca: at("ca.pem") }
}

/// The certificate that the server shows now.
async fn shown(world: &World) -> Vec<u8> {
    let stream = world.shake(Some(&world.ca.svid(WEB))).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn new_files_are_for_new_handshakes_and_open_streams_stay() {
    let world = World::start(Limits::default()).await;
    let channel = world.channel(&world.ca.svid(WEB)).await;
    let mut stream = open(&channel, FLEET, "web-1").await.unwrap();
    stream.next().await.unwrap();
    let before = shown(&world).await;
    assert_eq!(shown(&world).await, before);

    world.ca.renew(&files(&world));
    // What is seen between the two files fits not, and is not used.
    until("a reload", || world.tls.reloaded.get() > 0).await;
    assert_ne!(shown(&world).await, before);
    assert!(world.tls.not_after.load(Ordering::Relaxed) > 0);
    world.snapshots.send_replace(set(2));
    stream.next().await.unwrap();
}

#[tokio::test]
async fn another_ca_counts_from_the_next_handshake() {
    let world = World::start(Limits::default()).await;
    let (old, other) = (world.ca.svid(WEB), Ca::new());
    let channel = world.channel(&old).await;
    fs::write(files(&world).client_ca, &other.pem).unwrap();
    until("a reload", || world.tls.reloaded.get() == 1).await;
    asks(&channel, FLEET, "web-1").await.unwrap();
    asks(&world.channel(&other.svid(WEB)).await, FLEET, "web-1").await.unwrap();
    if let Ok(late) = world.channel_from([127, 0, 0, 1].into(), &old).await {
        asks(&late, FLEET, "web-1").await.unwrap_err();
    }
}

#[tokio::test]
async fn bad_files_are_counted_once_and_the_old_stay_in_use() {
    let world = World::start(Limits::default()).await;
    let (before, files) = (shown(&world).await, files(&world));
    fs::remove_file(&files.cert).unwrap();
    until("a missing file", || world.tls.failed.get() == 1).await;
    fs::write(&files.cert, "no certificate").unwrap();
    until("garbage", || world.tls.failed.get() == 2).await;
    assert_eq!(shown(&world).await, before);
    // A certificate whose key is another's.
    let other = world.ca.svid(WEB);
    fs::write(&files.cert, other.cert).unwrap();
    until("a pair that does not fit", || world.tls.failed.get() == 3).await;
    assert_eq!(shown(&world).await, before);
    assert_eq!(world.tls.reloaded.get(), 0);
    world.ca.renew(&files);
    until("good ones", || world.tls.reloaded.get() > 0).await;
}

/// At the start there are no old ones to stay with.
#[test]
fn a_server_does_not_start_with_bad_files() {
    let dir = tempfile::tempdir().unwrap();
    let files = Ca::new().server(dir.path());
    for (path, good) in
        [&files.cert, &files.key, &files.client_ca].map(|path| (path, fs::read(path).unwrap()))
    {
        let name = path.display().to_string();
        fs::write(path, "-----BEGIN NOTHING-----").unwrap();
        let refused = Certificates::load(files.clone()).unwrap_err().to_string();
        assert!(refused.contains(&name), "{refused}");
        fs::remove_file(path).unwrap();
        let refused = Certificates::load(files.clone()).unwrap_err().to_string();
        assert!(refused.contains(&name) && refused.contains("cannot read"), "{refused}");
        fs::write(path, good).unwrap();
    }
    Certificates::load(files).unwrap();
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate_and_others_stay() {
    let world = World::start(Limits::default()).await;
    let mut short = named([uri(WEB)]);
    // A certificate's times are whole seconds.
    let soon = Duration::from_secs(UnixTime::now().as_secs() + 3);
    short.not_after = rcgen::date_time_ymd(1970, 1, 1) + soon;
    let (short, long) = (world.ca.sign(&short), world.ca.svid(WEB));
    let (short, long) = (world.channel(&short).await, world.channel(&long).await);
    let mut ends = open(&short, FLEET, "web-1").await.unwrap();
    let mut stays = open(&long, FLEET, "web-2").await.unwrap();
    for stream in [&mut ends, &mut stays] {
        stream.next().await.unwrap();
    }
    ends.next().await.unwrap_err();
    assert_eq!(world.door.connections(), 1);
    world.snapshots.send_replace(set(2));
    stays.next().await.unwrap();
}
