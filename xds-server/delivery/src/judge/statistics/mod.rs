//! The statistics of the judge, as pure functions and small states without a clock.
//!
//! Everything here is an e-value or an e-process: a number whose mean is at most 1 when the release is as good as required.
//! By Ville's inequality an e-process reaches `x` with a probability of at most `1 / x`, however often it is looked at. Means
//! of e-processes and the lesser of two are e-processes again, and giving evidence up is always valid; a maximum is not.
//!
//! Evidence comes in blocks of time. Inside a block the counts are compared as a whole, so that what varies from block to
//! block ([`jitter`]) can be distinguished from a difference between versions.

pub mod ceiling;
pub mod comparison;
mod hypergeometric;
pub mod interval;
pub mod jitter;
pub mod likelihood;
pub mod mixture;
pub mod proportion;
pub mod two_by_two;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// Units of one version: those that failed, and all. A unit is a request; of the error rate, only the first failure of a client
/// and the requests of clients that had not failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Units {
    /// Units that failed.
    pub bad: u64,
    /// All units.
    pub all: u64,
}

/// The units of both versions in the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pair {
    /// Of the candidate.
    pub candidate: Units,
    /// Of stable.
    pub stable: Units,
}

impl Units {
    /// The sum of both. More failed units than units cannot be, and are cut.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let all = self.all.saturating_add(other.all);
        Self { bad: self.bad.saturating_add(other.bad).min(all), all }
    }

    /// The share of failed units; zero without units.
    #[must_use]
    pub fn rate(self) -> f64 {
        if self.all == 0 { 0.0 } else { float(self.bad) / float(self.all) }
    }
}

impl Pair {
    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            candidate: self.candidate.plus(other.candidate),
            stable: self.stable.plus(other.stable),
        }
    }

    /// All units of both versions.
    #[must_use]
    pub const fn all(self) -> u64 {
        self.candidate.all.saturating_add(self.stable.all)
    }
}

/// A count as a float.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}

/// A float as a count: rounded down, between 0 and 10^15.
#[must_use]
pub fn whole(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 10^15; what is not a number becomes 0"
    )]
    let whole = number.clamp(0.0, 1e15) as u64;
    whole
}
