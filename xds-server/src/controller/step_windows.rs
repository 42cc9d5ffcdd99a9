//! Evidence windows of a step, and the observation that the reducer decides on.
//!
//! The judge assesses two periods. The counts of the step decide about advancing and alerts, because counts at another
//! weight say little about this one. The counts of the whole release can only cause a rollback: they detect a candidate
//! whose failures are too few in each single step.

use std::time::Duration;

use super::{EvidenceSource, Sidecars};
use tidegate_delivery::judge::assess::assess;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::windows::EvidenceWindows;
use tidegate_delivery::judge::{Evidence, Verdict};
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::model::progress::Observation;
use tidegate_delivery::model::release::Release;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::units::Timestamp;

/// Report coverage that a step requires. Within this time every connected sidecar has reported, including the counts from
/// before the gap: a filter retransmits at least every 4 s.
const MIN_COVERAGE: Duration = Duration::from_secs(5);

/// Cumulative counts of both versions of a release.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReleaseCounts {
    candidate: Evidence,
    stable: Evidence,
}

/// Evidence windows of a release's current step, and of the release.
#[derive(Debug)]
pub(super) struct StepWindows {
    /// Publication of the step's weight.
    serial: u64,
    candidate: EvidenceWindows,
    stable: EvidenceWindows,
    /// The candidate since the release started, or since this process started.
    release: EvidenceWindows,
}

impl ReleaseCounts {
    pub(super) fn of(
        source: &dyn EvidenceSource,
        release: &Release,
        guardrails: &Guardrails,
    ) -> Self {
        let evidence =
            |version| source.evidence(&release.id, &release.service, version, guardrails);
        Self { candidate: evidence(&release.candidate), stable: evidence(&release.stable) }
    }
}

impl StepWindows {
    /// Windows that start at the current counts. `serial` is the publication that sidecars must acknowledge.
    pub(super) fn start(
        serial: u64,
        now: Timestamp,
        counted: ReleaseCounts,
        previous: Option<Self>,
    ) -> Self {
        Self {
            serial,
            candidate: EvidenceWindows::begin(now, counted.candidate),
            stable: EvidenceWindows::begin(now, counted.stable),
            release: previous.map_or_else(
                || EvidenceWindows::begin(now, counted.candidate),
                |previous| previous.release,
            ),
        }
    }

    /// Starts the step's windows again once the sidecars have the step: earlier counts are no evidence of it. The windows of
    /// the release continue.
    pub(super) fn restart(&mut self, now: Timestamp, counted: ReleaseCounts) {
        self.candidate = EvidenceWindows::begin(now, counted.candidate);
        self.stable = EvidenceWindows::begin(now, counted.stable);
    }

    /// Adds the current counts, and returns the observation of the step.
    pub(super) fn observe(
        &mut self,
        now: Timestamp,
        counted: ReleaseCounts,
        service: &ServiceState,
        sidecars: &dyn Sidecars,
    ) -> Observation {
        let ServiceSpec { name, guardrails, .. } = &service.spec;
        self.candidate.observe(now, counted.candidate);
        self.stable.observe(now, counted.stable);
        self.release.observe(now, counted.candidate);
        let verdict = match assess(guardrails, &self.release, now) {
            Verdict::RollBack { finding } => Verdict::RollBack { finding },
            _ => assess(guardrails, &self.candidate, now),
        };
        Observation {
            verdict,
            candidate: self.candidate.since_start(),
            stable: self.stable.since_start(),
            convergence: sidecars.convergence(self.serial, name),
            coverage_remaining: MIN_COVERAGE.saturating_sub(sidecars.time_since_gap(name)),
        }
    }
}
