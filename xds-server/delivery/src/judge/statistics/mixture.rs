//! E-processes against a candidate that breaks at an unknown moment.
//!
//! The moment has a prior: 40 % from the start of the release, 10 % with each of the first three changes of its weight, 30 %
//! exponential with a mean of 30 minutes. For each alternative `r` the evidence is the recursion `S ← (S + ω) · e` over
//! blocks, where `ω` is the prior mass of the block (Shiryaev; compare Shin, Ramdas and Rinaldo, "E-detectors", 2023,
//! <https://arxiv.org/abs/2203.03532>). The e-process is the mean over the alternatives, plus the mass that is left. It
//! needs one number per alternative where sliding windows need every count in them, and unlike them it has one bound for the
//! whole release.

use std::time::Duration;

/// Mass of a break at the start.
const AT_START: f64 = 0.4;
/// Mass of a break with a change of the weight.
const AT_STEP: f64 = 0.1;
/// Number of changes with that mass.
const STEPS: u8 = 3;
/// Mass of a break at any other time.
const LATER: f64 = 0.3;
/// Mean of that time, in seconds.
const MEAN_SECONDS: f64 = 1800.0;
/// Evidence above this is given up: it stays finite, whatever a release does.
const MOST: f64 = 1e100;

/// The prior of the moment of the break: what of it was not used yet.
#[derive(Debug, Clone)]
pub struct Moments {
    started: bool,
    steps_left: u8,
    later: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { started: false, steps_left: STEPS, later: LATER }
    }
}

impl Moments {
    /// The mass of the block that begins now.
    pub fn next(&mut self, length: Duration, weight_changed: bool) -> f64 {
        let mut mass = self.later * -(-length.as_secs_f64() / MEAN_SECONDS).exp_m1();
        self.later -= mass;
        if !self.started {
            self.started = true;
            mass += AT_START;
        } else if weight_changed && self.steps_left > 0 {
            self.steps_left = self.steps_left.saturating_sub(1);
            mass += AT_STEP;
        }
        mass
    }
}

/// The evidence for each of `N` alternatives, over the blocks so far.
#[derive(Debug, Clone)]
pub struct Mixture<const N: usize> {
    evidence: [f64; N],
    /// The mass that is not in `evidence` yet.
    rest: f64,
    /// Evidence above this is given up.
    most: f64,
}

impl<const N: usize> Default for Mixture<N> {
    fn default() -> Self {
        Self::capped(MOST)
    }
}

impl<const N: usize> Mixture<N> {
    /// Evidence above `most` is given up, so that better counts lower it soon.
    #[must_use]
    pub const fn capped(most: f64) -> Self {
        Self { evidence: [0.0; N], rest: 1.0, most }
    }

    /// Begins a block with its mass.
    pub fn begin(&mut self, mass: f64) {
        let mass = mass.clamp(0.0, self.rest);
        self.rest -= mass;
        self.evidence.iter_mut().for_each(|it| *it += mass);
    }

    /// The e-value with a block that has the e-value `e^gain` for each alternative.
    #[must_use]
    pub fn with(&self, gains: &[f64; N]) -> f64 {
        let each = self.evidence.iter().zip(gains).map(|(it, gain)| self.limited(it * gain.exp()));
        each.sum::<f64>() / alternatives::<N>() + self.rest
    }

    /// The e-value with a block that has the e-value 1 for each alternative.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.evidence.iter().sum::<f64>() / alternatives::<N>() + self.rest
    }

    /// Ends the block.
    pub fn end(&mut self, gains: &[f64; N]) {
        let most = self.most;
        for (it, gain) in self.evidence.iter_mut().zip(gains) {
            *it = (*it * gain.exp()).min(most);
        }
    }

    /// Keeps this part of the evidence, and gives up the rest.
    pub fn keep(&mut self, part: f64) {
        self.evidence.iter_mut().for_each(|it| *it *= part.clamp(0.0, 1.0));
    }

    /// Gives evidence up, so that the e-value is at most 1.
    pub fn give_up(&mut self) {
        let of_alternatives = self.value() - self.rest;
        if of_alternatives + self.rest > 1.0 {
            let factor = (1.0 - self.rest) / of_alternatives;
            self.evidence.iter_mut().for_each(|it| *it *= factor);
        }
    }

    const fn limited(&self, evidence: f64) -> f64 {
        // Also of the product of nothing and infinity, which is not a number.
        if evidence < self.most { evidence } else { self.most }
    }
}

/// `N` as a float.
fn alternatives<const N: usize>() -> f64 {
    super::float(u64::try_from(N).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Duration = Duration::from_secs(5);

    #[test]
    fn the_prior_of_the_moment_adds_up_to_one() {
        let mut moments = Moments::default();
        let mut spent = 0.0;
        for block in 0..100_000 {
            spent += moments.next(BLOCK, block % 10 == 9);
        }
        assert!((spent - 1.0).abs() < 1e-9, "{spent}");
    }

    #[test]
    fn without_evidence_the_value_is_one() {
        let mut mixture = Mixture::<3>::default();
        let mut moments = Moments::default();
        for _ in 0..1_000 {
            mixture.begin(moments.next(BLOCK, false));
            assert!((mixture.with(&[0.0; 3]) - 1.0).abs() < 1e-9);
            mixture.end(&[0.0; 3]);
        }
    }

    #[test]
    fn evidence_stays_finite() {
        let mut mixture = Mixture::<2>::default();
        for _ in 0..10 {
            mixture.begin(0.05);
            mixture.end(&[800.0, -800.0]);
        }
        assert!(mixture.with(&[800.0, 800.0]).is_finite());
        mixture.give_up();
        assert!(mixture.with(&[0.0; 2]) <= 1.0 + 1e-9);
    }

    #[test]
    fn capped_evidence_falls_soon() {
        let mut mixture = Mixture::<1>::capped(200.0);
        mixture.begin(0.4);
        (0..100).for_each(|_| mixture.end(&[3.0]));
        assert!(mixture.with(&[0.0]) > 199.0);
        (0..3).for_each(|_| mixture.end(&[-3.0]));
        assert!(mixture.with(&[0.0]) < 1.0);
    }
}
