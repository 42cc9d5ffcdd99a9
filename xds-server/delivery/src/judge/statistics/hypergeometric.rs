//! The bad requests of the candidate in a table of two by two, given its margins: a hypergeometric variable, or Fisher's
//! noncentral one for an odds ratio `ψ`.
//!
//! The likelihood of an odds ratio needs `E[ψ^X]`, a sum over all possible counts. Where a bound suffices it has a closed form:
//! a hypergeometric variable is a constant plus a sum of independent Bernoulli variables (its generating polynomial has only
//! real zeros: Vatutin and Mikhailov, "Limit theorems for the number of empty cells", 1982), so `ln E[ψ^X]` is
//! `Σ ln(1 + p (ψ − 1))`. Mean and variance give the first two moments of the `p`. The function has a positive third derivative
//! if `ψ > 1`, so for given moments its mean is least if the `p` are 0 or equal (Chebyshev, Markov; the lower bound of
//! Gauss–Radau quadrature).

use super::likelihood::Ratio;
use super::{Units, float};

/// Bad requests of both versions, given the margins.
#[derive(Debug, Clone, Copy)]
pub(super) struct TwoByTwo {
    candidate: u64,
    stable: u64,
    slow: u64,
    bad: f64,
    /// The least and the greatest possible number of slow requests of the candidate.
    range: (u64, u64),
}

impl TwoByTwo {
    pub(super) fn new(candidate: Units, stable: Units) -> Self {
        let slow = candidate.bad.saturating_add(stable.bad);
        let range = (slow.saturating_sub(stable.all), slow.min(candidate.all));
        let bad = float(candidate.bad);
        Self { candidate: candidate.all, stable: stable.all, slow, bad, range }
    }

    /// The margins leave one possibility.
    pub(super) const fn is_decided(&self) -> bool {
        self.range.0 >= self.range.1
    }

    /// Upper bounds of `ln (ψ^k / E[ψ^X])`, for odds ratios of at least 1. None: all of them are at most 0.
    pub(super) fn bounds<const N: usize>(&self, odds: &[Ratio; N]) -> Option<[f64; N]> {
        let (drawn, all) = (float(self.candidate), float(self.candidate) + float(self.stable));
        let share = float(self.slow) / all;
        let least = float(self.range.0);
        let mean = drawn * share - least;
        let bad = self.bad - least;
        // By Jensen's inequality no alternative has evidence below the mean.
        if self.is_decided() || bad <= mean {
            return None;
        }
        let variance = drawn * share * (1.0 - share) * (all - drawn) / (all - 1.0);
        let probability = (1.0 - variance / mean).max(f64::MIN_POSITIVE);
        let count = mean / probability;
        let of_one = |odds: Ratio| (1.0 + probability * (odds.factor() - 1.0)).ln();
        Some(odds.map(|odds| bad * odds.ln() - count * of_one(odds)))
    }

    /// The ratio of the grid whose likelihood is about the greatest.
    pub(super) fn likeliest(&self) -> Ratio {
        let [bad, slow] = [self.bad, float(self.slow) - self.bad].map(|it| it + 0.5);
        let good = (float(self.candidate) - self.bad).max(0.0) + 0.5;
        let good_of_stable = (float(self.stable) - (float(self.slow) - self.bad)).max(0.0) + 0.5;
        Ratio::nearest((bad * good_of_stable / (good * slow)).ln())
    }

    /// The logarithm of the likelihood of an odds ratio, up to a constant.
    pub(super) fn likelihood(&self, odds: Ratio) -> f64 {
        odds.ln() * self.bad - self.ln_normaliser(odds.ln())
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
        let at = float(mode);
        let mut sum = 1.0;
        // Upwards: the numbers that are left of both versions and of the bad ones.
        let (mut drawn, mut bad, mut next, mut other) =
            (n - at, slow - at, at + 1.0, m - slow + at + 1.0);
        let mut term = 1.0;
        for _ in mode..high {
            term *= odds * drawn * bad / (next * other);
            sum += term;
            if term < NEGLIGIBLE {
                break;
            }
            (drawn, bad, next, other) = (drawn - 1.0, bad - 1.0, next + 1.0, other + 1.0);
        }
        (drawn, bad, next, other) = (n - at + 1.0, slow - at + 1.0, at, m - slow + at);
        term = 1.0;
        for _ in low..mode {
            term *= next * other / (odds * drawn * bad);
            sum += term;
            if term < NEGLIGIBLE {
                break;
            }
            (drawn, bad, next, other) = (drawn + 1.0, bad + 1.0, next - 1.0, other - 1.0);
        }
        ln_choose(n, at) + ln_choose(m, slow - at) + at * ln_odds + f64::ln(sum)
    }
}

