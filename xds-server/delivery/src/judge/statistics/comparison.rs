//! The comparison of the candidate with stable.
//!
//! The same counts are compared in blocks of 5 and of 30 seconds side by side, because jitter may last longer than a short
//! block; the evidence is the lesser of both. [`Comparison::worse`] and [`Comparison::much_worse`] are e-processes against "not
//! worse than stable", and [`Comparison::passing`] is the one against "at least twice as bad", since the step began.
//!
//! The alternatives are the margin: those of `worse` begin with 1.3 times the rate of stable, and a candidate that fails less
//! than about 1.15 times as often gains no evidence against it; those of `much_worse` begin with 1.5, which needs 1.23.

use std::time::Duration;

use super::interval::RatioLikelihoods;
use super::likelihood::{BlockLikelihood, JitterDensity, LEAST, LikelihoodTable, MOST, Ratio};
use super::mixture::{Mixture, Moments};
use super::{Pair, float};
use crate::units::{Ppm, Timestamp};

/// The lengths of the blocks.
pub const BLOCKS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];
/// A candidate passes a step if it is shown to be below this ratio: 2.
pub const PASSING: Ratio = Ratio(5);
/// The alternatives of "worse".
const WORSE: [Ratio; 9] =
    [Ratio(2), Ratio(3), Ratio(5), Ratio(8), Ratio(12), Ratio(17), Ratio(22), Ratio(28), Ratio(38)];
/// The alternatives of "much worse".
const MUCH_WORSE: [Ratio; 9] =
    [Ratio(3), Ratio(4), Ratio(5), Ratio(8), Ratio(12), Ratio(17), Ratio(22), Ratio(28), Ratio(38)];
/// The greatest of both.
const GREATEST: Ratio = Ratio(38);
/// The alternatives of a candidate that passes: equal, and a third better.
const PASSING_ALTERNATIVES: [Ratio; 2] = [Ratio::EQUAL, Ratio(-3)];
/// The time in which the candidate's share of the units forgets, in seconds.
const SHARE_MEMORY_SECONDS: f64 = 60.0;
/// The weight counts as so many units in the expected share.
const WEIGHT_UNITS: f64 = 200.0;
/// The expected share counts as so many units in the share of a block.
const EXPECTED_UNITS: f64 = 20.0;
/// Evidence for "worse than stable" above this is given up, and half of it in each [`WORSE_HALVES`], so that a recovered
/// candidate is not held for long: without failures nothing else lowers it.
pub(super) const MOST_WORSE: f64 = 40.0;
/// See [`MOST_WORSE`].
pub(super) const WORSE_HALVES: Duration = Duration::from_secs(10);
/// E-values below this are reported as an upper bound, which is cheaper.
const EXACT_FROM: f64 = 5.0;

/// See the module.
#[derive(Debug, Clone)]
pub struct Comparison {
    series: [Series; 2],
    share: ExpectedShare,
    ratios: RatioLikelihoods,
    worse: f64,
    much_worse: f64,
}

/// The evidence of blocks of one length.
#[derive(Debug, Clone)]
struct Series {
    length: Duration,
    began: Timestamp,
    counts: Pair,
    /// The expected share at the start of the block.
    expected: f64,
    jitter: JitterDensity,
    moments: Moments,
    worse: Mixture<9>,
    much_worse: Mixture<9>,
    passing: Mixture<2>,
}

/// What a block begins with.
#[derive(Debug, Clone, Copy)]
struct Start {
    now: Timestamp,
    expected: f64,
    kappa: f64,
    weight_changed: bool,
}

impl Comparison {
    /// Begins with a release. `jitter` returns `κ` for a length of blocks.
    #[must_use]
    pub fn begin(now: Timestamp, weight: Ppm, jitter: impl Fn(Duration) -> f64) -> Self {
        let share = ExpectedShare::of(weight);
        let series = BLOCKS.map(|length| {
            let start =
                Start { now, expected: share.get(), kappa: jitter(length), weight_changed: false };
            Series::begin(length, start)
        });
        let ratios = RatioLikelihoods::default();
        let mut comparison = Self { series, share, ratios, worse: 1.0, much_worse: 1.0 };
        comparison.evaluate();
        comparison
    }

