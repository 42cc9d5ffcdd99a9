//! The sidecars of Istio fleets. They have no xDS stream: each of their reports names the configuration in force, and the
//! response brings a newer one.
//!
//! Each thread of an Envoy runs an instance of the filter, which reports for itself. A sidecar has a publication when all
//! its instances have it. An instance that has not reported for [`MISSED_INTERVALS`] no longer counts, and is one of these:
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

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::version::FilterVersion;
use tokio::sync::Notify;
use tracing::{info, warn};

use self::coverage::Coverage;
use self::instance::{Generation, Instance, Rejection};
use super::ack_tracker::one_line;
use super::node::{Channel, NodeStatus, Reporting};
use crate::auth::peer::ConnectionRef;
use tidegate_delivery::model::progress::{Convergence, MAX_NAMED};
use tidegate_delivery::names::{FleetName, ServiceName, Services};
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::Kind;

mod coverage;
mod instance;

/// Intervals without a report after which an instance no longer counts.
pub const MISSED_INTERVALS: u32 = 3;
/// Time after which a silent instance is no longer an alert, and a sidecar without instances no longer listed. Behind a
/// proxy of the mesh a pod that has ended looks like a failed VM, because the proxy keeps its connection open.
pub const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Number of configurations of a fleet whose publications are known.
const MAX_CONFIGURATIONS: usize = 64;

/// The reporting sidecars of Istio fleets.
#[derive(Debug)]
pub struct Reporters {
    fleets: Mutex<BTreeMap<FleetName, Fleet>>,
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

#[derive(Debug)]
struct Fleet {
    services: Services,
    /// The configurations, the newest last.
    configurations: VecDeque<Configuration>,
    nodes: BTreeMap<Arc<str>, Node>,
    reports: Coverage,
}

#[derive(Debug)]
struct Configuration {
    version: String,
    /// The newest publication with it.
    last_serial: u64,
}

#[derive(Debug)]
struct Node {
    since: Timestamp,
    last_report: Timestamp,
    filter_version: Option<FilterVersion>,
    instances: BTreeMap<u64, Instance>,
}

impl Reporters {
    /// Without fleets. `wake` is notified when convergence may have changed.
    #[must_use]
    pub const fn new(wake: Arc<Notify>) -> Self {
        Self { fleets: Mutex::new(BTreeMap::new()), wake }
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
        let has_changed = fleet.record(report, now);
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
            for (name, node) in &fleet.nodes {
                if node.silent() > 0 {
                    convergence.silent += 1;
                    if convergence.silent_nodes.len() < MAX_NAMED {
                        convergence.silent_nodes.push(one_line(name));
                    }
                }
                let Some(synced) = fleet.synced(node) else { continue };
                convergence.connected += 1;
                if let Some(rejection) = node.rejection() {
                    convergence.nacked += 1;
                    if convergence.nacks.len() < MAX_NAMED {
                        convergence.nacks.push(rejection.nack_of(name));
                    }
                } else if synced >= serial {
                    convergence.acked += 1;
                } else if convergence.lagging.len() < MAX_NAMED {
                    convergence.lagging.push(one_line(name));
                }
            }
        }
    }

    /// Time since the last interruption of all reports in the fleets of a service; zero during one, `None` without
    /// reporting sidecars.
    #[must_use]
    pub fn time_since_gap(&self, service: &ServiceName, now: Timestamp) -> Option<Duration> {
        let fleets = self.fleets.lock();
        let reporting = fleets
            .values()
            .filter(|fleet| fleet.services.include(service) && !fleet.nodes.is_empty());
        reporting.map(|fleet| fleet.reports.time_since_gap(now)).min()
    }

    /// Whether a sidecar reports, and all that do have the newest configuration of their fleet.
    #[must_use]
    pub fn all_have_newest(&self) -> bool {
        let fleets = self.fleets.lock();
        let nodes =
            fleets.values().flat_map(|fleet| fleet.nodes.values().map(move |it| (fleet, it)));
        let mut synced = nodes.filter_map(|(fleet, node)| fleet.synced(node)).peekable();
        synced.peek().is_some() && synced.all(|synced| synced == u64::MAX)
    }

    /// All sidecars, by fleet and name.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let fleets = self.fleets.lock();
        let all = fleets.iter().flat_map(|(name, fleet)| {
            fleet.nodes.iter().map(move |(node, it)| fleet.status(name, node, it))
        });
        all.collect()
    }

    /// The number of sidecars in each state, by fleet.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<FleetName, ReporterCounts> {
        let fleets = self.fleets.lock();
        let count = |fleet: &Fleet| {
            let mut counts = ReporterCounts::default();
            for node in fleet.nodes.values() {
                match fleet.synced(node) {
                    Some(u64::MAX) => counts.synced += 1,
                    Some(_) => counts.lagging += 1,
                    None => {}
                }
                counts.silent += u32::from(node.silent() > 0);
            }
            counts
        };
        fleets.iter().map(|(name, fleet)| (name.clone(), count(fleet))).collect()
    }
}

impl Fleet {
    fn new(services: Services) -> Self {
        Self {
            services,
            configurations: VecDeque::new(),
            nodes: BTreeMap::new(),
            reports: Coverage::default(),
        }
    }

