//! The sidecars as the controller sees them: publication by xDS, convergence and reports from the ACK tracker.
//!
//! A service's sidecars are those of the fleets that carry it, as of the last publication.

use std::sync::Arc;
use std::time::Duration;

use crate::controller::Sidecars;
use crate::telemetry::Telemetry;
use crate::xds::fleet::AckTracker;
use crate::xds::publisher::Publisher;
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{FleetName, ServiceName};
use tidegate_xds::mesh::Mesh;

/// Publishes to streams and telemetry, and reads the ACK tracker.
#[derive(Debug)]
pub struct XdsSidecars {
    publisher: Publisher,
    ack_tracker: Arc<AckTracker>,
    telemetry: Arc<Telemetry>,
    /// Of the last publication.
    mesh: Arc<Mesh>,
}

impl XdsSidecars {
    /// Publishes with `publisher`, whose snapshots the streams watch.
    #[must_use]
    pub fn new(
        publisher: Publisher,
        ack_tracker: Arc<AckTracker>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let mesh = Arc::new(Mesh::new(String::new(), Vec::new()));
        Self { publisher, ack_tracker, telemetry, mesh }
    }

    fn carries(&self, service: &ServiceName) -> impl Fn(&FleetName) -> bool {
        |fleet| self.mesh.fleet(fleet.as_str()).is_some_and(|fleet| fleet.serves(service))
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
        self.publisher.publish(mesh, state)
    }

    fn convergence(&self, serial: u64, service: &ServiceName) -> Convergence {
        self.ack_tracker.convergence(serial, self.carries(service))
    }

    fn time_since_gap(&self, service: &ServiceName) -> Duration {
        self.ack_tracker.time_since_gap(self.carries(service))
    }
}
