//! The likelihood of one block of counts, for a grid of ratios between the rates of the candidate and of stable.
//!
//! Given the sum of the failures of both versions, those of the candidate are binomial with the odds `π / (1 − π) · r`, where
//! `π` is the candidate's share of all units and `r` the ratio of the rates (Lindon and Malek, "Anytime-valid inference for
//! multinomial count data", 2022, <https://arxiv.org/abs/2011.03567>). With the shares as realised this is conservative: a
//! hypergeometric variable is below the binomial one in convex order (Hoeffding 1963).
//!
//! The *jittered* likelihood lets the rate of each version vary: in each block it is multiplied by a gamma variable of shape
//! `a = 1/κ`, so the odds are multiplied by an F variable with `(2a, 2a)` degrees of freedom. The logarithm of that variable
//! has the density `f(x) ∝ e^(ax) / (1 + e^x)^(2a)`, which is integrated out on the grid.
//!
//! The e-value of a ratio against another one is the lesser of both likelihood ratios, so it is valid with that much jitter
//! and without any.

use super::{Pair, float};

/// Ratios per factor of two.
const PER_OCTAVE: f64 = 5.0;
/// Distance of two ratios of the grid, as a logarithm.
pub const STEP: f64 = std::f64::consts::LN_2 / PER_OCTAVE;
/// Largest jitter that is used.
pub const MAX_JITTER: f64 = 4.0;
/// Least jitter that is used.
pub const MIN_JITTER: f64 = 0.005;
/// Most grid points on each side of the density: a logarithm of 28.
const MAX_HALF_WIDTH: i32 = 200;
/// The density is cut where it has fallen by this factor, as a logarithm.
const NEGLIGIBLE: f64 = 25.0;
/// Terms of an integral below the greatest one by this logarithm are left out.
const NEGLIGIBLE_TERM: f64 = 20.0;

/// A ratio of the grid: `2^(index / 5)`. 0 is "equal", 3 about 1.5, 5 is 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(pub i32);

/// The least ratio of the grid: a quarter.
pub const LEAST: Ratio = Ratio(-10);
/// The greatest ratio of the grid: about 300.
pub const MOST: Ratio = Ratio(41);

impl Ratio {
    /// Equal rates.
    pub const EQUAL: Self = Self(0);

    /// As a logarithm.
    #[must_use]
    pub fn ln(self) -> f64 {
        f64::from(self.0) * STEP
    }

    /// As a factor.
    #[must_use]
    pub fn factor(self) -> f64 {
        self.ln().exp()
    }

    /// The ratio of the grid nearest to this logarithm, between 0.01 and 300.
    #[must_use]
    pub fn nearest(ln: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a small number")]
        let index = (ln / STEP).round().clamp(-34.0, 41.0) as i32;
        Self(index)
    }

    /// The product of both.
    #[must_use]
    pub const fn times(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// The density of the logarithm of an F variable with `(2/κ, 2/κ)` degrees of freedom, on the grid.
#[derive(Debug, Clone)]
pub struct JitterDensity {
    /// Symmetric about the middle, with a sum of 1.
    weights: Vec<f64>,
    half_width: i32,
}

impl JitterDensity {
    /// Of the squared coefficient of variation `κ` of the rates, which is limited to [`MIN_JITTER`] and [`MAX_JITTER`].
    #[must_use]
    pub fn new(kappa: f64) -> Self {
        let shape = 1.0 / kappa.clamp(MIN_JITTER, MAX_JITTER);
        let ln = |index: i32| -2.0 * shape * (f64::from(index) * STEP / 2.0).cosh().ln();
        let above: Vec<f64> = (1..=MAX_HALF_WIDTH)
            .map(ln)
            .enumerate()
            .take_while(|(place, ln)| *place == 0 || *ln >= -NEGLIGIBLE)
            .map(|(_, ln)| ln.exp())
            .collect();
        let total = 1.0 + 2.0 * above.iter().sum::<f64>();
        let half_width = i32::try_from(above.len()).unwrap_or(MAX_HALF_WIDTH);
        let symmetric = above.iter().rev().chain([&1.0]).chain(&above);
        Self { weights: symmetric.map(|it| it / total).collect(), half_width }
    }

    /// `ln Σ weight · likelihood` around a ratio, for a likelihood that is log-concave and expensive: it is evaluated only
    /// where it is not negligible. `likeliest` is about the greatest one.
    #[must_use]
    pub fn integrate(
        &self,
        around: Ratio,
        likeliest: Ratio,
        mut ln_likelihood: impl FnMut(Ratio) -> f64,
    ) -> f64 {
        let half_width = self.half_width;
        let mut term = |offset: i32| {
            let place = usize::try_from(offset.saturating_add(half_width)).unwrap_or_default();
            let weight = self.weights.get(place).copied().unwrap_or_default();
            weight.ln() + ln_likelihood(around.times(Ratio(offset)))
        };
        let is_inside = |offset: i32| (-half_width..=half_width).contains(&offset);
        let mut greatest = likeliest.0.saturating_sub(around.0).clamp(-half_width, half_width);
        let mut most = term(greatest);
        // The weights are log-concave as well, and so is the product.
        for direction in [-1, 1] {
            let mut next = greatest.saturating_add(direction);
            while is_inside(next) {
                let value = term(next);
                if value <= most {
                    break;
                }
                (greatest, most) = (next, value);
                next = next.saturating_add(direction);
            }
        }
        let mut sum = 1.0;
        for direction in [-1, 1] {
            let mut next = greatest.saturating_add(direction);
            while is_inside(next) {
                let value = term(next) - most;
                if value < -NEGLIGIBLE_TERM {
                    break;
                }
                sum += value.exp();
                next = next.saturating_add(direction);
            }
        }
        most + f64::ln(sum)
    }

    /// The ratios with their weights.
    #[cfg(test)]
    pub(super) fn points(&self) -> impl Iterator<Item = (Ratio, f64)> {
        (-self.half_width..).map(Ratio).zip(self.weights.iter().copied())
    }
}

/// One block of counts.
#[derive(Debug, Clone, Copy)]
pub struct BlockLikelihood {
    candidate_bad: f64,
    bad: f64,
    /// The odds of a failure to be the candidate's, if the rates are equal, and their logarithm.
    odds: f64,
    ln_odds: f64,
}

impl BlockLikelihood {
    /// `share` is the candidate's share of the units.
    #[must_use]
    pub fn new(counts: Pair, share: f64) -> Self {
        // A share of 1 leaves nothing to compare with: the odds are so large that no failure is evidence.
        let share = share.clamp(1e-9, 1.0 - 1e-9);
        let odds = share / (1.0 - share);
        let candidate_bad = float(counts.candidate.bad);
        let bad = candidate_bad + float(counts.stable.bad);
        Self { candidate_bad, bad, odds, ln_odds: odds.ln() }
    }

    /// The logarithm of the plain likelihood of a ratio.
    #[must_use]
    pub fn plain(&self, ratio: Ratio) -> f64 {
        self.of_factor(ratio.ln(), ratio.factor())
    }

    /// `k ln q + s ln (1 − q)` of `q = odds · r / (1 + odds · r)`.
    fn of_factor(&self, ln: f64, factor: f64) -> f64 {
        self.candidate_bad * (self.ln_odds + ln) - self.bad * (1.0 + self.odds * factor).ln()
    }

    /// The likelihoods of the ratios from `first` to `last`, with and without jitter.
    #[must_use]
    pub fn table<'j>(
        &self,
        jitter: &'j JitterDensity,
        first: Ratio,
        last: Ratio,
    ) -> LikelihoodTable<'j> {
        if self.bad < 0.5 {
            return LikelihoodTable {
                plain: Vec::new(),
                most: 0.0,
                scaled: Vec::new(),
                first,
                jitter,
            };
        }
        LikelihoodTable::of(jitter, first, last, |ln, factor| self.of_factor(ln, factor))
    }
}

