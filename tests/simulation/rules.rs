//! Assertions about every record that the control plane appends and every split that a sidecar applies, by the counts of the
//! simulation.

use std::collections::BTreeMap;

use tidegate::journal::Record;
use tidegate_delivery::judge::Evidence;
use tidegate_delivery::model::event::{Event, StepEvidence};
use tidegate_delivery::model::release::Release;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::ReleaseId;

use super::sidecar::Moved;

/// Milliseconds of reports without a gap before a release may advance.
const COVERAGE: u64 = 5_000;
/// A longer time without a report is a gap.
const GAP: u64 = 6_000;
/// Reported requests of a bad candidate after which it must be rolled back.
const ENOUGH: u64 = 300;

#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// FoldedState record by record.
    state: State,
    pub(crate) checked: usize,
    /// Start of the current period of reports without a gap in this run of the control plane, and its last report.
    coverage: Option<(u64, u64)>,
    /// Requests that each version served, by service and version.
    served: BTreeMap<(String, String), u64>,
    /// Requests of the candidate that were reported to this run of the control plane.
    reported: BTreeMap<String, u64>,
    /// Releases that ended, and restorations, by service.
    ends: BTreeMap<String, u64>,
    /// When each release's step converged.
    converged: BTreeMap<ReleaseId, u64>,
    /// By candidate's cluster and weight: the ends of the service when a release last had that weight.
    entered: BTreeMap<(String, u32), u64>,
    /// By sidecar, route and service: the candidate's cluster and weight.
    splits: BTreeMap<(String, String, String), (String, u32)>,
    /// Events by kind, and starts of the control plane, for the summary.
    pub(crate) events: BTreeMap<&'static str, u64>,
}

impl Rules {
    pub(crate) fn served(&mut self, service: &str, version: &str) {
        *self.served.entry((service.to_owned(), version.to_owned())).or_default() += 1;
    }

    /// A report arrived, with so many requests of a release's candidate.
    pub(crate) fn reported(&mut self, now: u64) {
        let since = self.coverage.filter(|(_, last)| now - last <= GAP).map_or(now, |it| it.0);
        self.coverage = Some((since, now));
    }

    pub(crate) fn counted(&mut self, release: &str, requests: u64) {
        *self.reported.entry(release.to_owned()).or_default() += requests;
    }

    /// Counts and coverage are lost in a restart.
    pub(crate) fn restarted(&mut self) {
        *self.events.entry("control plane started").or_default() += 1;
        self.coverage = None;
        self.reported.clear();
    }

    /// Checks a record and folds it. `applied` returns the lowest weight of a candidate among the sidecars that have been
    /// connected since a time, or `None` if there are none.
    pub(crate) fn record(
        &mut self,
        record: &Record,
        now: u64,
        applied: impl Fn(&Release, u64) -> Option<u32>,
    ) {
        let event = record.event.event();
        *self.events.entry(event.kind()).or_default() += 1;
        match event {
            Event::StepEntered { id, step, weight, evidence, .. } => {
                let release = self.state.release(id).unwrap().clone();
                assert!(*weight >= release.weight(), "{id}: the weight falls to {weight}");
                if let (Some(evidence), true) = (evidence, *step > 0) {
                    self.advances(&release, evidence, now, &applied);
                }
            }
            Event::StepConverged { id, .. } => {
                let release = self.state.release(id).unwrap();
                let weight = applied(release, now);
                let wanted = release.weight().parts();
                assert!(
                    weight.is_some_and(|weight| weight >= wanted),
                    "{id}: converged, but sidecars have {weight:?} of {wanted}"
                );
                self.converged.insert(id.clone(), now);
            }
            Event::Completed { id, evidence: Some(evidence), .. } => {
                let release = self.state.release(id).unwrap().clone();
                self.advances(&release, evidence, now, &applied);
            }
            Event::ReleaseStarted { service, candidate, .. } => {
                let quarantined = &self.state.services[service].quarantined;
                assert!(!quarantined.contains_key(candidate), "{candidate} is quarantined");
            }
            Event::StableRestored { service, .. } => {
                *self.ends.entry(service.to_string()).or_default() += 1;
            }
            _ => {}
        }
        if let Event::RolledBack { id, .. } | Event::Completed { id, .. } = event {
            *self.ends.entry(id.service().to_owned()).or_default() += 1;
        }
        self.state.apply(record.at, event).unwrap();
        for release in self.state.running() {
            let service = release.service.as_str();
            let ends = self.ends.get(service).copied().unwrap_or_default();
            let cluster = format!("{service}/{}", release.candidate);
            self.entered.insert((cluster, release.weight().parts()), ends);
        }
    }

    /// Asserts all conditions for advancing a release on evidence.
    fn advances(
        &self,
        release: &Release,
        evidence: &StepEvidence,
        now: u64,
        applied: impl Fn(&Release, u64) -> Option<u32>,
    ) {
        let id = &release.id;
        let service = &self.state.services[&release.service];
        assert!(
            release.paused_at.is_none() && release.paused_by_guardrail.is_none(),
            "{id} advances while paused"
        );
        let frozen = self.state.frozen.is_some() || service.frozen.is_some();
        assert!(!frozen, "{id} advances while deployments are frozen");
        let covered =
            self.coverage.is_some_and(|(since, last)| now - last <= GAP && now - since >= COVERAGE);
        assert!(covered, "{id} advances at {now} ms with reports of {:?}", self.coverage);
        let least = release.step().map_or(0, |step| release.plan.steps[step].min_requests);
        let Evidence { requests, .. } = evidence.candidate;
        let key = (release.service.to_string(), release.candidate.to_string());
        let served = self.served.get(&key).copied().unwrap_or_default();
        assert!((least..=served).contains(&requests), "{id}: {requests} of {served} requests");
        // A sidecar that connected after the step converged does not block: its first responses have the newest weight.
        let Some(since) = self.converged.get(id).filter(|_| release.converged) else {
            panic!("{id} advances before its step converged")
        };
        let (weight, wanted) = (applied(release, *since), release.weight().parts());
        assert!(
            weight.is_none_or(|weight| weight >= wanted),
            "{id} advances, but sidecars have {weight:?} of {wanted}"
        );
    }

    /// Asserts that a bad candidate is rolled back once enough of its requests were reported.
    pub(crate) fn bad(&self, id: &ReleaseId) {
        let reported = self.reported.get(id.as_str()).copied().unwrap_or_default();
        assert!(reported < ENOUGH, "{id} is bad, but runs after {reported} reported requests");
    }

    /// A sidecar applied a split: unless the release with the old weight has ended, users move towards the candidate only. A
    /// sidecar that was away may miss whole releases.
    pub(crate) fn moved(&mut self, sidecar: &str, moved: &Moved) {
        let Moved { route, service, host } = moved;
        let key = (sidecar.to_owned(), route.clone(), service.clone());
        let ends = self.ends.get(service).copied().unwrap_or_default();
        let before = self.splits.remove(&key);
        if let Some((cluster, weight)) = host.candidate() {
            if let Some(old) = before.filter(|(old, _)| old == cluster) {
                let falls = *weight < old.1;
                let has_ended = self.entered.get(&old).is_none_or(|then| *then < ends);
                assert!(!falls || has_ended, "{sidecar}: {service} falls from {old:?} to {weight}");
            }
            self.splits.insert(key, (cluster.clone(), *weight));
        }
    }
}
