//! The sidecars as the controller sees them: publication by xDS and in report responses, convergence and reports from the
//! ACK tracker and the reporters of Istio fleets.
//!
//! A service's sidecars are those of the fleets that serve it, as of the last publication.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::controller::Sidecars;
use crate::telemetry::Telemetry;
use crate::xds::fleet::AckTracker;
use crate::xds::fleet::reporters::{PublishedFleet, Reporters};
use crate::xds::publisher::Publisher;
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{FleetName, ServiceName};
use tidegate_xds::mesh::{Fleet, Mesh};

/// Publishes to streams, reporters and telemetry, and reads the ACK tracker and the reporters.
#[derive(Debug)]
pub struct XdsSidecars {
    publisher: Publisher,
    ack_tracker: Arc<AckTracker>,
    reporters: Arc<Reporters>,
    telemetry: Arc<Telemetry>,
    clock: Clock,
    /// Of the last publication.
    mesh: Arc<Mesh>,
}

impl XdsSidecars {
    /// Publishes with `publisher`, whose snapshots the streams watch.
    #[must_use]
    pub fn new(
        publisher: Publisher,
        ack_tracker: Arc<AckTracker>,
        reporters: Arc<Reporters>,
        telemetry: Arc<Telemetry>,
        clock: Clock,
    ) -> Self {
        let mesh = Arc::new(Mesh::new(String::new(), Vec::new()));
        Self { publisher, ack_tracker, reporters, telemetry, clock, mesh }
    }

    fn serves(&self, service: &ServiceName) -> impl Fn(&FleetName) -> bool {
        |fleet| self.mesh.fleet(fleet.as_str()).is_some_and(|fleet| fleet.serves(service))
    }

    /// The fleets that receive their configuration in report responses.
    fn istio_fleets(&self) -> Vec<PublishedFleet> {
        let snapshots = self.publisher.subscribe();
        let snapshots = snapshots.borrow();
        let published = |fleet: &Fleet| {
            let services = fleet.istio()?.services.clone();
            let config = snapshots.fleet(fleet.name.as_str())?.encoded_config()?;
            let config_version = config.version.clone();
            Some(PublishedFleet { name: fleet.name.clone(), services, config_version })
        };
        self.mesh.fleets.iter().filter_map(published).collect()
    }
}

impl Sidecars for XdsSidecars {
    fn publish(&mut self, mesh: &Mesh, state: &State) -> u64 {
        if *self.mesh != *mesh {
            self.mesh = Arc::new(mesh.clone());
        }
        // Before the publication: reports about its versions may follow at once.
        self.telemetry.update(&self.mesh, state);
        // Before the publication: a sidecar may ACK it before this function returns.
        let last = self.publisher.subscribe().borrow().serial();
        self.ack_tracker.publishing(last.saturating_add(1));
        let serial = self.publisher.publish(mesh, state);
        self.reporters.published(serial, self.istio_fleets());
        serial
    }

    fn convergence(&self, serial: u64, service: &ServiceName) -> Convergence {
        let mut convergence = self.ack_tracker.convergence(serial, self.serves(service));
        self.reporters.add_to(&mut convergence, serial, service);
        convergence
    }

    fn time_since_gap(&self, service: &ServiceName) -> Duration {
        let streamed = self.ack_tracker.time_since_gap(self.serves(service));
        let reported = self.reporters.time_since_gap(service, self.clock.now());
        streamed.into_iter().chain(reported).min().unwrap_or_default()
    }
}
