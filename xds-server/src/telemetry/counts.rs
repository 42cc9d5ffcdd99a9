//! Sums of reported counts per version of one service.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tidegate_core::histogram::Histogram;
use tidegate_core::utilization::UtilizationHistogram;

use super::intake::Entry;
use super::usual::{Quantiles, UNANSWERED, Usual, usual_answer};
use tidegate_delivery::judge::guardrails::{Guardrails, Latency, Resources};
use tidegate_delivery::judge::history::StableCounts;
use tidegate_delivery::judge::statistics::Units;
use tidegate_delivery::judge::{Evidence, ResourceSamples, ResourceUse, Share, SlowRequests};
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::model::release::Release;
use tidegate_delivery::names::{MetricName, ReleaseId, VersionName};

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
    /// How long the clients waited for the responses.
    #[serde(skip)]
    pub latency: Histogram,
    /// How long the clients of cancelled requests had waited.
    #[serde(skip)]
    pub abandoned: Histogram,
    /// How long the clients of requests in flight have waited until now.
    #[serde(skip)]
    pub waiting: Histogram,
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
    /// Adds counts of finished requests, and of business metrics only the declared ones.
    fn add(&mut self, other: &Self, rules: &[MetricName]) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.client_errors = self.client_errors.saturating_add(other.client_errors);
        self.cancelled = self.cancelled.saturating_add(other.cancelled);
        self.latency.merge(&other.latency);
        self.abandoned.merge(&other.abandoned);
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

    /// Failed requests, those included that a client gave up after `limit`.
    #[must_use]
    pub fn failures(&self, limit: Duration) -> Units {
        let unanswered = self.abandoned.count_above(limit);
        let all = self.requests.saturating_add(unanswered);
        Units { bad: self.errors.saturating_add(unanswered).min(all), all }
    }

    /// The wait of every request: of those without a response, until now or until the client left. A request never becomes
    /// faster in it.
    #[must_use]
    pub fn waits(&self) -> Histogram {
        let mut waits = self.latency.clone();
        waits.merge(&self.abandoned);
        waits.merge(&self.waiting);
        waits
    }

    /// These counts by the limits of guardrails and by what is usual. More bad requests than requests cannot be, and are cut.
    #[must_use]
    pub fn evidence(&self, guardrails: &Guardrails, usual: &Usual) -> Evidence {
        let Latency { warning, critical, rollback, .. } = guardrails.latency;
        let rules = guardrails.business.iter();
        let waits = self.waits();
        let all = waits.total();
        let errors = self.errors.min(self.requests);
        Evidence {
            requests: self.requests,
            errors,
            client_errors: self.client_errors.min(self.requests.saturating_sub(errors)),
            unanswered: self.abandoned.count_above(usual.answer),
            slow: SlowRequests {
                warning: waits.count_above(warning),
                critical: waits.count_above(critical),
                rollback: waits.count_above(rollback),
                unfinished: all.saturating_sub(self.requests),
            },
            slower: usual.slower(&waits),
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
    rules: Vec<MetricName>,
    /// The stable version and its quantiles, which change only while no release runs.
    stable: Option<StableVersion>,
    release: Option<ReleaseCounts>,
}

/// What is known of the stable version.
#[derive(Debug)]
struct StableVersion {
    name: VersionName,
    quantiles: Option<Quantiles>,
    epoch: u32,
}

/// Counts of the running release.
#[derive(Debug)]
struct ReleaseCounts {
    id: ReleaseId,
    stable: VersionName,
    counts: BTreeMap<VersionName, Counts>,
    /// What a client waits for an answer, fixed when the release starts.
    answer: Duration,
    /// Fixed as soon as enough requests of stable are known. Nothing before that is compared.
    quantiles: Option<Quantiles>,
    /// The waits of each version when the quantiles were fixed.
    before: BTreeMap<VersionName, Histogram>,
}

impl ReleaseCounts {
    fn begin(
        release: &Release,
        totals: &BTreeMap<VersionName, Counts>,
        known: Option<&StableVersion>,
    ) -> Self {
        let stable = totals.get(&release.stable).map(|counts| &counts.latency);
        let known = known.filter(|it| it.name == release.stable);
        Self {
            id: release.id.clone(),
            stable: release.stable.clone(),
            counts: BTreeMap::new(),
            answer: stable.map_or(UNANSWERED, usual_answer),
            quantiles: known.and_then(|it| it.quantiles),
            before: BTreeMap::new(),
        }
    }

    /// Compares the waits from now on, if enough requests of stable are known.
    fn fix_quantiles(&mut self) {
        let stable = self.counts.get(&self.stable);
        self.quantiles = stable.and_then(|counts| Quantiles::of(&counts.latency));
        if self.quantiles.is_some() {
            let waits =
                |(version, counts): (&VersionName, &Counts)| (version.clone(), counts.waits());
            self.before = self.counts.iter().map(waits).collect();
        }
    }

    fn usual(&self, version: &VersionName) -> Usual {
        Usual {
            answer: self.answer,
            quantiles: self.quantiles,
            is_stable: *version == self.stable,
            before: self.before.get(version).cloned(),
        }
    }
}

impl ServiceCounts {
    /// Sets versions, business metrics and the running release. Counts of removed versions and of another release are
    /// dropped.
    pub fn update(&mut self, spec: &ServiceSpec, stable: &VersionName, release: Option<&Release>) {
        let mut before = std::mem::take(&mut self.totals);
        self.rules = spec.guardrails.business.iter().map(|rule| rule.name.clone()).collect();
        self.totals = spec
            .versions
            .keys()
            .map(|version| (version.clone(), before.remove(version).unwrap_or_default()))
            .collect();
        if self.stable.as_ref().is_none_or(|it| it.name != *stable) {
            self.stable = Some(StableVersion { name: stable.clone(), quantiles: None, epoch: 0 });
        }
        if self.release.as_ref().map(|it| &it.id) != release.map(|it| &it.id) {
            let known = self.stable.as_ref();
            self.release = release.map(|it| ReleaseCounts::begin(it, &self.totals, known));
        }
    }

    /// The counts of the stable version since the start of the server.
    #[must_use]
    pub fn of_stable(&self, stable: &VersionName) -> StableCounts {
        let known = self.stable.as_ref().filter(|it| it.name == *stable);
        let Some((stable, counts)) = known.zip(self.totals.get(stable)) else {
            return StableCounts::default();
        };
        let usual = Usual {
            answer: UNANSWERED,
            quantiles: stable.quantiles,
            is_stable: true,
            before: None,
        };
        let errors = counts.errors.min(counts.requests);
        let client_errors = counts.client_errors.min(counts.requests.saturating_sub(errors));
        StableCounts {
            failures: counts.failures(UNANSWERED),
            client_failures: Units { bad: client_errors, all: counts.requests },
            slower: usual.slower(&counts.latency),
        }
    }

    /// Adds one entry of a report. True if it belongs to the running release.
    ///
    /// # Errors
    /// If the version is not in the catalogue.
    pub fn add(&mut self, entry: &Entry) -> Result<bool, UnknownVersion> {
        let (version, total) = self
            .totals
            .iter_mut()
            .find(|(name, _)| name.as_str() == entry.version)
            .ok_or(UnknownVersion)?;
        total.add(&entry.counts, &self.rules);
        let stable = self.stable.as_mut().filter(|it| it.name == *version);
        if let Some(stable) = stable.filter(|it| self.release.is_none() || it.quantiles.is_none()) {
            let epoch = Quantiles::epoch(total.requests);
            if epoch > stable.epoch {
                (stable.epoch, stable.quantiles) = (epoch, Quantiles::of(&total.latency));
            }
        }
        match &mut self.release {
            Some(release) if release.id.as_str() == entry.release => {
                let counts = release.counts.entry(version.clone()).or_default();
                counts.add(&entry.counts, &self.rules);
                if release.quantiles.is_none() && *version == release.stable {
                    release.fix_quantiles();
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Adds the requests in flight that one filter instance reports, or takes those away that it reported before.
    pub(super) fn change_waiting(
        &mut self,
        release: &str,
        version: &str,
        change: impl FnOnce(&mut Histogram),
    ) {
        let release = self.release.as_mut().filter(|it| it.id.as_str() == release);
        let Some(release) = release else { return };
        let counted = release.counts.iter_mut().find(|(name, _)| name.as_str() == version);
        if let Some((_, counts)) = counted {
            change(&mut counts.waiting);
        }
    }

    /// Counts per version since the start of the server.
    #[must_use]
    pub const fn totals(&self) -> &BTreeMap<VersionName, Counts> {
        &self.totals
    }

    /// Evidence of a version in a release; empty unless that release is running.
    #[must_use]
    pub fn evidence(
        &self,
        release: &ReleaseId,
        version: &VersionName,
        guardrails: &Guardrails,
    ) -> Evidence {
        let counted = self.of_release(release, version);
        counted
            .map_or_else(Evidence::default, |(counts, usual)| counts.evidence(guardrails, &usual))
    }

    /// Raw counts of a version in a release, and what is usual there; none unless that release is running.
    #[must_use]
    pub fn of_release(
        &self,
        release: &ReleaseId,
        version: &VersionName,
    ) -> Option<(&Counts, Usual)> {
        let running = self.release.as_ref().filter(|it| it.id == *release)?;
        Some((running.counts.get(version)?, running.usual(version)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tidegate_delivery::fixtures::{declared, order, run, start};
    use tidegate_delivery::units::Timestamp;

    fn entry(version: &str, release: &str, requests: u64, slow: bool) -> Entry {
        let mut counts = Counts { requests, errors: 1, ..Counts::default() };
        for _ in 0..requests {
            counts.latency.record(Duration::from_secs(if slow { 20 } else { 0 }));
        }
        Entry { service: "order".into(), version: version.into(), release: release.into(), counts }
    }

    /// A running release with this id.
    fn release(id: &str) -> Release {
        let mut state = declared();
        run(&mut state, Timestamp(0), &start("order", "v2")).unwrap();
        let release = state.services["order"].running().unwrap().clone();
        Release { id: id.parse().unwrap(), ..release }
    }

    fn counts_of(id: &str) -> ServiceCounts {
        let mut counts = ServiceCounts::default();
        counts.update(&order(), &"v1".parse().unwrap(), Some(&release(id)));
        counts
    }

    #[test]
    fn only_entries_of_the_running_release_are_evidence() {
        let mut counts = counts_of("order.2");
        assert_eq!(counts.add(&entry("v2", "order.2", 5, false)), Ok(true));
        assert_eq!(counts.add(&entry("v2", "order.1", 7, false)), Ok(false));
        assert_eq!(counts.add(&entry("v2", "", 9, false)), Ok(false));
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
        counts.add(&entry("v2", "order.1", 5, false)).unwrap();
        let mut spec = order();
        spec.versions.retain(|name, _| name.as_str() == "v2");
        counts.update(&spec, &"v2".parse().unwrap(), Some(&release("order.2")));
        let v2 = "v2".parse().unwrap();
        let seen = counts.evidence(&"order.2".parse().unwrap(), &v2, &Guardrails::default());
        assert_eq!(seen, Evidence::default());
        assert_eq!(counts.totals().get("v2").unwrap().requests, 5, "totals continue");
        assert_eq!(counts.add(&entry("v1", "", 1, false)), Err(UnknownVersion), "v1 was removed");
    }

    #[test]
    fn a_slow_request_counts_for_each_limit_it_exceeds() {
        let mut counts = counts_of("order.1");
        counts.add(&entry("v2", "order.1", 3, true)).unwrap();
        let seen = counts.evidence(
            &"order.1".parse().unwrap(),
            &"v2".parse().unwrap(),
            &Guardrails::default(),
        );
        assert_eq!(seen.slow, SlowRequests { warning: 3, critical: 3, rollback: 3, unfinished: 0 });
    }

    fn waited(version: &str, seconds: &[u64], gave_up: &[u64]) -> Entry {
        let of = |seconds: &[u64]| {
            let mut waits = Histogram::default();
            seconds.iter().for_each(|it| waits.record(Duration::from_secs(*it)));
            waits
        };
        let counts = Counts {
            requests: seconds.len() as u64,
            latency: of(seconds),
            cancelled: gave_up.len() as u64,
            abandoned: of(gave_up),
            ..Counts::default()
        };
        let (service, release) = ("order".into(), "order.1".into());
        Entry { service, version: version.into(), release, counts }
    }

    fn evidence(counts: &ServiceCounts, version: &str) -> Evidence {
        let version = version.parse().unwrap();
        counts.evidence(&"order.1".parse().unwrap(), &version, &Guardrails::default())
    }

    #[test]
    fn a_request_that_was_given_up_late_is_unanswered_and_slow() {
        let mut counts = counts_of("order.1");
        counts.add(&waited("v2", &[0], &[0, 3, 20])).unwrap();
        let seen = evidence(&counts, "v2");
        assert_eq!((seen.requests, seen.unanswered), (1, 2));
        assert_eq!(seen.failures(), Units { bad: 2, all: 3 });
        let slow = SlowRequests { warning: 2, critical: 1, rollback: 1, unfinished: 3 };
        assert_eq!(seen.slow, slow);
        let v2 = counts.totals().get("v2").unwrap();
        assert_eq!(v2.failures(UNANSWERED), Units { bad: 2, all: 3 });
    }

    #[test]
    fn requests_in_flight_are_slow_until_they_are_not_in_flight() {
        let mut counts = counts_of("order.1");
        counts.add(&waited("v2", &[], &[])).unwrap();
        let mut ages = Histogram::default();
        [3, 20].iter().for_each(|it| ages.record(Duration::from_secs(*it)));
        counts.change_waiting("order.1", "v2", |sum| sum.merge(&ages));
        counts.change_waiting("order.0", "v2", |sum| sum.merge(&ages));
        let slow = SlowRequests { warning: 2, critical: 1, rollback: 1, unfinished: 2 };
        assert_eq!(evidence(&counts, "v2").slow, slow);
        counts.change_waiting("order.1", "v2", |sum| sum.remove(&ages));
        assert_eq!(evidence(&counts, "v2").slow, SlowRequests::default());
    }

    #[test]
    fn waits_are_compared_from_when_those_of_stable_are_known() {
        let mut counts = counts_of("order.1");
        counts.add(&waited("v2", &[9; 10], &[])).unwrap();
        assert_eq!(evidence(&counts, "v2").slower.all, 0);
        counts.add(&waited("v1", &[1; 1_000], &[])).unwrap();
        counts.add(&waited("v2", &[0, 3], &[3])).unwrap();
        counts.add(&waited("v1", &[1, 3], &[])).unwrap();
        let (candidate, stable) = (evidence(&counts, "v2").slower, evidence(&counts, "v1").slower);
        assert_eq!((candidate.all, candidate.bad[0]), (3, 2));
        assert_eq!((stable.all, stable.bad[0]), (2, 1));
    }

    #[test]
    fn the_quantiles_of_stable_are_known_before_a_release() {
        let stable = "v1".parse().unwrap();
        let mut counts = ServiceCounts::default();
        counts.update(&order(), &stable, None);
        let unreleased = |entry: Entry| Entry { release: String::new(), ..entry };
        counts.add(&unreleased(waited("v1", &[1; 1_000], &[]))).unwrap();
        assert_eq!(counts.of_stable(&stable).slower.all, 1_000);
        counts.add(&unreleased(waited("v1", &[3; 10], &[]))).unwrap();
        assert_eq!(counts.of_stable(&stable).slower.bad[0], 10);
        counts.update(&order(), &stable, Some(&release("order.1")));
        counts.add(&waited("v2", &[0, 3], &[])).unwrap();
        assert_eq!(
            (evidence(&counts, "v2").slower.all, evidence(&counts, "v2").slower.bad[0]),
            (2, 1)
        );
    }
}
