//! The comparison of waits with stable: whether the candidate is slower, at six quantiles of stable.
//!
//! At a quantile each request of a block is slower than stable's quantile or not: a table of two by two. Given its margins the
//! slow requests of the candidate are hypergeometric if it is no slower than stable, and `ψ^k / E[ψ^X]` is an e-value for each
//! odds ratio `ψ` above 1. As in [`super::likelihood`] the jitter of the odds from block to block is integrated out as well,
//! and the lesser of both counts. The evidence is the mean over quantiles and odds ratios, the lesser of blocks of 5 and of 30
//! seconds.
//!
//! The caller counts a request of the candidate only if it is slower than the quantile by a margin.

use std::time::Duration;

use super::comparison::{BLOCKS, MOST_WORSE, WORSE_HALVES};
use super::likelihood::{JitterDensity, LikelihoodTable, Ratio};
use super::mixture::{Mixture, Moments};
use super::{Units, float};
use crate::judge::history::Blocks;
use crate::units::Timestamp;

/// The number of compared quantiles.
pub const QUANTILES: usize = 6;
/// The alternatives: odds ratios of about 1.15, 1.3, 1.5, 2.6, 5.3 and 16.
const ODDS: [Ratio; 6] = [Ratio(1), Ratio(2), Ratio(3), Ratio(7), Ratio(12), Ratio(20)];
const CELLS: usize = QUANTILES * ODDS.len();
/// E-values below this are reported as an upper bound, which is cheaper.
const EXACT_FROM: f64 = 5.0;

/// Requests, and those slower than each quantile of stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlowerRequests {
    /// All requests.
    pub all: u64,
    /// Those slower than each quantile, ascending; at most all.
    pub above: [u64; QUANTILES],
}

