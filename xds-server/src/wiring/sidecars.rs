//! The sidecars, as the controller sees them: where decisions go, and where evidence comes from.

use std::sync::Arc;
use std::time::Duration;

use tidegate::config;
use tidegate::controller::{Counts, Sidecars};
use tidegate::delivery::catalogue::Guardrails;
use tidegate::delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate::delivery::progress::Convergence;
use tidegate::delivery::state::State;
use tidegate::delivery::units::Timestamp;
use tidegate::judge::Evidence;
use tidegate::telemetry::Telemetry;
use tidegate::telemetry::grpc::FilterConfigs;
use tidegate::xds::fleet::Ledger;
use tidegate::xds::resources::{Publisher, SnapshotSet};
use tidegate_core::config::FilterConfig;
use tokio::sync::watch;

/// Publishes by xDS, and knows from the ledger who has what.
pub(super) struct Mesh {
    pub(super) publisher: Publisher,
    pub(super) ledger: Arc<Ledger>,
    pub(super) telemetry: Arc<Telemetry>,
}

impl Sidecars for Mesh {
    fn publish(&mut self, state: &State) -> u64 {
        // First: the reports that follow from a publication must be expected.
        self.telemetry.follow(state);
        // Before: a sidecar may have it before this returns.
        let last = self.publisher.subscribe().borrow().serial();
        self.ledger.publishing(last.saturating_add(1));
        self.publisher.publish(state)
    }

    fn rewire(&mut self, mesh: config::Mesh) -> config::Mesh {
        self.publisher.rewire(mesh)
    }

    fn convergence(&self, serial: u64) -> Convergence {
        self.ledger.convergence(serial)
    }
}

/// Evidence from the sidecars' reports.
pub(super) struct Reported(pub(super) Arc<Telemetry>);

impl Counts for Reported {
    fn evidence(
        &self,
        release: &ReleaseId,
        service: &ServiceName,
        version: &VersionName,
        guardrails: &Guardrails,
    ) -> Evidence {
        self.0.evidence(release, service, version, guardrails)
    }

    fn unbroken(&self, now: Timestamp) -> Duration {
        self.0.unbroken(now)
    }
}

/// What was published last, for sidecars that ask for it with their reports.
pub(super) struct Published(pub(super) watch::Receiver<Arc<SnapshotSet>>);

impl FilterConfigs for Published {
    fn of(&self, fleet: &str) -> Option<Arc<FilterConfig>> {
        self.0.borrow().fleet(fleet)?.filter_config().cloned()
    }
}
