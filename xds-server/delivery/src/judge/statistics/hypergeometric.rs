//! The bad requests of the candidate in a table of two by two, given its margins: a hypergeometric variable, or Fisher's
//! noncentral one for an odds ratio.

use super::{Units, float};

/// Bad requests of both versions, given the margins.
#[derive(Debug, Clone, Copy)]
pub(super) struct TwoByTwo {
    candidate: u64,
    stable: u64,
    slow: u64,
    pub(super) bad: f64,
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

    pub(super) fn is_above_mean(&self) -> bool {
        let all = float(self.candidate) + float(self.stable);
        self.bad * all > float(self.slow) * float(self.candidate)
    }

    /// `ln Σ C(n, x) C(m, K − x) e^(x · ln_odds)` over the possible x. The terms are log-concave, so they are summed from the
    /// greatest one until they are negligible.
    pub(super) fn ln_normaliser(&self, ln_odds: f64) -> f64 {
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
    use super::super::likelihood::{JitterDensity, LikelihoodTable, Ratio};
    use super::super::two_by_two::{MOST, ODDS};
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
}
