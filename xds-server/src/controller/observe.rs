//! From what was counted to what is seen of a release.
//!
//! The judge looks through two windows. The step's is what lets a release go on, and what alerts
//! speak of: what an earlier weight showed says little about this one. But a candidate that is
//! bad, and too slowly for any one step to show it, is bad all the same: so the whole release's
//! window can put it back as well, and nothing else.

use super::{Counts, Judge, Sidecars};
use crate::delivery::catalogue::Guardrails;
use crate::delivery::progress::Observation;
use crate::delivery::release::Release;
use crate::judge::{Evidence, Slow, Verdict};

/// What both versions of a release did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) candidate: Evidence,
    pub(super) stable: Evidence,
}

/// What a release's step began with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Epoch {
    /// The configuration that sidecars must have for it.
    pub(super) serial: u64,
    /// What had been counted before it.
    pub(super) before: Tally,
}

impl Tally {
    pub(super) fn of(counts: &dyn Counts, release: &Release, guardrails: &Guardrails) -> Self {
        let evidence =
            |version| counts.evidence(&release.id, &release.service, version, guardrails);
        Self {
            candidate: evidence(&release.candidate),
            stable: evidence(&release.stable),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            candidate: since(self.candidate, before.candidate),
            stable: since(self.stable, before.stable),
        }
    }
}

impl Epoch {
    /// What is seen of the release since.
    pub(super) fn observe(
        &self,
        whole: Tally,
        guardrails: &Guardrails,
        judge: Judge,
        sidecars: &dyn Sidecars,
    ) -> Observation {
        let step = whole.since(self.before);
        let verdict = match judge(guardrails, &whole.candidate, &whole.stable) {
            Verdict::RollBack { finding } => Verdict::RollBack { finding },
            _ => judge(guardrails, &step.candidate, &step.stable),
        };
        Observation {
            verdict,
            candidate: step.candidate,
            stable: step.stable,
            convergence: sidecars.convergence(self.serial),
        }
    }
}

/// Counts only grow; should they ever fall, too little is seen rather than too much.
const fn since(now: Evidence, before: Evidence) -> Evidence {
    Evidence {
        requests: now.requests.saturating_sub(before.requests),
        errors: now.errors.saturating_sub(before.errors),
        slow: Slow {
            warning: now.slow.warning.saturating_sub(before.slow.warning),
            critical: now.slow.critical.saturating_sub(before.slow.critical),
            rollback: now.slow.rollback.saturating_sub(before.slow.rollback),
        },
    }
}
