//! What the judge compares of a service's stable version, in the last 30 minutes, also while no release runs: it learns from
//! it how much each rate varies, and what the error rate was before a release.
//!
//! The caller passes the cumulative counts of the stable version at least every [`BLOCK`], for every service. Memory: 360
//! blocks of 88 bytes for each service.

use std::collections::VecDeque;
use std::time::Duration;

use super::statistics::jitter::{self, LEFT_OUT, LEFT_OUT_OF_LATENCY};
use super::statistics::two_by_two::SlowerRequests;
use super::statistics::{Units, float};
use crate::names::VersionName;
use crate::units::Timestamp;

/// The length of a block.
pub const BLOCK: Duration = Duration::from_secs(5);
/// Blocks that are kept.
const BLOCKS: usize = 360;

/// Counts of the stable version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StableCounts {
    /// First failures of clients, as [`super::Evidence::first_failures`].
    pub failures: Units,
    /// Requests with HTTP 4xx.
    pub client_failures: Units,
    /// Requests slower than its quantiles.
    pub slower: SlowerRequests,
}

impl StableCounts {
    /// Counts of failures alone.
    #[must_use]
    pub fn of_failures(failures: Units) -> Self {
        Self { failures, ..Self::default() }
    }

    fn since(&self, earlier: &Self) -> Self {
        let since = |now: Units, before: Units| Units {
            bad: now.bad.saturating_sub(before.bad),
            all: now.all.saturating_sub(before.all),
        };
        Self {
            failures: since(self.failures, earlier.failures),
            client_failures: since(self.client_failures, earlier.client_failures),
            slower: self.slower.since(&earlier.slower),
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct StableHistory {
    version: Option<VersionName>,
    began: Timestamp,
    cumulative: StableCounts,
    blocks: VecDeque<StableCounts>,
}

impl StableHistory {
    /// Whether the next counts are expected now.
    #[must_use]
    pub fn is_due(&self, now: Timestamp, version: &VersionName) -> bool {
        self.version.as_ref() != Some(version) || now.since(self.began) >= BLOCK
    }

    /// Adds the cumulative counts of the stable version. Another version begins a new history.
    pub fn observe(&mut self, now: Timestamp, version: &VersionName, cumulative: StableCounts) {
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
        self.blocks.push_back(cumulative.since(&before));
        if self.blocks.len() > BLOCKS {
            self.blocks.pop_front();
        }
    }

    /// The jitter `κ` of the error rate in blocks of a length, in whole multiples of [`BLOCK`].
    #[must_use]
    pub fn jitter(&self, length: Duration) -> f64 {
        jitter_of(self.blocks.iter().map(|it| it.failures), length, LEFT_OUT)
    }

    /// The same of the rate of client errors.
    #[must_use]
    pub fn jitter_of_client_errors(&self, length: Duration) -> f64 {
        jitter_of(self.blocks.iter().map(|it| it.client_failures), length, LEFT_OUT)
    }

    /// The same of the requests that are slower than a quantile. Blocks before the quantiles were known say nothing.
    #[must_use]
    pub fn jitter_of_slower(&self, quantile: usize, length: Duration) -> f64 {
        let blocks = self.blocks.iter().map(|it| it.slower.units(quantile));
        jitter_of(blocks, length, LEFT_OUT_OF_LATENCY)
    }

    /// An upper bound of the rate in these 30 minutes: three standard deviations above it. None if too few units are known.
    #[must_use]
    pub fn rate_bound(&self) -> Option<f64> {
        let sum = self.blocks.iter().map(|it| it.failures).fold(Units::default(), Units::plus);
        let bad = float(sum.bad);
        (sum.all >= 1_000).then(|| (bad + 3.0 * bad.sqrt() + 3.0) / float(sum.all))
    }
}

fn jitter_of(blocks: impl Iterator<Item = Units>, length: Duration, left_out: usize) -> f64 {
    let together = usize::try_from(length.as_secs() / BLOCK.as_secs()).unwrap_or(1).max(1);
    let mut blocks = blocks.peekable();
    let sums = std::iter::from_fn(|| {
        blocks.peek()?;
        Some(blocks.by_ref().take(together).fold(Units::default(), Units::plus))
    });
    jitter::estimate(sums, length.as_secs_f64(), left_out)
}
