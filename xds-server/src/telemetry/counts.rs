//! Sums of what one service's versions did.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_core::histogram::Histogram;

use super::intake::Entry;
use crate::delivery::catalogue::Guardrails;
use crate::delivery::names::{ReleaseId, VersionName};
use crate::judge::{Evidence, Slow};

/// What one version did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Finished requests, the failed ones included.
    pub requests: u64,
    /// Failed by the version.
    pub errors: u64,
    /// Failed by the caller: HTTP 4xx.
    pub client_errors: u64,
    /// Given up by the client; not among the requests.
    pub cancelled: u64,
    /// How long the requests took.
    #[serde(skip)]
    pub latency: Histogram,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.client_errors = self.client_errors.saturating_add(other.client_errors);
        self.cancelled = self.cancelled.saturating_add(other.cancelled);
        self.latency.merge(&other.latency);
    }
}

/// The version is not in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownVersion;

/// What the versions of one service did: since the start, and in the release that runs.
#[derive(Debug, Default)]
pub struct ServiceCounts {
    totals: BTreeMap<VersionName, Counts>,
    release: Option<(ReleaseId, BTreeMap<VersionName, Counts>)>,
}

impl ServiceCounts {
    /// Takes over which versions there are and which release runs.
    pub fn follow<'a>(
        &mut self,
        versions: impl Iterator<Item = &'a VersionName>,
        release: Option<ReleaseId>,
    ) {
        let mut before = std::mem::take(&mut self.totals);
        self.totals = versions
            .map(|version| (version.clone(), before.remove(version).unwrap_or_default()))
            .collect();
        if self.release.as_ref().map(|(id, _)| id) != release.as_ref() {
            self.release = release.map(|id| (id, BTreeMap::new()));
        }
    }

    /// Adds one entry of a report. True if the running release got evidence from it.
    ///
    /// # Errors
    /// When the version is not in the catalogue.
    pub fn add(&mut self, entry: &Entry) -> Result<bool, UnknownVersion> {
        let (version, total) = self
            .totals
            .iter_mut()
            .find(|(name, _)| name.as_str() == entry.version)
            .ok_or(UnknownVersion)?;
        total.add(&entry.counts);
        match &mut self.release {
            Some((id, counts)) if id.as_str() == entry.release => {
                counts.entry(version.clone()).or_default().add(&entry.counts);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// What each version did since the server started.
    #[must_use]
    pub const fn totals(&self) -> &BTreeMap<VersionName, Counts> {
        &self.totals
    }

    /// What a version did in a release; nothing if that one does not run.
    #[must_use]
    pub fn evidence(
        &self,
        release: &ReleaseId,
        version: &VersionName,
        guardrails: &Guardrails,
    ) -> Evidence {
        let counts = self
            .release
            .as_ref()
            .filter(|(id, _)| id == release)
            .and_then(|(_, counts)| counts.get(version));
        counts.map_or_else(Evidence::default, |counts| Evidence {
            requests: counts.requests,
            errors: counts.errors,
            slow: Slow {
                warning: counts.latency.count_above(guardrails.latency.warning),
                critical: counts.latency.count_above(guardrails.latency.critical),
                rollback: counts.latency.count_above(guardrails.latency.rollback),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry(version: &str, release: &str, requests: u64, slow: bool) -> Entry {
        let mut counts = Counts { requests, errors: 1, ..Counts::default() };
        for _ in 0..requests {
            counts.latency.record(Duration::from_secs(if slow { 20 } else { 0 }));
        }
        Entry { service: "order".into(), version: version.into(), release: release.into(), counts }
    }

    fn following(release: &str) -> ServiceCounts {
        let versions: Vec<VersionName> = vec!["v1".parse().unwrap(), "v2".parse().unwrap()];
        let mut counts = ServiceCounts::default();
        counts.follow(versions.iter(), Some(release.parse().unwrap()));
        counts
    }

    #[test]
    fn only_the_running_release_gets_evidence() {
        let mut counts = following("order.2");
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
    fn a_new_release_begins_with_nothing() {
        let mut counts = following("order.1");
        counts.add(&entry("v2", "order.1", 5, false)).unwrap();
        let versions: Vec<VersionName> = vec!["v2".parse().unwrap()];
        counts.follow(versions.iter(), Some("order.2".parse().unwrap()));
        let seen =
            counts.evidence(&"order.2".parse().unwrap(), &versions[0], &Guardrails::default());
        assert_eq!(seen, Evidence::default());
        assert_eq!(counts.totals().get("v2").unwrap().requests, 5, "totals go on");
        assert_eq!(counts.add(&entry("v1", "", 1, false)), Err(UnknownVersion), "v1 left");
    }

    #[test]
    fn slow_requests_count_against_every_limit_that_they_break() {
        let mut counts = following("order.1");
        counts.add(&entry("v2", "order.1", 3, true)).unwrap();
        let seen = counts.evidence(
            &"order.1".parse().unwrap(),
            &"v2".parse().unwrap(),
            &Guardrails::default(),
        );
        assert_eq!(seen.slow, Slow { warning: 3, critical: 3, rollback: 3 });
    }
}
