//! The sidecars of one Istio fleet.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::warn;

use super::configurations::Configurations;
use super::sidecar::Sidecar;
use super::{FORGET_AFTER, Reported, ReporterCounts};
use crate::xds::fleet::ack_tracker::one_line;
use crate::xds::fleet::report_coverage::ReportCoverage;
use crate::xds::fleet::silence::{MISSED_INTERVALS, SilentSidecars};
use crate::xds::fleet::times::PublicationTimes;
use crate::xds::fleet::{Channel, NodeStatus, Reporting};
use tidegate_delivery::model::progress::{Convergence, MAX_NAMED};
use tidegate_delivery::names::{FleetName, Services};
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::Kind;

#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) services: Services,
    pub(super) sidecars: BTreeMap<Arc<str>, Sidecar>,
    pub(super) report_coverage: ReportCoverage,
    configurations: Configurations,
}

impl Fleet {
    pub(super) fn new(services: Services) -> Self {
        Self {
            services,
            sidecars: BTreeMap::new(),
            report_coverage: ReportCoverage::default(),
            configurations: Configurations::default(),
        }
    }

    pub(super) fn publish(&mut self, serial: u64, config_version: String) {
        self.configurations.publish(serial, config_version);
    }

    /// Records a report, and in `times` what its sidecar has from now on. Returns true if anything but its time has changed.
    pub(super) fn record(
        &mut self,
        report: &Reported<'_>,
        now: Timestamp,
        times: &PublicationTimes,
    ) -> bool {
        let due = now.after(report.interval * MISSED_INTERVALS);
        self.report_coverage.record(now, due);
        let name = Arc::from(report.node);
        let sidecar = self.sidecars.entry(name).or_insert_with(|| Sidecar::new(now));
        let had = sidecar.synced(&self.configurations);
        let has_changed = sidecar.record(report, now, due);
        if has_changed && let Some(reached) = sidecar.reached(had, &self.configurations) {
            times.record(&reached, sidecar.since, now);
        }
        has_changed
    }

    /// Returns true if anything has changed.
    pub(super) fn sweep(&mut self, name: &FleetName, now: Timestamp) -> bool {
        let report_coverage = self.report_coverage;
        let mut has_changed = false;
        for (node, sidecar) in &mut self.sidecars {
            has_changed |= sidecar.end_overdue(report_coverage, now, || {
                warn!(
                    fleet = %name, node = one_line(node),
                    "an instance of the sidecar's filter has stopped reporting while others report: its VM may have failed; restart the pod"
                );
            });
        }
        let before = self.sidecars.len();
        self.sidecars.retain(|_, sidecar| {
            sidecar.has_instances() || now.since(sidecar.last_report) < FORGET_AFTER
        });
        has_changed || self.sidecars.len() != before
    }

    pub(super) fn add_to(&self, convergence: &mut Convergence, serial: u64) {
        self.silent().add_to(convergence);
        for (name, sidecar) in &self.sidecars {
            let Some(synced) = self.synced(sidecar) else {
                convergence.silent_unconnected += u32::from(sidecar.silent() > 0);
                continue;
            };
            convergence.connected += 1;
            if let Some(rejection) = sidecar.rejection() {
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

    pub(super) fn counts(&self) -> ReporterCounts {
        let mut counts =
            ReporterCounts { silent: self.silent().count, ..ReporterCounts::default() };
        for sidecar in self.sidecars.values() {
            match self.synced(sidecar) {
                Some(u64::MAX) => counts.synced += 1,
                Some(_) => counts.lagging += 1,
                None => {}
            }
        }
        counts
    }

    pub(super) fn synced(&self, sidecar: &Sidecar) -> Option<u64> {
        sidecar.synced(&self.configurations)
    }

    fn silent(&self) -> SilentSidecars {
        let silent = self.sidecars.iter().filter(|(_, sidecar)| sidecar.silent() > 0);
        silent.map(|(name, _)| &**name).collect()
    }

    pub(super) fn status(&self, fleet: &FleetName, name: &str, sidecar: &Sidecar) -> NodeStatus {
        let serial = |version: &str| self.configurations.last_serial(version);
        let oldest = sidecar.reporting().min_by_key(|it| serial(&it.config_version));
        let in_force = oldest.filter(|it| !it.config_version.is_empty());
        let instances = sidecar.reporting().count();
        let rejected = sidecar.rejection().map(|it| (Kind::Extension, it.status()));
        NodeStatus {
            node: name.to_owned(),
            fleet: fleet.clone(),
            connected: oldest.is_some(),
            since: if oldest.is_some() { sidecar.since } else { sidecar.last_report },
            channel: Channel::Reports(Reporting {
                instances: u32::try_from(instances).unwrap_or(u32::MAX),
                silent: sidecar.silent(),
            }),
            synced: self.synced(sidecar).unwrap_or_default(),
            acked: in_force
                .map(|it| (Kind::Extension, it.config_version.clone()))
                .into_iter()
                .collect(),
            nacks: rejected.clone().into_iter().collect(),
            last_nack: rejected,
            filter_version: sidecar.filter_version.clone(),
            last_report: Some(sidecar.last_report),
            silent: sidecar.silent() > 0,
        }
    }
}
