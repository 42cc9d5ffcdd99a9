//! Sums of reported counts of one service: per version since the start of the server, and per version in the running release.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_core::histogram::Histogram;

use super::clients::{ReleaseClients, StableClients};
use super::counts::Counts;
use super::intake::Entry;
use super::recent::{RecentCounts, RecentFigures};
use super::splits::{self, SidecarSplits};
use super::usual::{Quantiles, UNANSWERED, Usual, usual_answer};
use tidegate_delivery::judge::Evidence;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::history::StableCounts;
use tidegate_delivery::judge::statistics::Units;
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::model::release::Release;
use tidegate_delivery::model::sample_ratio::Split;
use tidegate_delivery::names::{MetricName, ReleaseId, VersionName};
use tidegate_delivery::units::Timestamp;

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
    /// The stable version and its quantiles, which change only while no release runs.
    stable: Option<StableVersion>,
    stable_clients: StableClients,
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
    candidate: VersionName,
    counts: BTreeMap<VersionName, Counts>,
    splits: SidecarSplits,
    clients: ReleaseClients,
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
        clients: ReleaseClients,
    ) -> Self {
        let stable = totals.get(&release.stable).map(|counts| &counts.latency);
        let known = known.filter(|it| it.name == release.stable);
        Self {
            id: release.id.clone(),
            stable: release.stable.clone(),
            candidate: release.candidate.clone(),
            counts: BTreeMap::new(),
            splits: SidecarSplits::new(),
            clients,
            answer: stable.map_or(UNANSWERED, usual_answer),
            quantiles: known.and_then(|it| it.quantiles),
            before: BTreeMap::new(),
        }
    }

    /// Compares the waits from now on.
    fn fix_quantiles(&mut self, quantiles: Quantiles) {
        let waits = |(version, counts): (&VersionName, &Counts)| (version.clone(), counts.waits());
        self.before = self.counts.iter().map(waits).collect();
        self.quantiles = Some(quantiles);
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
        self.recent.retain(|version, _| spec.versions.contains_key(version));
        if self.stable.as_ref().is_none_or(|it| it.name != *stable) {
            self.stable = Some(StableVersion { name: stable.clone(), quantiles: None, epoch: 0 });
            self.stable_clients = StableClients::default();
        }
        if self.release.as_ref().map(|it| &it.id) != release.map(|it| &it.id) {
            let known = self.stable.as_ref();
            self.release = release.map(|it| {
                ReleaseCounts::begin(it, &self.totals, known, self.stable_clients.begin_release())
            });
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
            failures: counts.first_failures(UNANSWERED),
            client_failures: Units { bad: client_errors, all: counts.requests },
            slower: usual.slower(&counts.latency),
        }
    }

    /// The counts of a version since the start of the server, by guardrails; none without requests.
    #[must_use]
    pub fn of_version(&self, version: &VersionName, guardrails: &Guardrails) -> Option<Evidence> {
        let counts = self.totals.get(version).filter(|it| it.requests > 0)?;
        let usual = Usual { answer: UNANSWERED, quantiles: None, is_stable: true, before: None };
        Some(counts.evidence(guardrails, &usual))
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
        if let Some(stable) = self.stable.as_mut().filter(|it| it.name == *version) {
            let repeated = Units { bad: entry.counts.repeated.all, all: entry.counts.requests };
            let known = self.stable_clients.add(now, repeated, &entry.clients);
            total.repeat(&entry.counts, known, UNANSWERED);
            let epoch = Quantiles::epoch(total.requests);
            let is_fixed = self.release.is_some() && stable.quantiles.is_some();
            if epoch > stable.epoch && !is_fixed {
                (stable.epoch, stable.quantiles) = (epoch, Quantiles::of(&total.latency));
            }
        }
        let running = self.release.as_mut();
        let Some(release) = running.filter(|it| it.id.as_str() == entry.release) else {
            return Ok(false);
        };
        let counts = release.counts.entry(version.clone()).or_default();
        counts.add(&entry.counts, &self.rules);
        let known = release.clients.add(now, &entry.clients);
        counts.repeat(&entry.counts, known, release.answer);
        let stable = self.stable.as_ref().filter(|it| it.name == release.stable);
        if release.quantiles.is_none()
            && let Some(quantiles) = stable.and_then(|it| it.quantiles)
        {
            release.fix_quantiles(quantiles);
        }
        Ok(true)
    }

    /// Adds one entry of the running release to the requests of a sidecar.
    pub(super) fn add_split(&mut self, node: &str, entry: &Entry) {
        let Some(release) = self.release.as_mut().filter(|it| it.id.as_str() == entry.release)
        else {
            return;
        };
        let requests = entry.counts.requests;
        let candidate = match entry.version.as_str() {
            version if version == release.candidate.as_str() => requests,
            version if version == release.stable.as_str() => 0,
            // Only a flag selects a third version.
            _ => return,
        };
        splits::add(&mut release.splits, node, Split { candidate, requests });
    }

    /// The requests of a release by sidecar; none unless it is running.
    #[must_use]
    pub fn splits(&self, release: &ReleaseId) -> SidecarSplits {
        let running = self.release.as_ref().filter(|it| it.id == *release);
        running.map_or_else(SidecarSplits::new, |it| it.splits.clone())
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
mod tests;