    /// The newest configuration belongs to all publications until the next one.
    fn publish(&mut self, serial: u64, version: String) {
        if let Some(newest) = self.configurations.back_mut() {
            if newest.version == version {
                return;
            }
            newest.last_serial = serial.saturating_sub(1);
        }
        self.configurations.retain(|it| it.version != version);
        if self.configurations.len() >= MAX_CONFIGURATIONS {
            self.configurations.pop_front();
        }
        self.configurations.push_back(Configuration { version, last_serial: u64::MAX });
    }

    fn record(&mut self, report: &Reported<'_>, now: Timestamp) -> bool {
        let due = now.after(report.interval * MISSED_INTERVALS);
        self.reports.record(now, due);
        let node = self.nodes.entry(Arc::from(report.node)).or_insert_with(|| Node {
            since: now,
            last_report: now,
            filter_version: None,
            instances: BTreeMap::new(),
        });
        node.last_report = now;
        if let Some(version) = report.filter_version {
            node.filter_version = Some(version.clone());
        }
        if let Some(instance) = node.instances.get_mut(&report.instance) {
            return instance.record(report, now, due);
        }
        let new = Instance::new(report, now, due);
        node.instances.insert(report.instance, new);
        true
    }

    /// Returns true if anything has changed.
    fn sweep(&mut self, name: &FleetName, now: Timestamp) -> bool {
        let reports = self.reports;
        let mut has_changed = false;
        for (node_name, node) in &mut self.nodes {
            let overdue: Vec<u64> =
                node.instances.iter().filter(|(_, it)| it.due < now).map(|(id, _)| *id).collect();
            for id in overdue {
                has_changed |= node.end_instance(id, reports, now, || {
                    warn!(
                        fleet = %name, node = &**node_name,
                        "an instance of the sidecar's filter has stopped reporting while others report: its VM may have failed; restart the pod"
                    );
                });
            }
        }
        let before = self.nodes.len();
        self.nodes.retain(|_, node| {
            !node.instances.is_empty() || now.since(node.last_report) < FORGET_AFTER
        });
        has_changed || self.nodes.len() != before
    }

    /// The newest publication that a sidecar has; [`u64::MAX`] for the newest configuration. `None` if it does not report.
    fn synced(&self, node: &Node) -> Option<u64> {
        node.reporting().map(|instance| self.last_serial(&instance.config_version)).min()
    }

    fn last_serial(&self, version: &str) -> u64 {
        let known = self.configurations.iter().find(|it| it.version == version);
        known.map_or(0, |it| it.last_serial)
    }

    fn status(&self, fleet: &FleetName, name: &str, node: &Node) -> NodeStatus {
        let oldest = node.reporting().min_by_key(|it| self.last_serial(&it.config_version));
        let in_force = oldest.filter(|it| !it.config_version.is_empty());
        let instances = node.reporting().count();
        let rejected = node.rejection().map(|it| (Kind::Extension, it.status()));
        NodeStatus {
            node: name.to_owned(),
            fleet: fleet.clone(),
            connected: oldest.is_some(),
            since: if oldest.is_some() { node.since } else { node.last_report },
            channel: Channel::Reports(Reporting {
                last_report: node.last_report,
                instances: u32::try_from(instances).unwrap_or(u32::MAX),
                silent: node.silent(),
            }),
            synced: self.synced(node).unwrap_or_default(),
            acked: in_force
                .map(|it| (Kind::Extension, it.config_version.clone()))
                .into_iter()
                .collect(),
            nacks: rejected.clone().into_iter().collect(),
            last_nack: rejected,
            filter_version: node.filter_version.clone(),
            last_report: Some(node.last_report),
            silent: node.silent() > 0,
        }
    }
}

impl Node {
    /// The instances that count.
    fn reporting(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values().filter(|it| !it.is_overdue)
    }

    /// The rejection of the newest configuration by one of its instances.
    fn rejection(&self) -> Option<&Rejection> {
        self.reporting().find_map(|instance| instance.rejection.as_ref())
    }

    fn silent(&self) -> u32 {
        let silent = self.instances.values().filter(|it| it.is_silent).count();
        u32::try_from(silent).unwrap_or(u32::MAX)
    }

    /// Handles an overdue instance. Returns true if anything has changed.
    fn end_instance(
        &mut self,
        id: u64,
        reports: Coverage,
        now: Timestamp,
        on_silence: impl FnOnce(),
    ) -> bool {
        let Some(instance) = self.instances.get(&id) else {
            return false;
        };
        let later = Generation::after(instance);
        let has_ended = !instance.connection.is_open() || now.since(instance.last) >= FORGET_AFTER;
        let replacement = self.instances.values_mut().find(|it| later.can_replace(it));
        if let Some(replacement) = replacement {
            replacement.has_replaced = true;
            self.instances.remove(&id);
            return true;
        }
        if has_ended {
            info!(instance = id, "an instance of a filter has ended");
            self.instances.remove(&id);
            return true;
        }
        let Some(instance) = self.instances.get_mut(&id) else {
            return false;
        };
        let was_overdue = std::mem::replace(&mut instance.is_overdue, true);
        let is_new = !instance.is_silent && reports.went_on(instance, now);
        instance.is_silent |= is_new;
        if is_new {
            on_silence();
        }
        is_new || !was_overdue
    }
}

#[cfg(test)]
mod tests;
