//! The sidecars of Istio fleets. They have no xDS stream: each of their reports names the configuration in force, and the
//! response brings a newer one.
//!
//! Each thread of an Envoy runs an instance of the filter, which reports for itself. A sidecar has a publication when all
//! its instances have it. An instance that has not reported for [`super::MISSED_INTERVALS`] no longer counts, and is one of these:
//!
//! | Instance | Sign | Consequence |
//! |---|---|---|
//! | gone | its connection is closed: the pod has ended | none |
//! | replaced | an instance of a later generation reports: the module was loaded again | none |
//! | silent | its connection is open, and other instances report: its VM has failed | alert, until it reports or [`FORGET_AFTER`] |
//!
//! With `failStrategy: FAIL_OPEN` Envoy does not start a failed VM again, and skips the filter without an error.
//!
//! Callers must call [`Reporters::sweep`] periodically.

mod configurations;
mod fleet;
mod instance;
mod sidecar;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::version::FilterVersion;
use tokio::sync::Notify;

use self::fleet::Fleet;
use super::node::NodeStatus;
use super::times::PublicationTimes;
use crate::auth::peer::ConnectionRef;
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::names::{FleetName, ServiceName, Services};
use tidegate_delivery::units::Timestamp;

/// Time after which a silent instance is no longer an alert, and a sidecar without instances no longer listed. Behind a
/// proxy of the mesh a pod that has ended looks like a failed VM, because the proxy keeps its connection open.
pub const FORGET_AFTER: Duration = Duration::from_secs(600);

/// The reporting sidecars of Istio fleets.
#[derive(Debug)]
pub struct Reporters {
    fleets: Mutex<BTreeMap<FleetName, Fleet>>,
    times: Arc<PublicationTimes>,
    wake: Arc<Notify>,
}

/// An Istio fleet, as of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFleet {
    /// Its name.
    pub name: FleetName,
    /// Its services.
    pub services: Services,
    /// The version of the filter's configuration.
    pub config_version: String,
}

/// A report, as far as it concerns the configuration.
#[derive(Debug)]
pub struct Reported<'a> {
    /// The fleet.
    pub fleet: &'a str,
    /// Envoy's `node.id`.
    pub node: &'a str,
    /// The number of the filter instance.
    pub instance: u64,
    /// The version of the configuration in force; empty without one.
    pub config_version: &'a str,
    /// Why the configuration that it received last is not in force; empty if it is.
    pub config_error: &'a str,
    /// The version of the filter, if it is known.
    pub filter_version: Option<&'a FilterVersion>,
    /// The time until its next report.
    pub interval: Duration,
    /// The connection of the report.
    pub connection: ConnectionRef,
}

/// The number of sidecars of a fleet in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReporterCounts {
    /// They have the newest configuration.
    pub synced: u32,
    /// They have an older one.
    pub lagging: u32,
    /// At least one of their instances is silent.
    pub silent: u32,
}

impl Reporters {
    /// Without fleets. Sidecars that have a publication are recorded in `times`; `wake` is notified when convergence may have
    /// changed.
    #[must_use]
    pub const fn new(wake: Arc<Notify>, times: Arc<PublicationTimes>) -> Self {
        Self { fleets: Mutex::new(BTreeMap::new()), times, wake }
    }

    /// Records a publication. Fleets that are not in it are forgotten.
    pub fn published(&self, serial: u64, published: Vec<PublishedFleet>) {
        let mut fleets = self.fleets.lock();
        fleets.retain(|name, _| published.iter().any(|it| it.name == *name));
        for PublishedFleet { name, services, config_version } in published {
            let fleet = fleets.entry(name).or_insert_with(|| Fleet::new(services.clone()));
            fleet.services = services;
            fleet.publish(serial, config_version);
        }
    }

    /// Records a report. Returns false if the fleet is not one of an Istio mesh.
    pub fn record(&self, report: &Reported<'_>, now: Timestamp) -> bool {
        let mut fleets = self.fleets.lock();
        let Some(fleet) = fleets.get_mut(report.fleet) else {
            return false;
        };
        let has_changed = fleet.record(report, now, &self.times);
        drop(fleets);
        if has_changed {
            self.wake.notify_one();
        }
        true
    }

    /// Finds the instances that have become silent, and forgets those that have ended.
    pub fn sweep(&self, now: Timestamp) {
        let mut has_changed = false;
        for (name, fleet) in self.fleets.lock().iter_mut() {
            has_changed |= fleet.sweep(name, now);
        }
        if has_changed {
            self.wake.notify_one();
        }
    }

    /// Adds the sidecars of a service's fleets to the convergence of a publication.
    pub fn add_to(&self, convergence: &mut Convergence, serial: u64, service: &ServiceName) {
        let fleets = self.fleets.lock();
        for fleet in fleets.values().filter(|fleet| fleet.services.include(service)) {
            fleet.add_to(convergence, serial);
        }
    }

    /// Time since the last interruption of all reports in the fleets of a service; zero during one, `None` without
    /// reporting sidecars.
    #[must_use]
    pub fn time_since_gap(&self, service: &ServiceName, now: Timestamp) -> Option<Duration> {
        let fleets = self.fleets.lock();
        let reporting = fleets
            .values()
            .filter(|fleet| fleet.services.include(service) && !fleet.sidecars.is_empty());
        reporting.map(|fleet| fleet.report_coverage.time_since_gap(now)).min()
    }

    /// Whether a sidecar reports, and all that do have the newest configuration of their fleet.
    #[must_use]
    pub fn all_have_newest(&self) -> bool {
        let fleets = self.fleets.lock();
        let synced = fleets
            .values()
            .flat_map(|fleet| fleet.sidecars.values().filter_map(|it| fleet.synced(it)));
        let mut synced = synced.peekable();
        synced.peek().is_some() && synced.all(|synced| synced == u64::MAX)
    }

    /// All sidecars, by fleet and name.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let fleets = self.fleets.lock();
        let all = fleets.iter().flat_map(|(name, fleet)| {
            fleet.sidecars.iter().map(move |(node, it)| fleet.status(name, node, it))
        });
        all.collect()
    }

    /// The number of sidecars in each state, by fleet.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<FleetName, ReporterCounts> {
        let fleets = self.fleets.lock();
        fleets.iter().map(|(name, fleet)| (name.clone(), fleet.counts())).collect()
    }
}
