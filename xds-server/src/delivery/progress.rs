//! What is seen of a running release from outside the journal: counts, verdict, convergence.

use std::time::Duration;

use serde::Serialize;

use super::units::millis;
use crate::judge::{Evidence, Verdict};

/// How many sidecars have what was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Convergence {
    /// Sidecars that acknowledged it (or refused it: a refusal is an answer, and is shown elsewhere).
    pub acked: u32,
    /// Sidecars that are connected.
    pub connected: u32,
}

impl Convergence {
    /// True if every connected sidecar has it.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        self.acked >= self.connected
    }
}

/// What was seen since a release entered its step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// The judge's word.
    pub verdict: Verdict,
    /// The candidate, since the step began.
    pub candidate: Evidence,
    /// Stable, since the step began.
    pub stable: Evidence,
    /// Who has the step.
    pub convergence: Convergence,
}

/// A running release as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// What was seen.
    #[serde(flatten)]
    pub observation: Observation,
    /// What it waits for, in plain words; empty if for nothing.
    pub waiting_for: Vec<String>,
    /// How much of the step's least time is left.
    #[serde(with = "millis", rename = "time_left_ms")]
    pub time_left: Duration,
}
