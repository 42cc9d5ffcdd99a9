//! A limit on the candidate's own rate, which rises with stable.
//!
//! In a block the number of failures is compared with what is expected at the limit: the likelihood ratio of two negative
//! binomial variables, whose means are `t · m` and `m`, where `m = Σ limit · units`. The gamma jitter of shape `1/κ` is in
//! it, so it is valid for every jitter up to `κ`, for every rate up to the limit, and for binomial counts, which vary less.
//!
//! If stable is seen above the limit, the limit is 1.5 times the rate of stable: then both have the same cause. When the
//! evidence suffices for a rollback, stable is checked again ([`Ceiling::confirmation`]).

use std::collections::VecDeque;
use std::time::Duration;

use super::mixture::{Mixture, Moments};
use super::{Units, float};
use crate::units::Timestamp;

/// The length of a block.
pub const BLOCK: Duration = Duration::from_secs(5);
/// The alternatives, as factors of the limit.
const FACTORS: [f64; 8] = [1.2, 1.5, 2.0, 3.0, 5.0, 8.0, 14.0, 20.0];
/// The alternatives of a rate that is shown to be below a limit.
const FACTORS_BELOW: [f64; 8] = [0.02, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7];
/// E-values below this can be reported as an upper bound.
const EXACT_FROM: f64 = 5.0;
/// The times in which stable is compared with the limit, beside the last report.
const RECENT: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(5)];
/// Stable is above the limit if its counts are so many times likelier at its own rate.
const SEEN_ABOVE: f64 = 3.0;
/// And at least so many of its units failed.
const LEAST_SEEN: u64 = 2;
/// How far the limit is above the rate of stable then.
const ABOVE_STABLE: f64 = 1.5;
/// A rollback is confirmed if the counts of stable are so many times likelier at the limit than at the candidate's rate.
const CONFIRMED: f64 = 10.0;
/// The failures are common to both versions if they are so many times likelier the other way round.
const COMMON: f64 = 3.0;
/// The longest wait for a confirmation.
const CONFIRMATION_WAIT: Duration = Duration::from_secs(5);

/// The e-process against "the rate is at most the limit".
#[derive(Debug, Clone)]
pub struct Ceiling {
    began: Timestamp,
    kappa: f64,
    bad: f64,
    /// Expected failures at the limit.
    expected: f64,
    units: f64,
    /// The alternatives are above the limit.
    is_above: bool,
    moments: Moments,
    evidence: Mixture<8>,
    confirming: Option<Confirming>,
}

#[derive(Debug, Clone, Copy)]
struct Confirming {
    since: Timestamp,
    stable: Units,
    limit: f64,
    /// The candidate's rate.
    rate: f64,
}

/// What stable says about evidence that suffices for a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// Too few of its units are known yet.
    Pending,
    /// Stable is not affected, or there is no stable to compare with.
    Confirmed,
    /// Stable fails as well.
    Common,
}

impl Ceiling {
    /// Begins with a release, or with a changed limit. Evidence above `most` is given up.
    #[must_use]
    pub fn begin(now: Timestamp, kappa: f64, most: f64) -> Self {
        let mut ceiling = Self {
            began: now,
            kappa,
            bad: 0.0,
            expected: 0.0,
            units: 0.0,
            is_above: true,
            moments: Moments::default(),
            evidence: Mixture::capped(most),
            confirming: None,
        };
        ceiling.begin_block(now, kappa, false);
        ceiling
    }

    /// The e-process against "the rate is at least the limit", from now on.
    #[must_use]
    pub fn begin_below(now: Timestamp, kappa: f64) -> Self {
        let mut ceiling = Self::begin(now, kappa, 1e100);
        ceiling.is_above = false;
        ceiling.evidence.begin(1.0);
        ceiling
    }

    /// Adds the candidate's units since the last call, with the limit that applies to them.
    pub fn observe(&mut self, candidate: Units, limit: f64) {
        self.bad += float(candidate.bad.min(candidate.all));
        self.units += float(candidate.all);
        self.expected += limit * float(candidate.all);
    }

