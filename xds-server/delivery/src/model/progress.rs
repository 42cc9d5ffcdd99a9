//! What is seen of a running release from outside the journal: counts, verdict, convergence.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::judge::{Evidence, Verdict};
use crate::model::blocker::Blocker;
use crate::units::{Ppm, millis};

/// Most sidecars of a kind that are named; of the others there is the number.
pub const MAX_NAMED: usize = 5;

/// How many sidecars have what was decided, and who has not. Only connected ones count: one that
/// is away gets the newest when it comes back, and nothing is sent to it until then.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Convergence {
    /// Sidecars that accepted it, and stand by all that they were sent.
    pub acked: u32,
    /// Sidecars that refuse something that they are meant to have, whatever else they accepted.
    pub refusing: u32,
    /// Sidecars that are connected.
    pub connected: u32,
    /// What was refused: the first few sidecars, by name.
    pub refused: Vec<Nack>,
    /// The first few of those that neither accepted nor refused it yet, by name.
    pub lagging: Vec<String>,
    /// How long those took that accepted it, if it is still known.
    pub times: Option<AckTimes>,
}

/// A resource that a sidecar rejected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Nack {
    /// The sidecar's `node.id`.
    pub node: String,
    /// The kind of resource: `route`, `listener`, …
    pub resource: String,
    /// Envoy's error, clipped.
    pub message: String,
}

/// How long sidecars took to accept something, from when it was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AckTimes {
    /// Half of them took no longer.
    #[serde(with = "millis", rename = "p50_ms")]
    pub p50: Duration,
    /// Ninety-nine of a hundred took no longer.
    #[serde(with = "millis", rename = "p99_ms")]
    pub p99: Duration,
}

impl Convergence {
    /// True if that share of the connected sidecars has it; with none connected there is nobody to wait for.
    #[must_use]
    pub fn has_reached(&self, share: Ppm) -> bool {
        let wanted = u64::from(self.connected) * u64::from(share.parts());
        u64::from(self.acked) * u64::from(Ppm::ALL.parts()) >= wanted
    }

    /// How many neither accepted nor refused it yet.
    #[must_use]
    pub const fn behind(&self) -> u32 {
        self.connected.saturating_sub(self.acked).saturating_sub(self.refusing)
    }
}

/// What was seen since a release entered its step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// The judge's word.
    pub verdict: Verdict,
    /// The candidate, since the sidecars have the step.
    pub candidate: Evidence,
    /// Stable, since the sidecars have the step.
    pub stable: Evidence,
    /// Who has the step.
    pub convergence: Convergence,
    /// How long the sidecars must still be heard before what they counted speaks of now: after a restart, or a
    /// silence, the first reports are of before.
    #[serde(skip)]
    pub unheard: Duration,
}

/// A running release as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// What was seen.
    #[serde(flatten)]
    pub observation: Observation,
    /// What keeps it where it is; empty if it advances.
    pub blockers: Vec<Blocker>,
    /// How much of the step's least time is left.
    #[serde(with = "millis", rename = "time_left_ms")]
    pub time_left: Duration,
}
