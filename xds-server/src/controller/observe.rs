//! From what was counted to what is seen of a release.
//!
//! The judge looks twice. What was counted since the step began lets the release go on, and is
//! what alerts speak of: what an earlier weight showed says little about this one. But a candidate
//! that is bad, and too slowly for any one step to show it, is bad all the same: so the whole
//! release can put it back as well, and nothing else.

use std::time::Duration;

use super::{Counts, Sidecars};
use tidegate_delivery::judge::assess::assess;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::windows::EvidenceWindows;
use tidegate_delivery::judge::{Evidence, Verdict};
use tidegate_delivery::model::progress::Observation;
use tidegate_delivery::model::release::Release;
use tidegate_delivery::units::Timestamp;

/// How long the sidecars must have been heard without a silence. Those that are there have reported by then, each
/// what was left from before and what came since: a filter tries again every 4 s at the latest.
const HEARD: Duration = Duration::from_secs(5);

/// What both versions of a release did, since it began.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    candidate: Evidence,
    stable: Evidence,
}

/// A release's step: which configuration it is, and what was counted in it and before it.
#[derive(Debug)]
pub(super) struct Epoch {
    serial: u64,
    candidate: EvidenceWindows,
    stable: EvidenceWindows,
    /// The candidate since the release began, or since this process did.
    whole: EvidenceWindows,
}

impl Tally {
    pub(super) fn of(counts: &dyn Counts, release: &Release, guardrails: &Guardrails) -> Self {
        let evidence =
            |version| counts.evidence(&release.id, &release.service, version, guardrails);
        Self { candidate: evidence(&release.candidate), stable: evidence(&release.stable) }
    }
}

impl Epoch {
    /// Begins where the counts are now. `serial` is what sidecars must have for it.
    pub(super) fn begin(serial: u64, now: Timestamp, counted: Tally, before: Option<Self>) -> Self {
        Self {
            serial,
            candidate: EvidenceWindows::begin(now, counted.candidate),
            stable: EvidenceWindows::begin(now, counted.stable),
            whole: before.map_or_else(
                || EvidenceWindows::begin(now, counted.candidate),
                |before| before.whole,
            ),
        }
    }

    /// The sidecars have the step: what they counted before is no evidence of it. The whole release
    /// goes on, and with it the judge's sight of what was bad from the first moment.
    pub(super) fn restart(&mut self, now: Timestamp, counted: Tally) {
        self.candidate = EvidenceWindows::begin(now, counted.candidate);
        self.stable = EvidenceWindows::begin(now, counted.stable);
    }

    /// Takes in what is counted now, and says what is seen of the release since the step began,
    /// which is when the sidecars had it.
    pub(super) fn observe(
        &mut self,
        now: Timestamp,
        counted: Tally,
        unbroken: Duration,
        guardrails: &Guardrails,
        sidecars: &dyn Sidecars,
    ) -> Observation {
        self.candidate.observe(now, counted.candidate);
        self.stable.observe(now, counted.stable);
        self.whole.observe(now, counted.candidate);
        let verdict = match assess(guardrails, &self.whole, now) {
            Verdict::RollBack { finding } => Verdict::RollBack { finding },
            _ => assess(guardrails, &self.candidate, now),
        };
        Observation {
            verdict,
            candidate: self.candidate.since_start(),
            stable: self.stable.since_start(),
            convergence: sidecars.convergence(self.serial),
            coverage_remaining: HEARD.saturating_sub(unbroken),
        }
    }
}
