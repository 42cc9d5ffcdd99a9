//! Rotations with a file on disk, a controller and reporters, in simulated time.

use super::*;
use crate::auth::peer::{Credential, Peer};
use crate::controller::fakes;
use crate::xds::fleet::reporters::{PublishedFleet, Reported};
use tempfile::TempDir;
use tidegate_delivery::model::mesh::{ControlPlane, Fleet, IstioMesh};
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::Services;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::mesh::Mesh;
use tidegate_xds::resources::SnapshotCache;

/// A server with an Istio fleet. Time passes only in [`World::pass`].
struct World {
    dir: TempDir,
    controller: fakes::World,
    rotation: Rotation,
    progress: Progress,
    now: u64,
    peer: Peer,
}

impl World {
    fn new() -> Self {
        let control_plane = ControlPlane::Istio(IstioMesh {
            report_cluster: "outbound|18000||tidegate.example.com".to_owned(),
            authority: "tidegate.example.com".to_owned(),
            services: Services::All,
        });
        Self::with(vec![Fleet { name: "mesh".parse().unwrap(), control_plane }])
    }

    fn with(fleets: Vec<Fleet>) -> Self {
        let (dir, controller) = (tempfile::tempdir().unwrap(), fakes::World::default());
        let mesh = Mesh::new("filter.wasm".to_owned(), fleets);
        let snapshots = SnapshotCache::new(&mesh, &State::default());
        let rotation = Rotation {
            data_dir: dir.path().to_owned(),
            controller: controller.start(),
            reporters: reporters(),
            snapshots: watch::channel(Arc::clone(snapshots.latest())).1,
        };
        let peer = Peer::new("127.0.0.1:1".parse().unwrap(), Credential::None);
        Self { dir, controller, rotation, progress: Progress::default(), now: 0, peer }
    }

    /// The server stops and starts again: the file of keys is all that is left.
    async fn restart(&mut self) {
        self.rotation.controller.stop().await;
        self.controller = fakes::World::default();
        self.rotation.controller = self.controller.start();
        self.rotation.reporters = reporters();
        self.progress = Progress::default();
    }

    fn store(&self) -> KeyStore {
        KeyStore::existing(self.dir.path()).unwrap()
    }

    fn keys(&self) -> Keys {
        self.store().read().unwrap()
    }

    /// The key whose tokens the server sends.
    fn sent(&self) -> Option<TokenKey> {
        self.controller.mesh().token_key
    }

    /// The configuration of the fleet contains the tokens of a key.
    fn publish(&self, serial: u64, config_version: &str) {
        self.rotation.reporters.published(serial, vec![published(config_version)]);
    }

    fn report(&self, node: &str, config_version: &str) {
        let report = Reported {
            fleet: "mesh",
            node,
            instance: 1,
            config_version,
            config_error: "",
            filter_version: None,
            interval: Duration::from_secs(600),
            connection: self.peer.connection(),
        };
        assert!(self.rotation.reporters.record(&report, Timestamp(self.now)));
    }

    async fn proceed(&mut self) {
        assert!(self.rotation.proceed(&mut self.progress).await.is_continue());
    }

    async fn pass(&mut self, time: Duration) {
        self.now += u64::try_from(time.as_millis()).unwrap();
        tokio::time::advance(time).await;
        self.proceed().await;
    }
}

fn reporters() -> Arc<Reporters> {
    let reporters = Reporters::new(Arc::default(), Arc::default());
    reporters.published(1, vec![published("first")]);
    Arc::new(reporters)
}

fn published(config_version: &str) -> PublishedFleet {
    let config_version = config_version.to_owned();
    PublishedFleet { name: "mesh".parse().unwrap(), services: Services::All, config_version }
}

