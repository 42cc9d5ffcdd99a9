//! The comparison of whole tables with stable: requests that are bad or good by each of some criteria, such as slower than a
//! quantile of stable.
//!
//! By one criterion the requests of a block are a table of two by two. Given its margins the bad requests of the candidate are
//! hypergeometric if it is no worse than stable, and `ψ^k / E[ψ^X]` is an e-value for each odds ratio `ψ` above 1. Unlike the
//! comparison of failures alone ([`super::comparison`]) it is exact where bad requests are frequent. As in
//! [`super::likelihood`] the jitter of the odds from block to block is integrated out as well, and the lesser of both counts.
//! The evidence is the mean over criteria and odds ratios, the lesser of blocks of 5 and of 30 seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use super::comparison::{BLOCKS, MOST_WORSE, WORSE_HALVES};
use super::hypergeometric::TwoByTwo;
use super::likelihood::{JitterDensity, Ratio};
use super::mixture::{Mixture, Moments};
use super::{Units, float};
use crate::units::Timestamp;

/// The alternatives: odds ratios of about 1.15, 1.5, 2.6, 5.3, 16 and 190.
pub(super) const ODDS: [Ratio; 6] = [Ratio(1), Ratio(3), Ratio(7), Ratio(12), Ratio(20), MOST];
/// The greatest alternative.
const MOST: Ratio = Ratio(38);
/// Recent evidence for one alternative above this is given up. The e-value is the mean over six.
const MOST_RECENT: f64 = 6.0 * MOST_WORSE;
/// See [`TableComparison::of_common_events`].
const MOST_OF_BLOCK: f64 = 100.0;
/// A block counts as at least so long.
const SHORTEST: Duration = Duration::from_millis(100);
/// E-values below this are reported as an upper bound, which is cheaper.
const EXACT_FROM: f64 = 5.0;

/// Requests, and the bad ones by each criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tables<const N: usize> {
    /// All requests.
    pub all: u64,
    /// The bad ones; at most all.
    pub bad: [u64; N],
}

/// The number of compared quantiles of stable.
pub const QUANTILES: usize = 6;
/// Requests, and those slower than each quantile of stable, ascending.
pub type SlowerRequests = Tables<QUANTILES>;

impl<const N: usize> Default for Tables<N> {
    fn default() -> Self {
        Self { all: 0, bad: [0; N] }
    }
}

impl<const N: usize> Tables<N> {
    /// The difference to `earlier`. A count that is lower than before yields 0.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut rest = *self;
        rest.all = rest.all.saturating_sub(earlier.all);
        for (it, earlier) in rest.bad.iter_mut().zip(earlier.bad) {
            *it = it.saturating_sub(earlier);
        }
        rest
    }

    /// The requests by one criterion. More bad ones than requests cannot be, and are cut.
    #[must_use]
    pub fn units(&self, criterion: usize) -> Units {
        let bad = self.bad.get(criterion).copied().unwrap_or_default();
        Units { bad: bad.min(self.all), all: self.all }
    }

    fn plus(&self, other: &Self) -> Self {
        let mut sum = *self;
        sum.all = sum.all.saturating_add(other.all);
        for (it, other) in sum.bad.iter_mut().zip(other.bad) {
            *it = it.saturating_add(other);
        }
        sum
    }
}

