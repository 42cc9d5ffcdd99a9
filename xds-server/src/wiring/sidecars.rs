//! The interface of the controller to the sidecars: publication and convergence.

use std::sync::Arc;

use tidegate::controller::Sidecars;
use tidegate::telemetry::Telemetry;
use tidegate::telemetry::grpc::FilterConfigs;
use tidegate::xds::fleet::AckTracker;
use tidegate::xds::fleet::reporters::{PublishedFleet, Reporters};
use tidegate::xds::publisher::Publisher;
use tidegate_delivery::model::progress::{Convergence, SilentSidecars};
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::ServiceName;
use tidegate_xds::mesh::{Fleet, Mesh};
use tidegate_xds::resources::{EncodedConfig, SnapshotSet};
use tokio::sync::watch;

/// Publishes by xDS, and reads convergence from the ACK tracker.
pub(super) struct XdsSidecars {
    pub(super) publisher: Publisher,
    pub(super) ack_tracker: Arc<AckTracker>,
    pub(super) reporters: Arc<Reporters>,
    pub(super) telemetry: Arc<Telemetry>,
}

impl Sidecars for XdsSidecars {
    fn publish(&mut self, mesh: &Mesh, state: &State) -> u64 {
        // Before the publication: reports about its versions may follow at once.
        self.telemetry.update(state);
        // Before the publication: a sidecar may ACK it before this function returns.
        let last = self.publisher.subscribe().borrow().serial();
        self.ack_tracker.publishing(last.saturating_add(1));
        let serial = self.publisher.publish(mesh, state);
        self.reporters.published(serial, istio_fleets(mesh, &self.publisher));
        serial
    }

    fn convergence(&self, serial: u64) -> Convergence {
        let mut convergence = self.ack_tracker.convergence(serial);
        self.reporters.add_to(&mut convergence, serial);
        convergence
    }

    fn silent(&self, service: &ServiceName) -> SilentSidecars {
        self.reporters.silent(service)
    }
}

fn istio_fleets(mesh: &Mesh, publisher: &Publisher) -> Vec<PublishedFleet> {
    let snapshots = publisher.subscribe();
    let snapshots = snapshots.borrow();
    let fleet = |fleet: &Fleet| {
        let services = fleet.istio()?.services.clone();
        let config = snapshots.fleet(fleet.name.as_str())?.encoded_config()?;
        let config_version = config.version.clone();
        Some(PublishedFleet { name: fleet.name.clone(), services, config_version })
    };
    mesh.fleets.iter().filter_map(fleet).collect()
}

/// The last publication, for sidecars that request their configuration with reports.
pub(super) struct Published(pub(super) watch::Receiver<Arc<SnapshotSet>>);

impl FilterConfigs for Published {
    fn of(&self, fleet: &str) -> Option<Arc<EncodedConfig>> {
        self.0.borrow().fleet(fleet)?.encoded_config().cloned()
    }
}
