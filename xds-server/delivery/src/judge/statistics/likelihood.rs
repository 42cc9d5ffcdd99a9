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

    /// The product of both.
    #[must_use]
    pub const fn times(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// The density of the logarithm of an F variable with `(2/κ, 2/κ)` degrees of freedom, on the grid.
#[derive(Debug, Clone)]
pub struct JitterDensity {
    /// Logarithms, symmetric about the middle. Their exponentials add up to 1.
    ln: Vec<f64>,
    half_width: i32,
}

impl JitterDensity {
    /// Of the squared coefficient of variation `κ` of the rates, which is limited to [`MIN_JITTER`] and [`MAX_JITTER`].
    #[must_use]
    pub fn new(kappa: f64) -> Self {
        let shape = 1.0 / kappa.clamp(MIN_JITTER, MAX_JITTER);
        let ln = |index: i32| -2.0 * shape * ln_cosh(f64::from(index) * STEP / 2.0);
        let half_width =
            (1..MAX_HALF_WIDTH).find(|it| ln(*it) < -NEGLIGIBLE).unwrap_or(MAX_HALF_WIDTH);
        let mut ln: Vec<f64> = (-half_width..=half_width).map(ln).collect();
        let total = ln_sum_exp(ln.iter().copied());
        ln.iter_mut().for_each(|it| *it -= total);
        Self { ln, half_width }
    }
}

/// One block of counts.
#[derive(Debug, Clone, Copy)]
pub struct BlockLikelihood {
    candidate_bad: f64,
    stable_bad: f64,
    /// The logarithm of the odds of a failure to be the candidate's, if the rates are equal.
    log_odds: f64,
}

impl BlockLikelihood {
    /// `share` is the candidate's share of the units.
    #[must_use]
    pub fn new(counts: Pair, share: f64) -> Self {
        // A share of 1 leaves nothing to compare with: the odds are so large that no failure is evidence.
        let share = share.clamp(1e-9, 1.0 - 1e-9);
        Self {
            candidate_bad: float(counts.candidate.bad),
            stable_bad: float(counts.stable.bad),
            log_odds: (share / (1.0 - share)).ln(),
        }
    }

    /// The logarithm of the plain likelihood of a ratio.
    #[must_use]
    pub fn plain(&self, ratio: Ratio) -> f64 {
        let odds = self.log_odds + ratio.ln();
        // ln q and ln (1 − q) of q = 1 / (1 + e^−odds), without cancellation.
        let ln_not = -ln_one_plus_exp(odds);
        self.candidate_bad * (odds + ln_not) + self.stable_bad * ln_not
    }

    /// The likelihood of every ratio, with and without jitter.
    #[must_use]
    pub fn table<'j>(&self, jitter: &'j JitterDensity) -> LikelihoodTable<'j> {
        if self.candidate_bad + self.stable_bad < 0.5 {
            return LikelihoodTable { plain: Vec::new(), first: LEAST, jitter };
        }
        LikelihoodTable::of(jitter, LEAST, MOST, |ratio| self.plain(ratio))
    }
}

/// The likelihoods of one block.
#[derive(Debug)]
pub struct LikelihoodTable<'j> {
    /// Of consecutive ratios, extended on both sides by half of the width of the density. Empty if no unit failed: every
    /// ratio is equally likely.
    plain: Vec<f64>,
    first: Ratio,
    jitter: &'j JitterDensity,
}

impl<'j> LikelihoodTable<'j> {
    /// The likelihoods of the ratios from `first` to `last`, by the logarithm of the plain likelihood.
    #[must_use]
    pub fn of(
        jitter: &'j JitterDensity,
        first: Ratio,
        last: Ratio,
        plain: impl Fn(Ratio) -> f64,
    ) -> Self {
        let least = first.0.saturating_sub(jitter.half_width);
        let most = last.0.saturating_add(jitter.half_width);
        Self { plain: (least..=most).map(|it| plain(Ratio(it))).collect(), first, jitter }
    }
}

impl LikelihoodTable<'_> {
    /// The logarithm of the jittered likelihood of a ratio, which must be of the grid.
    #[must_use]
    pub fn jittered(&self, ratio: Ratio) -> f64 {
        let skipped = usize::try_from(ratio.0.saturating_sub(self.first.0)).unwrap_or_default();
        let terms = self.plain.iter().skip(skipped).zip(&self.jitter.ln);
        if self.plain.is_empty() { 0.0 } else { ln_sum_exp(terms.map(|(plain, ln)| plain + ln)) }
    }

    /// The logarithm of the plain likelihood of a ratio, which must be of the grid.
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

/// `ln (1 + e^x)`.
fn ln_one_plus_exp(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `ln cosh x`.
fn ln_cosh(x: f64) -> f64 {
    ln_one_plus_exp(2.0 * x) - x - std::f64::consts::LN_2
}

/// `ln Σ e^x`.
fn ln_sum_exp(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let most = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + terms.map(|it| (it - most).exp()).sum::<f64>().ln()
}