impl From<Units> for Tables<1> {
    fn from(units: Units) -> Self {
        Self { all: units.all, bad: [units.bad] }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct TableComparison<const N: usize> {
    series: [Series<N>; 2],
    worse: f64,
    much_worse: f64,
}

/// The evidence of blocks of one length.
#[derive(Debug, Clone)]
struct Series<const N: usize> {
    length: Duration,
    began: Timestamp,
    /// How long the block has lasted.
    lasted: Duration,
    candidate: Tables<N>,
    stable: Tables<N>,
    kappa: [f64; N],
    moments: Moments,
    evidence: [Mixture<6>; N],
    /// Greater gains of one block are given up in `evidence`.
    most_gain: f64,
    has_common_events: bool,
    /// Is given up soon, so that a recovered candidate is not held for long.
    recent: [Mixture<6>; N],
}

impl<const N: usize> TableComparison<N> {
    /// Begins with a release. `jitter` returns `κ` of a criterion for a length of blocks.
    #[must_use]
    pub fn begin(now: Timestamp, jitter: impl Fn(usize, Duration) -> f64) -> Self {
        let series = BLOCKS.map(|length| Series::begin(now, length, &jitter));
        Self { series, worse: 1.0, much_worse: 1.0 }
    }

    /// Bad requests can have one common event, such as a pause of the candidate.
    ///
    /// The rate of a block that has not ended varies more then than that of a whole one: its `κ` is greater by as much as the
    /// block is shorter, as if its moments varied independently. One event is no evidence for a rollback: it touches at most
    /// two of the shorter blocks, and the evidence of each is limited so that it takes three.
    #[must_use]
    pub fn of_common_events(mut self) -> Self {
        let [short, long] = &mut self.series;
        short.most_gain = MOST_OF_BLOCK.ln();
        for series in [short, long] {
            series.has_common_events = true;
        }
        self
    }

    /// A step with another weight begins.
    pub fn enter_step(&mut self, now: Timestamp, jitter: impl Fn(usize, Duration) -> f64) {
        self.series.iter_mut().for_each(|series| series.next_block(now, true, &jitter));
        self.evaluate();
    }

    /// Adds the requests since the last call.
    pub fn observe(
        &mut self,
        now: Timestamp,
        candidate: &Tables<N>,
        stable: &Tables<N>,
        jitter: impl Fn(usize, Duration) -> f64,
    ) {
        for series in &mut self.series {
            series.candidate = series.candidate.plus(candidate);
            series.stable = series.stable.plus(stable);
            series.lasted = now.since(series.began);
            if series.lasted >= series.length {
                series.next_block(now, false, &jitter);
            }
        }
        self.evaluate();
    }

    /// The e-value against "not worse than stable". Below 5 it is an upper bound.
    #[must_use]
    pub const fn worse(&self) -> f64 {
        self.worse
    }

    /// The e-value against "not worse than stable", for rollbacks. Below 5 it is an upper bound.
    #[must_use]
    pub const fn much_worse(&self) -> f64 {
        self.much_worse
    }

    fn evaluate(&mut self) {
        let of = |series: &Series<N>, gains: &[Option<[f64; 6]>; N]| {
            let limited = gains.map(|it| it.map(|gains| series.limited(&gains)));
            [mean(&series.recent, gains), mean(&series.evidence, &limited)]
        };
        let lesser = |[[worse, much_worse], [of_long, much_of_long]]: [[f64; 2]; 2]| {
            [worse.min(of_long), much_worse.min(much_of_long)]
        };
        let values = lesser(self.series.each_ref().map(|series| of(series, &series.bounds())));
        let needs_exact = values.iter().any(|it| *it >= EXACT_FROM);
        [self.worse, self.much_worse] = if needs_exact {
            lesser(self.series.each_ref().map(|series| of(series, &series.gains().map(Some))))
        } else {
            values
        };
    }

    /// The criterion with the most evidence.
    #[must_use]
    pub fn strongest(&self) -> usize {
        let [short, _] = &self.series;
        let gains = short.gains();
        let each = short.evidence.iter().zip(&gains).map(|(it, gains)| it.with(gains));
        let strongest = each.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        strongest.map_or(0, |(criterion, _)| criterion)
    }
}

fn mean<const N: usize>(evidence: &[Mixture<6>; N], gains: &[Option<[f64; 6]>; N]) -> f64 {
    let each = evidence.iter().zip(gains).map(|(mixture, gains)| {
        gains.as_ref().map_or_else(|| mixture.value(), |gains| mixture.with(gains))
    });
    each.sum::<f64>() / float(u64::try_from(N).unwrap_or(u64::MAX))
}

impl<const N: usize> Series<N> {
    fn begin(now: Timestamp, length: Duration, jitter: &impl Fn(usize, Duration) -> f64) -> Self {
        let mut moments = Moments::default();
        let mass = moments.next(length, false);
        let begun = |most: Option<f64>| {
            std::array::from_fn(|_| {
                let mut mixture = most.map_or_else(Mixture::default, Mixture::capped);
                mixture.begin(mass);
                mixture
            })
        };
        Self {
            length,
            began: now,
            lasted: Duration::ZERO,
            candidate: Tables::default(),
            stable: Tables::default(),
            kappa: std::array::from_fn(|criterion| jitter(criterion, length)),
            evidence: begun(None),
            most_gain: f64::INFINITY,
            has_common_events: false,
            recent: begun(Some(MOST_RECENT)),
            moments,
        }
    }

    fn next_block(
        &mut self,
        now: Timestamp,
        weight_changed: bool,
        jitter: &impl Fn(usize, Duration) -> f64,
    ) {
        self.lasted = now.since(self.began);
        let gains = self.gains();
        let kept = (-now.since(self.began).div_duration_f64(WORSE_HALVES)).exp2();
        let mass = self.moments.next(self.length, weight_changed);
        let most_gain = self.most_gain;
        for (mixture, gains) in self.evidence.iter_mut().zip(&gains) {
            mixture.end(&gains.map(|gain| gain.min(most_gain)));
            mixture.begin(mass);
        }
        for (mixture, gains) in self.recent.iter_mut().zip(&gains) {
            mixture.keep(kept);
            mixture.end(gains);
            mixture.begin(mass);
        }
        (self.began, self.lasted) = (now, Duration::ZERO);
        self.kappa = std::array::from_fn(|criterion| jitter(criterion, self.length));
        (self.candidate, self.stable) = (Tables::default(), Tables::default());
    }

    fn limited(&self, gains: &[f64; 6]) -> [f64; 6] {
        gains.map(|gain| gain.min(self.most_gain))
    }

    fn tables(&self) -> [TwoByTwo; N] {
        std::array::from_fn(|criterion| {
            TwoByTwo::new(self.candidate.units(criterion), self.stable.units(criterion))
        })
    }

    /// The logarithms of the e-values of the block, by criterion and odds ratio.
    fn gains(&self) -> [[f64; 6]; N] {
        let tables = self.tables();
        let shorter = if self.has_common_events {
            self.length.div_duration_f64(self.lasted.max(SHORTEST)).max(1.0)
        } else {
            1.0
        };
        std::array::from_fn(|criterion| match (tables.get(criterion), self.kappa.get(criterion)) {
            (Some(table), Some(kappa)) if !table.is_decided() => {
                gains(table, &JitterDensity::new(kappa * shorter))
            }
            _ => [0.0; 6],
        })
    }

    /// Upper bounds of them. None: at most 0.
    fn bounds(&self) -> [Option<[f64; 6]>; N] {
        self.tables().map(|table| table.bounds(&ODDS))
    }
}

/// The logarithms of the e-values of one table, by odds ratio.
pub(super) fn gains(table: &TwoByTwo, jitter: &JitterDensity) -> [f64; 6] {
    let mut known = BTreeMap::new();
    let mut likelihood = |odds: Ratio| *known.entry(odds).or_insert_with(|| table.likelihood(odds));
    let likeliest = table.likeliest();
    let plain_of_equal = likelihood(Ratio::EQUAL);
    let jittered_of_equal = jitter.integrate(Ratio::EQUAL, likeliest, &mut likelihood);
    ODDS.map(|odds| {
        let plain = likelihood(odds) - plain_of_equal;
        plain.min(jitter.integrate(odds, likeliest, &mut likelihood) - jittered_of_equal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Little jitter, learnt before the release.
    const KNOWN: fn(usize, Duration) -> f64 = |_, _| 0.01;

    fn slower(all: u64, above: u64) -> SlowerRequests {
        SlowerRequests { all, bad: [above; QUANTILES] }
    }

    fn value_after(reports: u64, candidate: SlowerRequests, stable: SlowerRequests) -> f64 {
        let mut comparison = TableComparison::<QUANTILES>::begin(Timestamp(0), KNOWN);
        for report in 1..=reports {
            comparison.observe(Timestamp(report * 250), &candidate, &stable, KNOWN);
        }
        comparison.much_worse()
    }

    #[test]
    fn a_slower_candidate_gains_evidence_and_an_equal_one_none() {
        assert!(value_after(400, slower(12, 1), slower(240, 20)) < 5.0);
        assert!(value_after(400, slower(12, 0), slower(240, 20)) < 5.0);
        assert!(value_after(40, slower(12, 6), slower(240, 20)) > 1e4);
        // Both are slow at the same time.
        assert!(value_after(40, slower(12, 11), slower(240, 220)) < 5.0);
        // Without stable, or without requests, nothing is compared.
        assert!(value_after(40, slower(12, 12), slower(0, 0)) < 1.1);
        assert!(value_after(40, slower(0, 0), slower(240, 20)) < 1.1);
        // More slow requests than requests cannot be.
        assert!(value_after(40, slower(0, 50), slower(240, 20)) < 1.1);
    }

    #[test]
    fn a_recovered_candidate_is_not_held_for_long() {
        let mut comparison = TableComparison::<QUANTILES>::begin(Timestamp(0), KNOWN);
        let stable = slower(240, 20);
        for report in 1..=40 {
            comparison.observe(Timestamp(report * 250), &slower(12, 6), &stable, KNOWN);
        }
        assert!(comparison.worse() > 20.0);
        for report in 41..=400 {
            comparison.observe(Timestamp(report * 250), &slower(12, 1), &stable, KNOWN);
        }
        assert!(comparison.worse() < 5.0, "{}", comparison.worse());
    }

    #[test]
    fn the_quantile_with_the_most_evidence_is_named() {
        let mut comparison = TableComparison::<QUANTILES>::begin(Timestamp(0), KNOWN);
        let candidate = SlowerRequests { all: 12, bad: [6, 3, 1, 1, 6, 0] };
        let stable = SlowerRequests { all: 240, bad: [120, 60, 24, 12, 2, 0] };
        for report in 1..=10 {
            comparison.observe(Timestamp(report * 250), &candidate, &stable, KNOWN);
        }
        assert_eq!(comparison.strongest(), 4);
    }
}