/// Routes match the keys of the file, so no request loses its version while each filter sends tokens of one of them.
#[tokio::test(start_paused = true)]
async fn both_keys_are_valid_until_every_reporter_has_the_tokens_of_the_new_one() {
    let mut world = World::new();
    world.proceed().await;
    let first = world.sent().unwrap();
    assert_eq!(world.keys(), Keys::One(first.clone()));
    world.report("app-1", "first");
    world.report("app-2", "first");

    let second = world.store().rotate().unwrap().other().unwrap().clone();
    world.pass(MIN_OVERLAP * 2).await;
    assert_eq!(world.sent(), Some(first.clone()), "routes may not match the added key yet");

    let activated = world.store().activate().unwrap();
    world.proceed().await;
    assert_eq!(world.sent().as_ref(), Some(&second));
    world.publish(2, "second");
    world.report("app-1", "second");
    world.pass(MIN_OVERLAP * 2).await;
    assert_eq!(world.keys(), activated, "`app-2` sends the tokens of the first key");

    world.report("app-2", "second");
    world.proceed().await;
    assert_eq!(world.keys(), Keys::One(second.clone()));
    world.proceed().await;
    assert_eq!(world.sent(), Some(second));
}

#[tokio::test(start_paused = true)]
async fn the_previous_key_is_kept_for_sidecars_that_may_report_later() {
    let mut world = World::new();
    world.proceed().await;
    world.store().rotate().unwrap();
    let activated = world.store().activate().unwrap();
    world.pass(MIN_OVERLAP * 2).await;
    assert_eq!(world.keys(), activated, "no sidecar reports");

    // A rotation of its own, which begins now.
    world.store().retire().unwrap();
    world.proceed().await;
    world.store().rotate().unwrap();
    let activated = world.store().activate().unwrap();
    world.proceed().await;
    world.publish(2, "third");
    world.report("app-1", "third");
    world.pass(MIN_OVERLAP - POLL_INTERVAL).await;
    assert_eq!(world.keys(), activated);
    world.pass(POLL_INTERVAL).await;
    assert!(matches!(world.keys(), Keys::One(_)));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_server_sends_the_same_tokens_and_waits_again() {
    let mut world = World::new();
    world.proceed().await;
    world.store().rotate().unwrap();
    let activated = world.store().activate().unwrap();
    world.publish(2, "second");
    world.report("app-1", "second");
    world.pass(MIN_OVERLAP - POLL_INTERVAL).await;

    world.restart().await;
    assert_eq!(world.sent(), None);
    world.publish(3, "second");
    // The first sidecar is back at once, and others may follow.
    world.report("app-1", "second");
    world.pass(POLL_INTERVAL).await;
    assert_eq!(world.sent().as_ref(), Some(activated.sent()));
    assert_eq!(world.keys(), activated);
    world.pass(MIN_OVERLAP).await;
    assert_eq!(world.keys(), Keys::One(activated.sent().clone()));
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_file_of_keys_changes_no_token() {
    let mut world = World::new();
    world.proceed().await;
    let first = world.sent().unwrap();
    let file = world.dir.path().join("istio.keys");
    let text = std::fs::read(&file).unwrap();
    std::fs::write(&file, "{}").unwrap();
    world.proceed().await;
    assert!(world.progress.failure.is_some());
    assert_eq!(world.sent(), Some(first));
    std::fs::write(&file, text).unwrap();
    world.store().rotate().unwrap();
    let activated = world.store().activate().unwrap();
    world.proceed().await;
    assert_eq!(world.progress.failure, None);
    assert_eq!(world.sent().as_ref(), Some(activated.sent()));
}

#[tokio::test(start_paused = true)]
async fn a_mesh_of_tidegate_alone_has_no_keys() {
    let mut world = World::with(vec![Fleet::new("demo".parse().unwrap(), Vec::new())]);
    world.proceed().await;
    assert!(matches!(KeyStore::existing(world.dir.path()), Err(KeyError::NoKeys(_))));
    assert_eq!(world.sent(), None);
}

#[tokio::test(start_paused = true)]
async fn the_rotation_ends_with_the_controller() {
    let mut world = World::new();
    world.proceed().await;
    world.rotation.controller.stop().await;
    world.store().rotate().unwrap();
    world.store().activate().unwrap();
    assert!(world.rotation.proceed(&mut world.progress).await.is_break());
}