/// The likelihoods of one block.
#[derive(Debug)]
pub struct LikelihoodTable<'j> {
    /// Logarithms, of consecutive ratios, extended on both sides by half of the width of the density. Empty if no unit
    /// failed: every ratio is equally likely.
    plain: Vec<f64>,
    /// The greatest of them.
    most: f64,
    /// The likelihoods relative to the greatest one.
    scaled: Vec<f64>,
    first: Ratio,
    jitter: &'j JitterDensity,
}

impl<'j> LikelihoodTable<'j> {
    /// The likelihoods of the ratios from `first` to `last`. `plain` returns the logarithm of the likelihood of a ratio, whose
    /// logarithm and factor are its arguments.
    #[must_use]
    pub fn of(
        jitter: &'j JitterDensity,
        first: Ratio,
        last: Ratio,
        plain: impl Fn(f64, f64) -> f64,
    ) -> Self {
        let least = first.0.saturating_sub(jitter.half_width);
        let most = last.0.saturating_add(jitter.half_width);
        let mut factor = Ratio(least).factor();
        let next = STEP.exp();
        let plain: Vec<f64> = (least..=most)
            .map(|it| {
                let ln = plain(Ratio(it).ln(), factor);
                factor *= next;
                ln
            })
            .collect();
        let most = plain.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let scaled = |ln: &f64| if ln - most > LEAST_SCALED { (ln - most).exp() } else { 0.0 };
        Self { scaled: plain.iter().map(scaled).collect(), plain, most, first, jitter }
    }
}

impl LikelihoodTable<'_> {
    /// The logarithm of the jittered likelihood of a ratio, which must be of the table.
    #[must_use]
    pub fn jittered(&self, ratio: Ratio) -> f64 {
        let skipped = usize::try_from(ratio.0.saturating_sub(self.first.0)).unwrap_or_default();
        let weights = &self.jitter.weights;
        let window = skipped..skipped.saturating_add(weights.len());
        let (Some(scaled), Some(plain)) = (self.scaled.get(window.clone()), self.plain.get(window))
        else {
            return 0.0;
        };
        let sum = dot(scaled, weights);
        // The other terms of so small a sum may have been cut.
        if sum > LEAST_SUM {
            return self.most + sum.ln();
        }
        let most = plain.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 =
            plain.iter().zip(weights).map(|(ln, weight)| weight * (ln - most).exp()).sum();
        most + sum.ln()
    }

    /// The logarithm of the plain likelihood of a ratio, which must be of the table.
    #[must_use]
    pub fn plain(&self, ratio: Ratio) -> f64 {
        let at = ratio.0.saturating_sub(self.first.0).saturating_add(self.jitter.half_width);
        usize::try_from(at).ok().and_then(|at| self.plain.get(at)).copied().unwrap_or_default()
    }

    /// The logarithm of the e-value of `alternative` against `null`: the lesser of both likelihood ratios.
    #[must_use]
    pub fn gain(&self, alternative: Ratio, null: Ratio) -> f64 {
        let plain = self.plain(alternative) - self.plain(null);
        plain.min(self.jittered(alternative) - self.jittered(null))
    }
}

/// Relative likelihoods below this, as a logarithm, are zero.
const LEAST_SCALED: f64 = -600.0;
/// Sums of relative likelihoods above this are exact.
const LEAST_SUM: f64 = 1e-200;

/// In four sums, which the processor adds side by side.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    let mut sums = [0.0; 4];
    for (a, b) in a.0.iter().zip(b.0) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f64 = a.1.iter().zip(b.1).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}
