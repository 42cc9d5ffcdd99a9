//! Sums of reported counts per version of one service.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_core::histogram::Histogram;
use tidegate_core::utilization::UtilizationHistogram;

use super::intake::Entry;
use super::recent::{RecentCounts, RecentFigures};
use tidegate_delivery::judge::guardrails::{Guardrails, Latency, Resources};
use tidegate_delivery::judge::{Evidence, ResourceSamples, ResourceUse, Share, SlowRequests};
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::names::{MetricName, ReleaseId, VersionName};
use tidegate_delivery::units::Timestamp;

/// Requests of one version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Finished requests, including failed ones.
    pub requests: u64,
    /// Requests that the version failed: HTTP 5xx, resets, gRPC errors.
    pub errors: u64,
    /// Requests with HTTP 4xx.
    pub client_errors: u64,
    /// Requests cancelled by the client; not part of `requests`.
    pub cancelled: u64,
    /// Durations.
    #[serde(skip)]
    pub latency: Histogram,
    /// Utilization that the instances reported in ORCA headers.
    #[serde(skip)]
    pub utilization: Utilization,
    /// Requests per business metric.
    #[serde(skip)]
    pub business: BTreeMap<MetricName, Share>,
}

/// Utilization by resource.
#[expect(missing_docs, reason = "named by resource")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Utilization {
    pub cpu: UtilizationHistogram,
    pub memory: UtilizationHistogram,
    pub disk: UtilizationHistogram,
}

impl Counts {
    /// Adds counts, and of business metrics only the declared ones.
    fn add(&mut self, other: &Self, rules: &[MetricName]) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.client_errors = self.client_errors.saturating_add(other.client_errors);
        self.cancelled = self.cancelled.saturating_add(other.cancelled);
        self.latency.merge(&other.latency);
        self.utilization.cpu.merge(&other.utilization.cpu);
        self.utilization.memory.merge(&other.utilization.memory);
        self.utilization.disk.merge(&other.utilization.disk);
        for rule in rules {
            if let Some(counted) = other.business.get(rule) {
                let share = self.business.entry(rule.clone()).or_default();
                share.requests = share.requests.saturating_add(counted.requests);
                share.bad = share.bad.saturating_add(counted.bad);
            }
        }
    }

    /// These counts by the limits of guardrails. More bad requests than requests cannot be, and are cut.
    #[must_use]
    pub fn evidence(&self, guardrails: &Guardrails) -> Evidence {
        let Latency { warning, critical, rollback, .. } = guardrails.latency;
        let rules = guardrails.business.iter();
        Evidence {
            requests: self.requests,
            errors: self.errors.min(self.requests),
            slow: SlowRequests {
                warning: self.latency.count_above(warning).min(self.requests),
                critical: self.latency.count_above(critical).min(self.requests),
                rollback: self.latency.count_above(rollback).min(self.requests),
            },
            resource_use: ResourceUse {
                cpu: above(&self.utilization.cpu, &guardrails.resources),
                memory: above(&self.utilization.memory, &guardrails.resources),
                disk: above(&self.utilization.disk, &guardrails.resources),
            },
            business: rules
                .map(|rule| self.business.get(&rule.name).copied().unwrap_or_default())
                .collect(),
        }
    }
}

fn above(utilization: &UtilizationHistogram, limits: &Resources) -> ResourceSamples {
    ResourceSamples {
        samples: utilization.total(),
        warning: utilization.count_above(limits.warning.parts()),
        critical: utilization.count_above(limits.critical.parts()),
    }
}

/// The version is not in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownVersion;

/// Counts of one service: per version since the start of the server, and per version in the running release.
#[derive(Debug, Default)]
pub struct ServiceCounts {
    totals: BTreeMap<VersionName, Counts>,
    /// Of versions that had requests.
    recent: BTreeMap<VersionName, RecentCounts>,
    rules: Vec<MetricName>,
    release: Option<(ReleaseId, BTreeMap<VersionName, Counts>)>,
}

impl ServiceCounts {
    /// Sets versions, business metrics and the running release. Counts of removed versions and of another release are
    /// dropped.
    pub fn update(&mut self, spec: &ServiceSpec, release: Option<ReleaseId>) {
        let mut before = std::mem::take(&mut self.totals);
        self.rules = spec.guardrails.business.iter().map(|rule| rule.name.clone()).collect();
        self.totals = spec
            .versions
            .keys()
            .map(|version| (version.clone(), before.remove(version).unwrap_or_default()))
            .collect();
        self.recent.retain(|version, _| spec.versions.contains_key(version));
        if self.release.as_ref().map(|(id, _)| id) != release.as_ref() {
            self.release = release.map(|id| (id, BTreeMap::new()));
        }
    }