/// Terms of a sum that is at least 1.
const NEGLIGIBLE: f64 = 1e-12;

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
    use super::super::likelihood::JitterDensity;
    use super::super::two_by_two::{ODDS, gains};
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
    const VECTORS: [(u64, u64, u64, f64, f64); 7] = [
        (5, 10, 4, 2.0, 1.097_390_541_417_787),
        (50, 950, 500, 1.25, 5.874_004_317_047_305),
        (250, 4750, 50, 15.0, 25.755_123_577_954_05),
        (300, 20, 310, 5.0, 468.886_384_559_805_7),
        (2500, 2500, 5, 2.5, 2.797_711_472_004_047),
        (5, 10, 4, 0.3, -1.147_616_707_466_561_6),
        (250, 4750, 500, 0.5, -12.980_940_962_145_943),
    ];

    /// Against exact sums over the same grid, computed in Python with mpmath at 40 digits.
    #[test]
    fn gains_are_those_of_an_independent_computation() {
        for (candidate, stable, kappa, expected) in GAINS {
            let gains = gains(&table(candidate, stable), &JitterDensity::new(kappa));
            for (gain, expected) in gains.into_iter().zip(expected) {
                let error = (gain - expected).abs();
                assert!(error < 1e-6, "{candidate:?} {stable:?} {kappa}: {gain} {expected}");
            }
        }
    }

    type Gains = ((u64, u64), (u64, u64), f64, [f64; 6]);

    /// Bad and all requests of the candidate and of stable, `κ`; the gain of each odds ratio.
    #[rustfmt::skip]
    const GAINS: [Gains; 4] = [
        ((12, 12), (20, 238), 0.2, [
            0.594_623_835_715, 1.753_322_712_581, 3.930_193_868_693,
            6.338_709_162_290, 9.351_763_909_212, 12.559_162_354_387,
        ]),
        ((25, 250), (240, 4_750), 0.05, [
            0.584_537_063_488, 1.393_398_221_999, 1.508_123_700_564,
            -5.963_496_794_898, -56.936_542_270_566, -356.607_442_177_157,
        ]),
        ((60, 250), (50, 4_750), 1.0, [
            0.128_391_908_352, 0.380_630_264_616, 0.860_665_368_756,
            1.389_996_224_641, 1.951_438_656_220, 1.283_065_058_944,
        ]),
        ((130, 250), (2_400, 4_750), 0.005, [
            -0.084_690_992_853, -3.640_478_720_743, -23.574_149_188_984,
            -68.840_345_423_024, -172.276_808_539_300, -456.839_465_642_728,
        ]),
    ];

    const MARGINS: [(u64, u64, u64); 6] =
        [(10, 40, 5), (20, 20, 20), (5, 200, 60), (30, 10, 35), (60, 300, 200), (1, 9, 5)];

    fn tables(n: u64, m: u64, slow: u64) -> impl Iterator<Item = TwoByTwo> {
        let (low, high) = table((slow.min(n), n), (slow - slow.min(n), m)).range;
        (low..=high).map(move |bad| table((bad, n), (slow - bad, m)))
    }

    #[test]
    fn equal_versions_have_a_mean_of_at_most_one_with_and_without_jitter() {
        for (n, m, slow) in MARGINS {
            for kappa in [0.005, 0.2, 4.0] {
                let density = JitterDensity::new(kappa);
                let (mut plain_mean, mut jittered_mean) = ([0.0; 6], [0.0; 6]);
                for it in tables(n, m, slow) {
                    let ways =
                        ln_choose(float(n), it.bad) + ln_choose(float(m), float(slow) - it.bad);
                    let plain = (ways + it.likelihood(Ratio::EQUAL)).exp();
                    let points = density.points();
                    let jittered: f64 = points
                        .map(|(ratio, weight)| weight * (ways + it.likelihood(ratio)).exp())
                        .sum();
                    let gains = gains(&it, &density);
                    for ((plain_mean, jittered_mean), gain) in
                        plain_mean.iter_mut().zip(&mut jittered_mean).zip(gains)
                    {
                        *plain_mean += plain * gain.exp();
                        *jittered_mean += jittered * gain.exp();
                    }
                }
                for mean in plain_mean.into_iter().chain(jittered_mean) {
                    assert!(mean <= 1.0 + 1e-9, "{n} {m} {slow} {kappa}: {mean}");
                }
            }
        }
    }

    #[test]
    fn the_bounds_are_above_the_likelihood_ratios() {
        let mut compared = 0;
        for (n, m, slow) in MARGINS {
            for it in tables(n, m, slow) {
                for (odds, bound) in ODDS.into_iter().zip(it.bounds(&ODDS).unwrap_or_default()) {
                    let exact = it.likelihood(odds) - it.likelihood(Ratio::EQUAL);
                    assert!(exact <= bound + 1e-9, "{it:?} {odds:?}: {exact} {bound}");
                    compared += usize::from(bound != 0.0 && bound - exact < 0.1);
                }
            }
        }
        assert!(compared > 50, "few bounds are close: {compared}");
    }
}