impl SlowerRequests {
    /// The difference to `earlier`. A count that is lower than before yields 0.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut rest = *self;
        rest.all = rest.all.saturating_sub(earlier.all);
        for (it, earlier) in rest.above.iter_mut().zip(earlier.above) {
            *it = it.saturating_sub(earlier);
        }
        rest
    }

    /// Those slower than one quantile. More of them than requests cannot be, and are cut.
    #[must_use]
    pub fn units(&self, quantile: usize) -> Units {
        let bad = self.above.get(quantile).copied().unwrap_or_default();
        Units { bad: bad.min(self.all), all: self.all }
    }

    fn plus(&self, other: &Self) -> Self {
        let mut sum = *self;
        sum.all = sum.all.saturating_add(other.all);
        for (it, other) in sum.above.iter_mut().zip(other.above) {
            *it = it.saturating_add(other);
        }
        sum
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct LatencyComparison {
    series: [Series; 2],
    /// The recent blocks of stable at each quantile, for its jitter.
    history: [Blocks; QUANTILES],
    spread: f64,
}

/// The evidence of blocks of one length.
#[derive(Debug, Clone)]
struct Series {
    length: Duration,
    began: Timestamp,
    candidate: SlowerRequests,
    stable: SlowerRequests,
    kappa: [f64; QUANTILES],
    moments: Moments,
    evidence: Mixture<CELLS>,
    /// Is given up soon, so that a recovered candidate is not held for long.
    recent: Mixture<CELLS>,
}

impl LatencyComparison {
    /// Begins with a release. `spread` multiplies the jitter of stable.
    #[must_use]
    pub fn begin(now: Timestamp, spread: f64) -> Self {
        let history: [Blocks; QUANTILES] = std::array::from_fn(|_| Blocks::default());
        let series = BLOCKS.map(|length| {
            let kappa = jitter(&history, spread, length);
            Series::begin(now, length, kappa)
        });
        Self { series, history, spread }
    }

    /// A step with another weight begins.
    pub fn enter_step(&mut self, now: Timestamp) {
        for series in &mut self.series {
            let kappa = jitter(&self.history, self.spread, series.length);
            series.next_block(now, kappa, true);
        }
    }

    /// Adds the requests since the last call.
    pub fn observe(&mut self, now: Timestamp, candidate: &SlowerRequests, stable: &SlowerRequests) {
        for (quantile, blocks) in self.history.iter_mut().enumerate() {
            blocks.observe(now, stable.units(quantile));
        }
        for series in &mut self.series {
            series.candidate = series.candidate.plus(candidate);
            series.stable = series.stable.plus(stable);
            if now.since(series.began) >= series.length {
                let kappa = jitter(&self.history, self.spread, series.length);
                series.next_block(now, kappa, false);
            }
        }
    }

    /// The e-value against "no slower than stable". Below 5 it is an upper bound.
    #[must_use]
    pub fn slower(&self) -> f64 {
        self.lesser(|series| &series.recent)
    }

    /// The e-value against "no slower than stable", for rollbacks. Below 5 it is an upper bound.
    #[must_use]
    pub fn much_slower(&self) -> f64 {
        self.lesser(|series| &series.evidence)
    }

    fn lesser(&self, of: fn(&Series) -> &Mixture<CELLS>) -> f64 {
        let [short, long] = &self.series;
        let value = |series: &Series| series.value(of(series));
        let short = value(short);
        if short < EXACT_FROM { short } else { short.min(value(long)) }
    }

    /// The quantile with the most evidence.
    #[must_use]
    pub fn strongest(&self) -> usize {
        let [short, _] = &self.series;
        let cells = short.evidence.each(&short.gains(true));
        let of = |quantile: usize| -> f64 {
            cells.iter().skip(quantile * ODDS.len()).take(ODDS.len()).sum()
        };
        (0..QUANTILES).max_by(|a, b| of(*a).total_cmp(&of(*b))).unwrap_or_default()
    }
}

fn jitter(history: &[Blocks; QUANTILES], spread: f64, length: Duration) -> [f64; QUANTILES] {
    std::array::from_fn(|it| spread * history.get(it).map_or(0.0, |blocks| blocks.jitter(length)))
}

impl Series {
    fn begin(now: Timestamp, length: Duration, kappa: [f64; QUANTILES]) -> Self {
        let (candidate, stable) = (SlowerRequests::default(), SlowerRequests::default());
        let (mut moments, mut evidence) = (Moments::default(), Mixture::default());
        let mut recent = Mixture::capped(MOST_WORSE);
        let mass = moments.next(length, false);
        evidence.begin(mass);
        recent.begin(mass);
        Self { length, began: now, candidate, stable, kappa, moments, evidence, recent }
    }

    fn next_block(&mut self, now: Timestamp, kappa: [f64; QUANTILES], weight_changed: bool) {
        let lasted = now.since(self.began);
        self.recent.keep((-lasted.div_duration_f64(WORSE_HALVES)).exp2());
        if self.candidate.all > 0 && self.stable.all > 0 {
            let gains = self.gains(true);
            self.evidence.end(&gains);
            self.recent.end(&gains);
        }
        let mass = self.moments.next(self.length, weight_changed);
        self.evidence.begin(mass);
        self.recent.begin(mass);
        (self.began, self.kappa) = (now, kappa);
        (self.candidate, self.stable) = (SlowerRequests::default(), SlowerRequests::default());
    }

    fn value(&self, evidence: &Mixture<CELLS>) -> f64 {
        let bound = evidence.with(&self.gains(false));
        if bound < EXACT_FROM { bound } else { evidence.with(&self.gains(true)) }
    }

    /// The logarithms of the e-values of the block. Not exact: upper bounds.
    fn gains(&self, exact: bool) -> [f64; CELLS] {
        let mut gains = [0.0; CELLS];
        for (quantile, cells) in gains.chunks_exact_mut(ODDS.len()).enumerate() {
            let table = TwoByTwo::new(self.candidate.units(quantile), self.stable.units(quantile));
            // By Jensen's inequality no alternative has evidence then.
            if table.is_decided() || (!exact && !table.is_above_mean()) {
                continue;
            }
            let none = table.ln_normaliser(0.0);
            let plain = |odds: f64| odds * table.bad - table.ln_normaliser(odds);
            if exact {
                let kappa = self.kappa.get(quantile).copied().unwrap_or_default();
                let density = JitterDensity::new(kappa);
                let jittered =
                    LikelihoodTable::of(&density, Ratio::EQUAL, MOST, |it| plain(it.ln()));
                for (cell, odds) in cells.iter_mut().zip(ODDS) {
                    *cell = jittered.gain(odds, Ratio::EQUAL);
                }
            } else {
                for (cell, odds) in cells.iter_mut().zip(ODDS) {
                    *cell = plain(odds.ln()) + none;
                }
            }
        }
        gains
    }
}

/// The greatest alternative.
const MOST: Ratio = Ratio(20);

/// Slow requests of both versions, given the margins.
#[derive(Debug, Clone, Copy)]
struct TwoByTwo {
    candidate: u64,
    stable: u64,
    slow: u64,
    bad: f64,
    /// The least and the greatest possible number of slow requests of the candidate.
    range: (u64, u64),
}

impl TwoByTwo {
    fn new(candidate: Units, stable: Units) -> Self {
        let slow = candidate.bad.saturating_add(stable.bad);
        let range = (slow.saturating_sub(stable.all), slow.min(candidate.all));
        let bad = float(candidate.bad);
        Self { candidate: candidate.all, stable: stable.all, slow, bad, range }
    }

    /// The margins leave one possibility.
    const fn is_decided(&self) -> bool {
        self.range.0 >= self.range.1
    }

    fn is_above_mean(&self) -> bool {
        let all = float(self.candidate) + float(self.stable);
        self.bad * all > float(self.slow) * float(self.candidate)
    }

    /// `ln Σ C(n, x) C(m, K − x) e^(x · ln_odds)` over the possible x. The terms are log-concave, so they are summed from the
    /// greatest one until they are negligible.
    fn ln_normaliser(&self, ln_odds: f64) -> f64 {
        let (low, high) = self.range;
        let odds = ln_odds.exp();
        let (n, m, slow) = (float(self.candidate), float(self.stable), float(self.slow));
        // The quotient of the term of x + 1 and that of x.
        let growth = |x: u64| {
            let x = float(x);
            odds * (n - x) * (slow - x) / ((x + 1.0) * (m - slow + x + 1.0))
        };
        let (mut mode, mut above) = (low, high);
        while mode < above {
            let middle = mode.midpoint(above);
            if growth(middle) > 1.0 { mode = middle.saturating_add(1) } else { above = middle }
        }
        let mut sum = 1.0;
        let mut term = 1.0;
        for x in mode..high {
            term *= growth(x);
            sum += term;
            if term < NEGLIGIBLE {
                break;
            }
        }
        term = 1.0;
        for x in (low..mode).rev() {
            term /= growth(x);
            sum += term;
            if term < NEGLIGIBLE {
                break;
            }
        }
        let x = float(mode);
        ln_choose(n, x) + ln_choose(m, slow - x) + x * ln_odds + f64::ln(sum)
    }
}

/// Terms of a sum that is at least 1.
const NEGLIGIBLE: f64 = 1e-18;

/// `ln (n choose k)`.
fn ln_choose(n: f64, k: f64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// `ln n!` of a whole number that is not negative: Stirling's series.
fn ln_factorial(n: f64) -> f64 {
    // The product moves a small number to where the series is exact.
    let (mut product, mut x) = (1.0, n + 1.0);
    while x < 16.0 {
        product *= x;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1260.0));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(candidate: (u64, u64), stable: (u64, u64)) -> TwoByTwo {
        let units = |(bad, all)| Units { bad, all };
        TwoByTwo::new(units(candidate), units(stable))
    }

    /// Against exact fractions, computed in Python.
    #[test]
    fn normalisers_are_those_of_an_independent_computation() {
        for (n, m, slow, odds, expected) in VECTORS {
            let table = table((0, n), (slow, m));
            let value = table.ln_normaliser(f64::ln(odds)) - table.ln_normaliser(0.0);
            assert!((value - expected).abs() < 1e-7, "{n} {m} {slow} {odds}: {value}");
        }
    }

    /// `n`, `m`, `K`, `ψ`; `ln E[ψ^X]`.
    const VECTORS: [(u64, u64, u64, f64, f64); 5] = [
        (5, 10, 4, 2.0, 1.097_390_541_417_787),
        (50, 950, 500, 1.25, 5.874_004_317_047_305),
        (250, 4750, 50, 15.0, 25.755_123_577_954_05),
        (300, 20, 310, 5.0, 468.886_384_559_805_7),
        (2500, 2500, 5, 2.5, 2.797_711_472_004_047),
    ];

    #[test]
    fn equal_versions_have_a_mean_of_at_most_one_with_and_without_jitter() {
        for (n, m, slow) in [(10, 40, 5), (20, 20, 20), (5, 200, 60), (30, 10, 35)] {
            for kappa in [0.005, 0.2, 4.0] {
                let density = JitterDensity::new(kappa);
                for odds in ODDS {
                    let (low, high) = table((slow.min(n), n), (slow - slow.min(n), m)).range;
                    let (mut plain_mean, mut jittered_mean) = (0.0, 0.0);
                    for bad in low..=high {
                        let it = table((bad, n), (slow - bad, m));
                        let ln = |ratio: Ratio| ratio.ln() * it.bad - it.ln_normaliser(ratio.ln());
                        let likelihoods = LikelihoodTable::of(&density, Ratio::EQUAL, MOST, ln);
                        let ways =
                            ln_choose(float(n), it.bad) + ln_choose(float(m), float(slow) - it.bad);
                        let value = likelihoods.gain(odds, Ratio::EQUAL);
                        plain_mean += (ways + likelihoods.plain(Ratio::EQUAL) + value).exp();
                        jittered_mean += (ways + likelihoods.jittered(Ratio::EQUAL) + value).exp();
                    }
                    assert!(plain_mean <= 1.0 + 1e-9, "{n} {m} {slow} {kappa}: {plain_mean}");
                    assert!(jittered_mean <= 1.0 + 1e-9, "{n} {m} {slow} {kappa}: {jittered_mean}");
                }
            }
        }
    }

    fn slower(all: u64, above: u64) -> SlowerRequests {
        SlowerRequests { all, above: [above; QUANTILES] }
    }

    fn value_after(reports: u64, candidate: SlowerRequests, stable: SlowerRequests) -> f64 {
        let mut comparison = LatencyComparison::begin(Timestamp(0), 1.0);
        for report in 1..=reports {
            comparison.observe(Timestamp(report * 250), &candidate, &stable);
        }
        comparison.much_slower()
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
        let mut comparison = LatencyComparison::begin(Timestamp(0), 1.0);
        let stable = slower(240, 20);
        for report in 1..=40 {
            comparison.observe(Timestamp(report * 250), &slower(12, 6), &stable);
        }
        assert!(comparison.slower() > 20.0);
        for report in 41..=400 {
            comparison.observe(Timestamp(report * 250), &slower(12, 1), &stable);
        }
        assert!(comparison.slower() < 5.0, "{}", comparison.slower());
    }

    #[test]
    fn the_quantile_with_the_most_evidence_is_named() {
        let mut comparison = LatencyComparison::begin(Timestamp(0), 1.0);
        let candidate = SlowerRequests { all: 12, above: [6, 3, 1, 1, 6, 0] };
        let stable = SlowerRequests { all: 240, above: [120, 60, 24, 12, 2, 0] };
        for report in 1..=10 {
            comparison.observe(Timestamp(report * 250), &candidate, &stable);
        }
        assert_eq!(comparison.strongest(), 4);
    }
}