    /// Whether the block has its length.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.began) >= BLOCK
    }

    /// Ends the block, and begins the next one.
    pub fn next_block(&mut self, now: Timestamp, kappa: f64) {
        self.end_block(now, kappa, false);
    }

    /// A step with another weight begins.
    pub fn enter_step(&mut self, now: Timestamp, kappa: f64) {
        self.end_block(now, kappa, true);
    }

    /// The e-value now. Below [`EXACT_FROM`] it can be an upper bound, which is cheaper.
    #[must_use]
    pub fn value(&self) -> f64 {
        // No alternative above the limit has evidence in a block with fewer failures than are expected at the limit.
        if self.is_above && self.bad <= self.expected {
            let bound = self.evidence.value();
            if bound < EXACT_FROM {
                return bound;
            }
        }
        self.evidence.with(&self.gains())
    }

    /// Whether stable shares the failures of a candidate whose evidence suffices for a rollback. `recent` are the units of
    /// stable in the last second, `stable` those since the last call; none without a stable that serves.
    pub fn confirmation(
        &mut self,
        now: Timestamp,
        limit: f64,
        stable: Option<Units>,
        recent: Units,
    ) -> Confirmation {
        let Some(stable) = stable else { return Confirmation::Confirmed };
        let rate = if self.units > 0.0 { self.bad / self.units } else { 1.0 };
        let confirming = match self.confirming.take() {
            Some(known) => Confirming { stable: known.stable.plus(stable), ..known },
            // Above the limit, and below 100 %, where one success would decide.
            None => Confirming {
                since: now,
                stable: recent,
                limit,
                rate: rate.clamp(1.2 * limit, 0.99_f64.max(1.2 * limit)).min(0.999),
            },
        };
        let at_limit = ln_likelihood_ratio(confirming.stable, confirming.limit, confirming.rate);
        if at_limit >= CONFIRMED.ln() {
            return Confirmation::Confirmed;
        }
        if at_limit <= -COMMON.ln() {
            self.give_up_block();
            return Confirmation::Common;
        }
        if now.since(confirming.since) >= CONFIRMATION_WAIT {
            return Confirmation::Confirmed;
        }
        self.confirming = Some(confirming);
        Confirmation::Pending
    }

    /// The evidence does not suffice any more.
    pub fn end_confirmation(&mut self) {
        self.confirming = None;
    }

    fn give_up_block(&mut self) {
        (self.bad, self.expected, self.units) = (0.0, 0.0, 0.0);
        self.evidence.give_up();
    }

    fn gains(&self) -> [f64; 8] {
        let factors = if self.is_above { FACTORS } else { FACTORS_BELOW };
        factors.map(|factor| gain(self.bad, self.expected, factor, self.kappa))
    }

    fn end_block(&mut self, now: Timestamp, kappa: f64, weight_changed: bool) {
        let gains = self.gains();
        self.evidence.end(&gains);
        self.begin_block(now, kappa, weight_changed);
    }

    fn begin_block(&mut self, now: Timestamp, kappa: f64, weight_changed: bool) {
        self.began = now;
        self.kappa = kappa;
        (self.bad, self.expected, self.units) = (0.0, 0.0, 0.0);
        self.evidence.begin(self.moments.next(BLOCK, weight_changed));
    }
}

/// The logarithm of the likelihood ratio of the means `factor · expected` and `expected`, with jitter `κ`.
#[must_use]
pub fn gain(bad: f64, expected: f64, factor: f64, kappa: f64) -> f64 {
    let without = (1.0 + kappa * expected).ln();
    let with = (1.0 + kappa * factor * expected).ln();
    bad * factor.ln() + (bad + 1.0 / kappa) * (without - with)
}

/// The logarithm of the likelihood ratio of two rates.
fn ln_likelihood_ratio(units: Units, rate: f64, against: f64) -> f64 {
    let bad = float(units.bad.min(units.all));
    let good = float(units.all.saturating_sub(units.bad));
    let rate = rate.clamp(1e-9, 1.0 - 1e-9);
    bad * (rate / against).ln() + good * ((1.0 - rate) / (1.0 - against)).ln()
}

/// The units of stable in the last seconds.
#[derive(Debug, Clone, Default)]
pub struct RecentStable {
    /// Oldest first, in slots of at least 100 ms, so at most 52.
    slots: VecDeque<(Timestamp, Units)>,
    latest: Units,
}

/// The length of a slot.
const SLOT: Duration = Duration::from_millis(100);

impl RecentStable {
    /// Adds the units since the last call.
    pub fn observe(&mut self, now: Timestamp, units: Units) {
        if units.all > 0 {
            self.latest = units;
        }
        match self.slots.back_mut() {
            Some((at, slot)) if now.since(*at) < SLOT => *slot = slot.plus(units),
            _ => self.slots.push_back((now, units)),
        }
        let [.., longest] = RECENT;
        while self.slots.front().is_some_and(|(at, _)| now.since(*at) > longest) {
            self.slots.pop_front();
        }
    }

    /// The units of the last `length`.
    #[must_use]
    pub fn within(&self, now: Timestamp, length: Duration) -> Units {
        let slots = self.slots.iter().rev().take_while(|(at, _)| now.since(*at) <= length);
        slots.fold(Units::default(), |sum, (_, units)| sum.plus(*units))
    }

    /// The limit that applies to the candidate: `limit`, or 1.5 times the rate of a stable that is seen above it.
    #[must_use]
    pub fn raised(&self, now: Timestamp, limit: f64) -> f64 {
        let recent = RECENT.map(|length| self.within(now, length));
        let above = recent.into_iter().chain([self.latest]).filter(|it| is_above(*it, limit));
        above.map(|it| ABOVE_STABLE * it.rate()).fold(limit, f64::max).min(1.0)
    }
}

/// Whether units are seen above a limit: they are [`SEEN_ABOVE`] times likelier at their own rate.
#[must_use]
pub fn is_above(units: Units, limit: f64) -> bool {
    let rate = units.rate();
    let own = rate.clamp(1e-9, 1.0 - 1e-9);
    units.bad >= LEAST_SEEN
        && rate > limit
        && ln_likelihood_ratio(units, limit, own) <= -SEEN_ABOVE.ln()
}
