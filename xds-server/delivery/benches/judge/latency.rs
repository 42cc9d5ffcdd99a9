//! Simulated waits: log-normal with a median of 20 ms and a 99th percentile of 200 ms.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Binomial, Distribution, Poisson};
use tidegate_delivery::judge::guardrails::{Guardrails, WorseThanStable};
use tidegate_delivery::judge::history::{StableCounts, StableHistory};
use tidegate_delivery::judge::statistics::two_by_two::{QUANTILES, SlowerRequests};
use tidegate_delivery::judge::{Counted, Evidence, Guardrail, ReleaseJudge, Verdict};
use tidegate_delivery::names::VersionName;
use tidegate_delivery::units::Ppm;

use crate::run::{parallel, seed_of, time};
use crate::world::TICKS;

/// What is slower about the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slower {
    /// Nothing.
    Equal,
    /// Nothing; each version pauses for 300 ms, every 20 s on average, at times of its own.
    Pauses,
    /// Nothing; each version pauses for a second, every minute on average, at times of its own.
    LongPauses,
    /// The slowest 5 % take three times as long.
    Tail,
    /// 200 ms more.
    Added,
    /// One and a half times as long.
    Factor,
}

impl Slower {
    pub(crate) const EQUAL: [Self; 3] = [Self::Equal, Self::Pauses, Self::LongPauses];
    pub(crate) const WORSE: [Self; 3] = [Self::Tail, Self::Added, Self::Factor];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Pauses => "equal, with pauses of their own",
            Self::LongPauses => "equal, with long pauses of their own",
            Self::Tail => "tail × 3",
            Self::Added => "+ 200 ms",
            Self::Factor => "× 1.5",
        }
    }

    /// Pauses per second, and their length in seconds.
    const fn pauses(self) -> Option<(f64, f64)> {
        match self {
            Self::Pauses => Some((0.05, 0.3)),
            Self::LongPauses => Some((1.0 / 60.0, 1.0)),
            _ => None,
        }
    }

    /// The steps: weight, and seconds.
    fn steps(self) -> &'static [(f64, u32)] {
        if Self::EQUAL.contains(&self) {
            &[(0.05, 300), (0.1, 300), (0.25, 300), (0.5, 300)]
        } else {
            &[(0.05, 600)]
        }
    }

    /// The share of the candidate's requests slower than this time.
    fn share_above(self, millis: f64) -> f64 {
        match self {
            Self::Equal | Self::Pauses | Self::LongPauses => share_above(millis),
            Self::Tail => {
                let tail = millis_at(TAIL);
                let tripled = share_above(tail.max(millis / 3.0));
                tripled + (share_above(millis) - share_above(tail)).max(0.0)
            }
            Self::Added => share_above(millis - 200.0),
            Self::Factor => share_above(millis / 1.5),
        }
    }
}

/// Standard normal quantiles of 50, 75, 90, 95, 99 and 99.9 %.
const QUANTILES_OF_NORMAL: [f64; QUANTILES] = [0.0, 0.674_490, 1.281_552, TAIL, P99, 3.090_232];
const TAIL: f64 = 1.644_854;
const P99: f64 = 2.326_348;
/// The margin of the candidate.
const MARGIN: f64 = 1.25;

fn millis_at(normal: f64) -> f64 {
    20.0 * (normal * 10.0_f64.ln() / P99).exp()
}

fn share_above(millis: f64) -> f64 {
    if millis <= 0.0 { 1.0 } else { upper((millis / 20.0).ln() * P99 / 10.0_f64.ln()) }
}

/// The upper tail of the standard normal distribution (Abramowitz and Stegun 7.1.26).
fn upper(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let factors = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let polynomial = factors.iter().fold(0.0, |sum, factor| sum * t + factor) * t;
    let tail = 0.5 * polynomial * (-z * z).exp();
    if x < 0.0 { 1.0 - tail } else { tail }
}

/// How many releases are rolled back, and median and 95th percentile of the time.
pub(crate) fn rollbacks(slower: Slower, rps: f64, releases: u64, seed: u64) -> (u64, f64, f64) {
    let mut times: Vec<f64> =
        parallel(releases, |number| release(slower, rps, seed_of(seed, number)));
    let rolled_back = times.iter().filter(|it| it.is_finite()).count() as u64;
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    (rolled_back, at(0.5), at(0.95))
}

