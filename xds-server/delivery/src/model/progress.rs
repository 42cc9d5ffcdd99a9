//! Observations of a running release from outside the journal: counts, verdict, convergence.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::judge::{Evidence, Verdict};
use crate::model::blocker::Blocker;
use crate::model::sample_ratio::SampleRatio;
use crate::units::{Ppm, millis};

/// Most sidecars that are listed by name.
pub const MAX_NAMED: usize = 5;

/// How many sidecars have ACKed a configuration. Only connected sidecars of the fleets that carry the service count: others
/// receive the newest configuration when they reconnect.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Convergence {
    /// Sidecars that ACKed it and have no NACK.
    pub acked: u32,
    /// Sidecars with a NACK of a resource of their current configuration.
    pub nacked: u32,
    /// Connected sidecars.
    pub connected: u32,
    /// The first NACKs, at most [`MAX_NAMED`], by node id.
    pub nacks: Vec<Nack>,
    /// The first sidecars without ACK or NACK, at most [`MAX_NAMED`], by node id.
    pub lagging: Vec<String>,
    /// Sidecars that have the filter and do not report.
    pub silent: u32,
    /// Those of them that are not connected: in an Istio mesh the reports are the connection.
    pub silent_unconnected: u32,
    /// The first of them, at most [`MAX_NAMED`], by node id.
    pub silent_nodes: Vec<String>,
    /// The sidecars whose split is far from the weight.
    #[serde(skip_serializing_if = "SampleRatio::is_empty")]
    pub sample_ratio: SampleRatio,
    /// The latencies of the ACKs, while they are kept.
    pub times: Option<AckTimes>,
}

/// A NACK.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Nack {
    /// The sidecar's `node.id`.
    pub node: String,
    /// The kind of resource: `route`, `listener`, …
    pub resource: String,
    /// Envoy's error, clipped.
    pub message: String,
}

/// Latencies from the decision to the ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AckTimes {
    /// The median.
    #[serde(with = "millis", rename = "p50_ms")]
    pub p50: Duration,
    /// The 99th percentile.
    #[serde(with = "millis", rename = "p99_ms")]
    pub p99: Duration,
}

impl Convergence {
    /// True if at least `share` of the connected sidecars have ACKed it; also true without connected sidecars.
    #[must_use]
    pub fn has_reached(&self, share: Ppm) -> bool {
        is_share(self.acked, self.connected, share)
    }

    /// True if at least `share` of the known sidecars report, or have no filter.
    #[must_use]
    pub fn is_reported(&self, share: Ppm) -> bool {
        let known = self.known();
        is_share(known.saturating_sub(self.silent), known, share)
    }

    /// Connected and silent sidecars.
    #[must_use]
    pub const fn known(&self) -> u32 {
        self.connected.saturating_add(self.silent_unconnected)
    }

    /// Sidecars without ACK or NACK.
    #[must_use]
    pub const fn pending(&self) -> u32 {
        self.connected.saturating_sub(self.acked).saturating_sub(self.nacked)
    }
}

fn is_share(sidecars: u32, of: u32, share: Ppm) -> bool {
    let wanted = u64::from(of) * u64::from(share.parts());
    u64::from(sidecars) * u64::from(Ppm::ALL.parts()) >= wanted
}

/// The observation of a release since its step began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// The verdict of the judge.
    pub verdict: Verdict,
    /// Counts of the candidate since convergence.
    pub candidate: Evidence,
    /// Counts of stable since convergence.
    pub stable: Evidence,
    /// The time of these counts.
    #[serde(skip)]
    pub counted_for: Duration,
    /// The ACKs of the step.
    pub convergence: Convergence,
    /// How long reports must still arrive without a gap before the counts are current: the first reports after a gap or a
    /// restart contain older counts.
    #[serde(skip)]
    pub coverage_remaining: Duration,
}

impl Observation {
    /// The requests per second of both versions together; none if nothing was counted yet.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        let all = u128::from(self.candidate.requests) + u128::from(self.stable.requests);
        let rate = all.saturating_mul(1000).checked_div(self.counted_for.as_millis())?;
        (all > 0).then(|| u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

/// The progress of a running release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The observation.
    #[serde(flatten)]
    pub observation: Observation,
    /// What blocks it; empty if it advances.
    pub blockers: Vec<Blocker>,
    /// What is left of the minimum time of the step.
    #[serde(with = "millis", rename = "time_left_ms")]
    pub time_left: Duration,
}
