//! One run of the control plane, from its start to its crash: engine, publisher, ACK tracker and telemetry, wired as in
//! the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate::clock::Clock;
use tidegate::controller::{
    CommandError, DeliveryView, Engine, Origin, Parts, RollbackTimes, Sidecars,
};
use tidegate::sidecars::XdsSidecars;
use tidegate::telemetry::Telemetry;
use tidegate::xds::fleet::AckTracker;
use tidegate::xds::fleet::reporters::Reporters;
use tidegate::xds::publisher::Publisher;
use tidegate_delivery::model::command::{Command, Outcome};
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::ServiceName;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::mesh::Mesh;
use tidegate_xds::resources::SnapshotSet;
use tokio::sync::{broadcast, watch};

use super::configuration::File;
use super::disk::Disk;

/// Virtual milliseconds, shared with the control plane's clock.
pub(crate) type Time = Arc<AtomicU64>;

pub(crate) struct ControlPlane {
    engine: Engine,
    view: watch::Receiver<Arc<DeliveryView>>,
    pub(crate) snapshots: watch::Receiver<Arc<SnapshotSet>>,
    pub(crate) ack_tracker: Arc<AckTracker>,
    pub(crate) telemetry: Arc<Telemetry>,
}

impl ControlPlane {
    /// Starts with the journal on the disk. `None` if the disk crashed during the start.
    pub(crate) fn start(file: &File, disk: &Disk, time: &Time) -> Option<Self> {
        let clock = {
            let time = Arc::clone(time);
            Clock::new(move || Timestamp(time.load(Ordering::Relaxed)))
        };
        let telemetry = Arc::new(Telemetry::new(Arc::default()));
        let ack_tracker = AckTracker::new(clock.clone());
        let publisher = Publisher::new(&file.mesh, &State::default());
        let snapshots = publisher.subscribe();
        let sidecars = XdsSidecars::new(
            publisher,
            Arc::clone(&ack_tracker),
            Arc::new(Reporters::new(Arc::default(), ack_tracker.times())),
            Arc::clone(&telemetry),
            clock.clone(),
        );
        let sidecars = Published { sidecars, disk: disk.clone() };
        let parts = Parts {
            journal: Box::new(disk.clone()),
            sidecars: Box::new(sidecars),
            evidence_source: Box::new(Arc::clone(&telemetry)),
            clock,
            version: file.version(),
            mesh: file.mesh.clone(),
            services: file.services.clone(),
            freeze_windows: Vec::new(),
            flags: None,
            wake: Arc::default(),
            rollback_times: RollbackTimes::default(),
        };
        let (shown, view) = watch::channel(Arc::default());
        let (records, _) = broadcast::channel(16);
        match Engine::start(parts, shown, records) {
            Ok(engine) => Some(Self { engine, view, snapshots, ack_tracker, telemetry }),
            Err(_) if disk.has_crashed() => None,
            Err(error) => panic!("the control plane does not start: {error}"),
        }
    }

    pub(crate) fn command(&mut self, command: &Command) -> Result<Outcome, CommandError> {
        let outcome = self.engine.command(command, &operator());
        self.engine.advance();
        outcome
    }

    pub(crate) fn reconfigure(&mut self, file: &File) -> Result<Outcome, CommandError> {
        let outcome = self.engine.reconfigure(&file.command(), file.mesh.clone(), &operator());
        self.engine.advance();
        outcome
    }

    pub(crate) fn advance(&mut self) {
        self.engine.advance();
    }

    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.view.borrow().state)
    }
}

fn operator() -> Origin {
    Origin { actor: "operator".to_owned(), reason: None }
}

/// The server's own implementation, and a comparison of what it publishes with the disk.
struct Published {
    sidecars: XdsSidecars,
    disk: Disk,
}

impl Sidecars for Published {
    fn publish(&mut self, mesh: &Mesh, state: &State) -> u64 {
        assert!(self.disk.state() == *state, "published before the append");
        self.sidecars.publish(mesh, state)
    }

    fn convergence(&self, serial: u64, service: &ServiceName) -> Convergence {
        self.sidecars.convergence(serial, service)
    }

    fn time_since_gap(&self, service: &ServiceName) -> Duration {
        self.sidecars.time_since_gap(service)
    }
}
