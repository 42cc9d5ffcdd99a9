//! The sidecars, as the controller sees them: where decisions go, and where evidence comes from.

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

/// Publishes by xDS, and knows from the ledger who has what.
pub(super) struct XdsSidecars {
    pub(super) publisher: Publisher,
    pub(super) ack_tracker: Arc<AckTracker>,
    pub(super) telemetry: Arc<Telemetry>,
}

impl Sidecars for XdsSidecars {
    fn publish(&mut self, mesh: &Mesh, state: &State) -> u64 {
        // First: the reports that follow from a publication must be expected.
        self.telemetry.update(state);
        // Before: a sidecar may have it before this returns.
        let last = self.publisher.subscribe().borrow().serial();
        self.ack_tracker.publishing(last.saturating_add(1));
        self.publisher.publish(mesh, state)
    }

    fn convergence(&self, serial: u64) -> Convergence {
        self.ack_tracker.convergence(serial)
    }
}

/// What was published last, for sidecars that ask for it with their reports.
pub(super) struct Published(pub(super) watch::Receiver<Arc<SnapshotSet>>);

impl FilterConfigs for Published {
    fn of(&self, fleet: &str) -> Option<Arc<FilterConfig>> {
        self.0.borrow().fleet(fleet)?.filter_config().cloned()
    }
}
