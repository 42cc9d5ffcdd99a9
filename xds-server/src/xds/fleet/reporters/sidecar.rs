//! One sidecar of an Istio fleet: the instances of its filter.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use tidegate_core::version::FilterVersion;
use tracing::info;

use super::configurations::Configurations;
use super::instance::{Generation, Instance, Rejection};
use super::{FORGET_AFTER, Reported};
use crate::xds::fleet::report_coverage::ReportCoverage;
use tidegate_delivery::units::Timestamp;

#[derive(Debug)]
pub(super) struct Sidecar {
    /// Its first report after a time without any.
    pub(super) since: Timestamp,
    pub(super) last_report: Timestamp,
    pub(super) filter_version: Option<FilterVersion>,
    instances: BTreeMap<u64, Instance>,
    /// The newest publication whose time was recorded.
    timed: u64,
}

impl Sidecar {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            last_report: now,
            filter_version: None,
            instances: BTreeMap::new(),
            timed: 0,
        }
    }

    /// Records a report, after which the next one is `due`. Returns true if anything but its time has changed.
    pub(super) fn record(&mut self, report: &Reported<'_>, now: Timestamp, due: Timestamp) -> bool {
        if self.reporting().next().is_none() {
            self.since = now;
        }
        self.last_report = now;
        if let Some(version) = report.filter_version {
            self.filter_version = Some(version.clone());
        }
        if let Some(instance) = self.instances.get_mut(&report.instance) {
            return instance.record(report, now, due);
        }
        self.instances.insert(report.instance, Instance::new(report, now, due));
        true
    }

    /// The instances that count.
    pub(super) fn reporting(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values().filter(|it| !it.is_overdue)
    }

    pub(super) fn has_instances(&self) -> bool {
        !self.instances.is_empty()
    }

    /// The newest publication that it has; [`u64::MAX`] for the newest configuration. `None` if it does not report.
    pub(super) fn synced(&self, configurations: &Configurations) -> Option<u64> {
        self.reporting().map(|it| configurations.last_serial(&it.config_version)).min()
    }

    /// The publications whose configuration it has since its last report, before which it `had` others. Publications that did
    /// not change the configuration are not among them.
    pub(super) fn reached(
        &mut self,
        had: Option<u64>,
        configurations: &Configurations,
    ) -> Option<RangeInclusive<u64>> {
        let has =
            self.reporting().map(|it| configurations.first_serial(&it.config_version)).min()?;
        let first = had.unwrap_or_default().max(self.timed).saturating_add(1);
        self.timed = self.timed.max(has);
        (first <= has).then_some(first..=has)
    }

    /// The rejection of the newest configuration by one of its instances.
    pub(super) fn rejection(&self) -> Option<&Rejection> {
        self.reporting().find_map(|instance| instance.rejection.as_ref())
    }

    /// The number of its silent instances.
    pub(super) fn silent(&self) -> u32 {
        let silent = self.instances.values().filter(|it| it.is_silent).count();
        u32::try_from(silent).unwrap_or(u32::MAX)
    }

    /// Finds out why overdue instances do not report. Returns true if anything has changed.
    pub(super) fn end_overdue(
        &mut self,
        report_coverage: ReportCoverage,
        now: Timestamp,
        on_silence: impl Fn(),
    ) -> bool {
        let overdue = self.instances.iter().filter(|(_, it)| it.due < now);
        let overdue: Vec<u64> = overdue.map(|(id, _)| *id).collect();
        let mut has_changed = false;
        for id in overdue {
            has_changed |= self.end_instance(id, report_coverage, now, &on_silence);
        }
        has_changed
    }

    fn end_instance(
        &mut self,
        id: u64,
        report_coverage: ReportCoverage,
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
        let is_new = !instance.is_silent
            && report_coverage.went_on_without(instance.last, instance.due, now);
        instance.is_silent |= is_new;
        if is_new {
            on_silence();
        }
        is_new || !was_overdue
    }
}
