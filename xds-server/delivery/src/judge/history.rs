//! The failures of a service's stable version in the last 30 minutes, also while no release runs: the judge learns from them
//! how much its rate varies, and what it was before a release.
//!
//! The caller passes the cumulative counts of the stable version at least every [`BLOCK`], for every service. Memory: 360
//! blocks of 16 bytes for each service.

use std::collections::VecDeque;
use std::time::Duration;

use super::statistics::{Units, float, jitter};
use crate::names::VersionName;
use crate::units::Timestamp;

/// The length of a block.
pub const BLOCK: Duration = Duration::from_secs(5);
/// Blocks that are kept.
const BLOCKS: usize = 360;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct StableHistory {
    version: Option<VersionName>,
    began: Timestamp,
    cumulative: Units,
    blocks: VecDeque<Units>,
}

impl StableHistory {
    /// Whether the next counts are expected now.
    #[must_use]
    pub fn is_due(&self, now: Timestamp, version: &VersionName) -> bool {
        self.version.as_ref() != Some(version) || now.since(self.began) >= BLOCK
    }

    /// Adds the cumulative counts of the stable version. Another version begins a new history.
    pub fn observe(&mut self, now: Timestamp, version: &VersionName, cumulative: Units) {
        if self.version.as_ref() != Some(version) {
            let version = Some(version.clone());
            *self = Self { version, began: now, cumulative, blocks: VecDeque::new() };
            return;
        }
        if !self.is_due(now, version) {
            return;
        }
        let before = std::mem::replace(&mut self.cumulative, cumulative);
        self.began = now;
        self.blocks.push_back(Units {
            bad: cumulative.bad.saturating_sub(before.bad),
            all: cumulative.all.saturating_sub(before.all),
        });
        if self.blocks.len() > BLOCKS {
            self.blocks.pop_front();
        }
    }

    /// The jitter `κ` of blocks of a length, in whole multiples of [`BLOCK`].
    #[must_use]
    pub fn jitter(&self, length: Duration) -> f64 {
        jitter_of(&self.blocks, length)
    }

    /// An upper bound of the rate in these 30 minutes: three standard deviations above it. None if too few units are known.
    #[must_use]
    pub fn rate_bound(&self) -> Option<f64> {
        let sum = self.blocks.iter().copied().fold(Units::default(), Units::plus);
        let bad = float(sum.bad);
        (sum.all >= 1_000).then(|| (bad + 3.0 * bad.sqrt() + 3.0) / float(sum.all))
    }
}

/// The units of stable that count against something else than its error rate, since the release started. Memory: 360 blocks
/// of 16 bytes.
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    began: Option<Timestamp>,
    current: Units,
    blocks: VecDeque<Units>,
}

impl Blocks {
    /// Adds the units since the last call.
    pub fn observe(&mut self, now: Timestamp, units: Units) {
        self.current = self.current.plus(units);
        let began = *self.began.get_or_insert(now);
        if now.since(began) < BLOCK {
            return;
        }
        self.began = Some(now);
        self.blocks.push_back(std::mem::take(&mut self.current));
        if self.blocks.len() > BLOCKS {
            self.blocks.pop_front();
        }
    }

    /// The jitter `κ` of blocks of a length, in whole multiples of [`BLOCK`].
    #[must_use]
    pub fn jitter(&self, length: Duration) -> f64 {
        jitter_of(&self.blocks, length)
    }
}

fn jitter_of(blocks: &VecDeque<Units>, length: Duration) -> f64 {
    let together = usize::try_from(length.as_secs() / BLOCK.as_secs()).unwrap_or(1).max(1);
    let blocks: Vec<Units> = blocks.iter().copied().collect();
    let sums =
        blocks.chunks(together).map(|it| it.iter().copied().fold(Units::default(), Units::plus));
    jitter::estimate(sums, length.as_secs_f64())
}
