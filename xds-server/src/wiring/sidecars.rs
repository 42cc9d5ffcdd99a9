//! The interface of the controller to the sidecars: publication and convergence.

use std::sync::Arc;

use tidegate::controller::Sidecars;
use tidegate::telemetry::Telemetry;
use tidegate::telemetry::grpc::FilterConfigs;
use tidegate::xds::fleet::AckTracker;
use tidegate::xds::publisher::Publisher;
use tidegate_core::config::FilterConfig;
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::model::state::State;
use tidegate_xds::mesh::Mesh;
use tidegate_xds::resources::SnapshotSet;
use tokio::sync::watch;

/// Publishes by xDS, and reads convergence from the ACK tracker.
pub(super) struct XdsSidecars {
    pub(super) publisher: Publisher,
    pub(super) ack_tracker: Arc<AckTracker>,
    pub(super) telemetry: Arc<Telemetry>,
}

impl Sidecars for XdsSidecars {
    fn publish(&mut self, mesh: &Mesh, state: &State) -> u64 {
        // Before the publication: reports about its versions may follow at once.
        self.telemetry.update(state);
        // Before the publication: a sidecar may ACK it before this function returns.
        let last = self.publisher.subscribe().borrow().serial();
        self.ack_tracker.publishing(last.saturating_add(1));
        self.publisher.publish(mesh, state)
    }

    fn convergence(&self, serial: u64) -> Convergence {
        self.ack_tracker.convergence(serial)
    }
}

/// The last publication, for sidecars that request their configuration with reports.
pub(super) struct Published(pub(super) watch::Receiver<Arc<SnapshotSet>>);

impl FilterConfigs for Published {
    fn of(&self, fleet: &str) -> Option<Arc<FilterConfig>> {
        self.0.borrow().fleet(fleet)?.filter_config().cloned()
    }
}