    /// Adds one entry of a report that arrived now. True if it belongs to the running release.
    ///
    /// # Errors
    /// If the version is not in the catalogue.
    pub fn add(&mut self, now: Timestamp, entry: &Entry) -> Result<bool, UnknownVersion> {
        let (version, total) = self
            .totals
            .iter_mut()
            .find(|(name, _)| name.as_str() == entry.version)
            .ok_or(UnknownVersion)?;
        total.add(&entry.counts, &self.rules);
        self.recent.entry(version.clone()).or_default().add(now, &entry.counts);
        match &mut self.release {
            Some((id, counts)) if id.as_str() == entry.release => {
                let counts = counts.entry(version.clone()).or_default();
                counts.add(&entry.counts, &self.rules);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Counts per version since the start of the server.
    #[must_use]
    pub const fn totals(&self) -> &BTreeMap<VersionName, Counts> {
        &self.totals
    }

    /// The requests of the last half minute, per version that had any.
    #[must_use]
    pub fn recent(&self, now: Timestamp) -> BTreeMap<VersionName, RecentFigures> {
        self.recent.iter().map(|(name, counts)| (name.clone(), counts.figures(now))).collect()
    }

    /// Evidence of a version in a release; empty unless that release is running.
    #[must_use]
    pub fn evidence(
        &self,
        release: &ReleaseId,
        version: &VersionName,
        guardrails: &Guardrails,
    ) -> Evidence {
        let counts = self.of_release(release, version);
        counts.map_or_else(Evidence::default, |counts| counts.evidence(guardrails))
    }

    /// Raw counts of a version in a release; none unless that release is running.
    #[must_use]
    pub fn of_release(&self, release: &ReleaseId, version: &VersionName) -> Option<&Counts> {
        let (_, counts) = self.release.as_ref().filter(|(id, _)| id == release)?;
        counts.get(version)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tidegate_delivery::fixtures::order;

    fn entry(version: &str, release: &str, requests: u64, slow: bool) -> Entry {
        let mut counts = Counts { requests, errors: 1, ..Counts::default() };
        for _ in 0..requests {
            counts.latency.record(Duration::from_secs(if slow { 20 } else { 0 }));
        }
        Entry { service: "order".into(), version: version.into(), release: release.into(), counts }
    }

    fn counts_of(release: &str) -> ServiceCounts {
        let mut counts = ServiceCounts::default();
        counts.update(&order(), Some(release.parse().unwrap()));
        counts
    }

    #[test]
    fn only_entries_of_the_running_release_are_evidence() {
        let mut counts = counts_of("order.2");
        assert_eq!(counts.add(Timestamp(0), &entry("v2", "order.2", 5, false)), Ok(true));
        assert_eq!(counts.add(Timestamp(0), &entry("v2", "order.1", 7, false)), Ok(false));
        assert_eq!(counts.add(Timestamp(0), &entry("v2", "", 9, false)), Ok(false));
        let (v2, guardrails) = ("v2".parse().unwrap(), Guardrails::default());
        let seen = counts.evidence(&"order.2".parse().unwrap(), &v2, &guardrails);
        assert_eq!((seen.requests, seen.errors), (5, 1));
        let other = counts.evidence(&"order.1".parse().unwrap(), &v2, &guardrails);
        assert_eq!(other, Evidence::default());
        assert_eq!(counts.totals().get(&v2).unwrap().requests, 21);
    }

    #[test]
    fn a_new_release_starts_without_evidence() {
        let mut counts = counts_of("order.1");
        counts.add(Timestamp(0), &entry("v2", "order.1", 5, false)).unwrap();
        let mut spec = order();
        spec.versions.retain(|name, _| name.as_str() == "v2");
        counts.update(&spec, Some("order.2".parse().unwrap()));
        let v2 = "v2".parse().unwrap();
        let seen = counts.evidence(&"order.2".parse().unwrap(), &v2, &Guardrails::default());
        assert_eq!(seen, Evidence::default());
        assert_eq!(counts.totals().get("v2").unwrap().requests, 5, "totals continue");
        assert_eq!(
            counts.add(Timestamp(0), &entry("v1", "", 1, false)),
            Err(UnknownVersion),
            "v1 was removed"
        );
    }

    #[test]
    fn a_slow_request_counts_for_each_limit_it_exceeds() {
        let mut counts = counts_of("order.1");
        counts.add(Timestamp(0), &entry("v2", "order.1", 3, true)).unwrap();
        let seen = counts.evidence(
            &"order.1".parse().unwrap(),
            &"v2".parse().unwrap(),
            &Guardrails::default(),
        );
        assert_eq!(seen.slow, SlowRequests { warning: 3, critical: 3, rollback: 3 });
    }
}