/// The time of the rollback.
fn release(slower: Slower, rps: f64, seed: u64) -> f64 {
    let mut traffic = Versions::new(slower, rps, seed);
    let version: VersionName = "v1".parse().unwrap();
    let mut history = StableHistory::default();
    let mut counted = Counted::default();
    let mut learn = |second: f64, stable: &Evidence| {
        let total = StableCounts { slower: stable.slower, ..StableCounts::default() };
        history.observe(time(second), &version, total);
        history.clone()
    };
    let mut known = learn(-1_800.0, &counted.stable);
    for block in 1..=360 {
        let second = f64::from(block) * 5.0 - 1_800.0;
        let [_, stable] = traffic.span(5.0, 0.0);
        add(&mut counted.stable, stable);
        known = learn(second, &counted.stable);
    }
    let mut guardrails = Guardrails::default();
    guardrails.latency.worse_than_stable = WorseThanStable::Rollback;
    let mut judge = None;
    let mut tick: u32 = 0;
    for (share, seconds) in slower.steps() {
        let now = time(f64::from(tick) / f64::from(TICKS));
        let weight = Ppm::new((share * 1e6).round() as u32).unwrap();
        let judge = judge.get_or_insert_with(|| {
            ReleaseJudge::begin(now, weight, 1.0, counted, &guardrails, &known)
        });
        if tick > 0 {
            judge.enter_step(now, weight, counted, &known);
        }
        for _ in 0..seconds * TICKS {
            tick += 1;
            let second = f64::from(tick) / f64::from(TICKS);
            let [candidate, stable] = traffic.span(1.0 / f64::from(TICKS), *share);
            add(&mut counted.candidate, candidate);
            add(&mut counted.stable, stable);
            if tick.is_multiple_of(5 * TICKS) {
                known = learn(second, &counted.stable);
            }
            judge.observe(time(second), counted, &guardrails, &known, 1);
            if let Verdict::RollBack { findings } = judge.verdict(&guardrails, &BTreeMap::new())
                && findings.iter().any(|it| it.guardrail == Guardrail::Latency)
            {
                return second;
            }
        }
    }
    f64::INFINITY
}

/// The waits of both versions.
struct Versions {
    slower: Slower,
    rps: f64,
    random: SmallRng,
    /// The share of the requests above the quantiles of stable: of the candidate with its margin, and of stable.
    shares: [[f64; QUANTILES]; 2],
    /// Seconds that are left of a pause.
    paused: [f64; 2],
}

impl Versions {
    fn new(slower: Slower, rps: f64, seed: u64) -> Self {
        let thresholds = QUANTILES_OF_NORMAL.map(millis_at);
        let shares =
            [thresholds.map(|it| slower.share_above(MARGIN * it)), thresholds.map(share_above)];
        let random = SmallRng::seed_from_u64(seed);
        Self { slower, rps, random, shares, paused: [0.0; 2] }
    }

    fn span(&mut self, seconds: f64, weight: f64) -> [SlowerRequests; 2] {
        [(0, weight), (1, 1.0 - weight)].map(|(of, share)| {
            if let Some((rate, length)) = self.slower.pauses() {
                let pauses = Poisson::new(rate * seconds).unwrap().sample(&mut self.random);
                self.paused[of] += pauses * length;
            }
            let slow = (self.paused[of] / seconds).min(1.0);
            self.paused[of] = (self.paused[of] - seconds).max(0.0);
            requests(&mut self.random, self.rps * share * seconds, &self.shares[of], slow)
        })
    }
}

/// `slow` is the share of the tick in which every request is slow.
fn requests(
    random: &mut SmallRng,
    mean: f64,
    shares: &[f64; QUANTILES],
    slow: f64,
) -> SlowerRequests {
    let all = if mean > 0.0 { Poisson::new(mean).unwrap().sample(random) as u64 } else { 0 };
    let paused = Binomial::new(all, slow).unwrap().sample(random);
    let (mut left, mut before) = (all - paused, 1.0);
    let bad = shares.map(|share| {
        left = Binomial::new(left, (share / before).clamp(0.0, 1.0)).unwrap().sample(random);
        before = share.max(f64::MIN_POSITIVE);
        left + paused
    });
    SlowerRequests { all, bad }
}

/// The waits of equal versions without pauses.
pub(crate) struct Waits {
    rps: f64,
    random: SmallRng,
    shares: [f64; QUANTILES],
}

impl Waits {
    pub(crate) fn new(rps: f64, seed: u64) -> Self {
        let shares = QUANTILES_OF_NORMAL.map(|it| share_above(millis_at(it)));
        Self { rps, random: SmallRng::seed_from_u64(seed), shares }
    }

    /// Of one version in so many seconds.
    pub(crate) fn span(&mut self, seconds: f64) -> SlowerRequests {
        requests(&mut self.random, self.rps * seconds, &self.shares, 0.0)
    }
}

pub(crate) fn plus(mut sum: SlowerRequests, more: SlowerRequests) -> SlowerRequests {
    sum.all += more.all;
    for (sum, more) in sum.bad.iter_mut().zip(more.bad) {
        *sum += more;
    }
    sum
}

fn add(evidence: &mut Evidence, more: SlowerRequests) {
    evidence.requests += more.all;
    evidence.slower = plus(evidence.slower, more);
}