    /// A step with another weight begins: what was counted before says nothing about the candidate's share.
    pub fn enter_step(&mut self, now: Timestamp, weight: Ppm, jitter: impl Fn(Duration) -> f64) {
        self.share = ExpectedShare::of(weight);
        for series in &mut self.series {
            let kappa = jitter(series.length);
            let start = Start { now, expected: self.share.get(), kappa, weight_changed: true };
            series.next_block(start, &mut self.ratios);
        }
        self.evaluate();
    }

    /// The evidence for passing the step begins: the sidecars have it.
    pub fn begin_passing(&mut self, now: Timestamp, jitter: impl Fn(Duration) -> f64) {
        for series in &mut self.series {
            let kappa = jitter(series.length);
            let start = Start { now, expected: self.share.get(), kappa, weight_changed: false };
            series.next_block(start, &mut self.ratios);
            series.passing = Mixture::default();
            series.passing.begin(1.0);
        }
        self.ratios = RatioLikelihoods::default();
        self.evaluate();
    }

    /// Adds the counts since the last call.
    pub fn observe(&mut self, now: Timestamp, counts: Pair, jitter: impl Fn(Duration) -> f64) {
        self.share.observe(now, counts);
        for series in &mut self.series {
            series.counts = series.counts.plus(counts);
            if now.since(series.began) >= series.length {
                let kappa = jitter(series.length);
                let start = Start { now, expected: self.share.get(), kappa, weight_changed: false };
                series.next_block(start, &mut self.ratios);
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

    /// The e-value against "at least twice as bad as stable", since the step began. Below `needed` it is an upper bound.
    #[must_use]
    pub fn passing(&self, needed: f64) -> f64 {
        let bound = self.series.iter().map(Series::passing_bound).fold(f64::INFINITY, f64::min);
        if bound < needed { bound } else { self.lesser(Series::passing) }
    }

    /// The ratios that are possible since the step began, at any time with a probability of 95 %. None: every ratio is.
    #[must_use]
    pub fn interval(&self) -> Option<(Ratio, Ratio)> {
        let [short, _] = &self.series;
        let likelihood = BlockLikelihood::new(short.counts, short.share());
        self.ratios.interval(&likelihood.table(&short.jitter, LEAST, MOST))
    }

    /// The candidate's expected share of the units.
    #[must_use]
    pub fn expected_share(&self) -> f64 {
        self.share.get()
    }

    fn evaluate(&mut self) {
        let [short, long] = &self.series;
        let [of_short, of_long] = [short, long].map(Series::bounds);
        let lesser = |bounds: [f64; 2], exact: fn(&Series) -> f64| {
            let [of_short, of_long] = bounds;
            let bound = of_short.min(of_long);
            if bound < EXACT_FROM {
                return bound;
            }
            let of_short = exact(short);
            if of_short < EXACT_FROM { of_short } else { of_short.min(exact(long)) }
        };
        self.worse = lesser([of_short.worse, of_long.worse], |it| it.exact(&it.worse, &WORSE));
        self.much_worse = lesser([of_short.much_worse, of_long.much_worse], |it| {
            it.exact(&it.much_worse, &MUCH_WORSE)
        });
    }

    fn lesser(&self, of: impl Fn(&Series) -> f64) -> f64 {
        let [short, long] = &self.series;
        let short = of(short);
        if short < EXACT_FROM { short } else { short.min(of(long)) }
    }
}

/// Upper bounds of e-values: those without jitter.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    worse: f64,
    much_worse: f64,
}

impl Series {
    fn begin(length: Duration, start: Start) -> Self {
        let mut series = Self {
            length,
            began: start.now,
            counts: Pair::default(),
            expected: start.expected,
            jitter: JitterDensity::new(start.kappa),
            moments: Moments::default(),
            worse: Mixture::capped(MOST_WORSE),
            much_worse: Mixture::default(),
            passing: Mixture::default(),
        };
        series.begin_block(start);
        series
    }

    fn begin_block(&mut self, start: Start) {
        self.began = start.now;
        self.counts = Pair::default();
        self.expected = start.expected;
        self.jitter = JitterDensity::new(start.kappa);
        let mass = self.moments.next(self.length, start.weight_changed);
        self.worse.begin(mass);
        self.much_worse.begin(mass);
    }

    fn next_block(&mut self, start: Start, ratios: &mut RatioLikelihoods) {
        let lasted = start.now.since(self.began);
        self.worse.keep((-lasted.div_duration_f64(WORSE_HALVES)).exp2());
        let (counts, jitter) = (self.counts, &self.jitter);
        if counts.candidate.bad > 0 || counts.stable.bad > 0 {
            let likelihood = BlockLikelihood::new(counts, self.greatest_share());
            let high = likelihood.table(jitter, Ratio::EQUAL, GREATEST);
            self.worse.end(&gains(&high, &WORSE));
            self.much_worse.end(&gains(&high, &MUCH_WORSE));
            let gains = self.passing_gains();
            self.passing.end(&gains);
            let [shortest, _] = BLOCKS;
            if self.length == shortest {
                let likelihood = BlockLikelihood::new(counts, self.share());
                ratios.add(&likelihood.table(jitter, LEAST, MOST));
            }
        }
        self.begin_block(start);
    }

    fn bounds(&self) -> Bounds {
        let likelihood = BlockLikelihood::new(self.counts, self.greatest_share());
        let equal = likelihood.plain(Ratio::EQUAL);
        let of = |mixture: &Mixture<9>, alternatives: [Ratio; 9]| {
            if self.counts.candidate.bad == 0 {
                // Failures of stable alone lower each of them.
                return mixture.value();
            }
            mixture.with(&alternatives.map(|it| likelihood.plain(it) - equal))
        };
        Bounds { worse: of(&self.worse, WORSE), much_worse: of(&self.much_worse, MUCH_WORSE) }
    }

    fn exact(&self, mixture: &Mixture<9>, alternatives: &[Ratio; 9]) -> f64 {
        let likelihood = BlockLikelihood::new(self.counts, self.greatest_share());
        let table = likelihood.table(&self.jitter, Ratio::EQUAL, GREATEST);
        mixture.with(&gains(&table, alternatives))
    }

    fn passing_bound(&self) -> f64 {
        let likelihood = BlockLikelihood::new(self.counts, self.least_share());
        let null = likelihood.plain(PASSING);
        self.passing.with(&PASSING_ALTERNATIVES.map(|it| likelihood.plain(it) - null))
    }

    fn passing(&self) -> f64 {
        self.passing.with(&self.passing_gains())
    }

    fn passing_gains(&self) -> [f64; 2] {
        let likelihood = BlockLikelihood::new(self.counts, self.least_share());
        let [_, least] = PASSING_ALTERNATIVES;
        let table = likelihood.table(&self.jitter, least, PASSING);
        PASSING_ALTERNATIVES.map(|it| table.gain(it, PASSING))
    }

    /// The candidate's share in this block.
    fn share(&self) -> f64 {
        let (candidate, all) = (float(self.counts.candidate.all), float(self.counts.all()));
        (candidate + EXPECTED_UNITS * self.expected) / (all + EXPECTED_UNITS)
    }

    /// Flags and a weight that is just changing move the share: the greater one makes a failure of the candidate less
    /// surprising.
    fn greatest_share(&self) -> f64 {
        self.share().max(self.expected)
    }

    fn least_share(&self) -> f64 {
        self.share().min(self.expected)
    }
}

fn gains(table: &LikelihoodTable<'_>, alternatives: &[Ratio; 9]) -> [f64; 9] {
    alternatives.map(|it| table.gain(it, Ratio::EQUAL))
}

/// The candidate's share of the units in the last minute; the weight of the step until there are units.
#[derive(Debug, Clone)]
struct ExpectedShare {
    weight: f64,
    candidate: f64,
    all: f64,
    at: Option<Timestamp>,
}

impl ExpectedShare {
    fn of(weight: Ppm) -> Self {
        Self { weight: weight.fraction(), candidate: 0.0, all: 0.0, at: None }
    }

    fn get(&self) -> f64 {
        (self.candidate + WEIGHT_UNITS * self.weight) / (self.all + WEIGHT_UNITS)
    }

    fn observe(&mut self, now: Timestamp, counts: Pair) {
        let elapsed = self.at.map_or(Duration::ZERO, |at| now.since(at));
        let forget = (-elapsed.as_secs_f64() / SHARE_MEMORY_SECONDS).exp();
        self.candidate = self.candidate * forget + float(counts.candidate.all);
        self.all = self.all * forget + float(counts.all());
        self.at = Some(now);
    }
}
