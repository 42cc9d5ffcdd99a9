//! Random counts of both versions, report by report.
//!
//! Requests are Poisson, failures binomial, response times lognormal. A client belongs to one version by its number, as by its
//! bucket: the first ones to the candidate. A client that failed is counted again after five minutes.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Binomial, Distribution, Gamma, Poisson};
use tidegate_delivery::judge::guardrails;
use tidegate_delivery::judge::statistics::two_by_two::{QUANTILES, SlowerRequests};
use tidegate_delivery::judge::statistics::{Units, whole};
use tidegate_delivery::judge::{Evidence, SlowRequests};

use crate::scenario::{Behaviour, Clumps, Latency, Scenario};

/// The time between two reports.
pub const REPORT: Duration = Duration::from_millis(250);
/// When a client that failed counts again, in reports.
const AGAIN: u64 = 5 * 60 * 4;
/// The compared quantiles of stable, as normal quantiles: 50, 75, 90, 95, 99, 99.9 %.
const NORMAL: [f64; QUANTILES] = [0.0, 0.674_490, 1.281_552, 1.644_854, 2.326_348, 3.090_232];
/// The margin of the candidate at the quantiles of stable: three buckets of the histogram.
const MARGIN: f64 = 1.3;
/// The least margin, in seconds.
const LEAST_MARGIN: f64 = 0.005;

/// The traffic of one run.
#[derive(Debug)]
pub struct Traffic<'a> {
    scenario: &'a Scenario,
    random: SmallRng,
    report: u64,
    /// Of candidate and stable.
    hiccups: [f64; 2],
    clumps: Vec<Clump>,
    /// When each client was counted as failed, by reports.
    failed: HashMap<u32, u64>,
    /// Clients that the candidate failed.
    harmed: HashSet<u32>,
}

#[derive(Debug)]
struct Clump {
    client: u32,
    left: u64,
}

/// The counts of one report.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Of the candidate.
    pub candidate: Evidence,
    /// Of stable.
    pub stable: Evidence,
}

impl<'a> Traffic<'a> {
    /// The same seed gives the same traffic for the same weights.
    #[must_use]
    pub fn new(scenario: &'a Scenario, seed: u64) -> Self {
        Self {
            scenario,
            random: SmallRng::seed_from_u64(seed),
            report: 0,
            hiccups: [1.0; 2],
            clumps: Vec::new(),
            failed: HashMap::new(),
            harmed: HashSet::new(),
        }
    }

    /// Distinct clients that the candidate failed.
    #[must_use]
    pub fn harmed(&self) -> u64 {
        u64::try_from(self.harmed.len()).unwrap_or(u64::MAX)
    }

    /// The counts of the next report. `at` is the time since the candidate's first request; none before that.
    pub fn report(
        &mut self,
        at: Option<Duration>,
        weight: f64,
        limits: &guardrails::Latency,
    ) -> Counts {
        self.report = self.report.saturating_add(1);
        self.forget();
        self.draw_hiccups();
        let scenario = self.scenario;
        let candidate = scenario.candidate_at(at.unwrap_or_default());
        let incident = at.and_then(|at| scenario.incident_at(at));
        let traffic = &scenario.traffic;
        let elapsed = REPORT.as_secs_f64() * self.report as f64;
        let phase = elapsed / traffic.period.as_secs_f64() * std::f64::consts::TAU;
        let rate = traffic.requests_per_second * (1.0 + traffic.swing * phase.sin());
        let mean = rate * REPORT.as_secs_f64();
        let all = scenario.traffic.clients;
        let of_candidate = whole(f64::from(all) * weight);
        let of_candidate = u32::try_from(of_candidate).unwrap_or(all).min(all);
        let [of_hiccup, other] = self.hiccups;
        let independent = 1.0 - traffic.clumps.map_or(0.0, |it| it.share);
        let mut counts = Counts::default();
        for (version, behaviour, hiccup, share, clients, is_candidate) in [
            (&mut counts.candidate, &candidate, of_hiccup, weight, 0..of_candidate, true),
            (&mut counts.stable, &scenario.stable, other, 1.0 - weight, of_candidate..all, false),
        ] {
            // What stable's clumps leave is independent; what the candidate has more of, all of it.
            let clumped = (1.0 - independent) * scenario.stable.error_rate;
            let error_rate = (behaviour.error_rate - clumped).max(0.0) * hiccup;
            let error_rate = incident.unwrap_or(error_rate).min(1.0);
            let requests = poisson(&mut self.random, mean * share);
            let errors = binomial(&mut self.random, requests, error_rate);
            version.requests = requests;
            if !clients.is_empty() {
                for _ in 0..errors {
                    let client = self.random.random_range(clients.clone());
                    self.fail(version, client, is_candidate);
                }
            }
            self.repeat(version, &clients);
            self.time(version, behaviour, limits, is_candidate);
        }
        self.begin_clumps(mean);
        self.continue_clumps(of_candidate, &mut counts);
        counts
    }

    fn fail(&mut self, version: &mut Evidence, client: u32, is_candidate: bool) {
        version.errors = version.errors.saturating_add(1);
        let now = self.report;
        match self.failed.get(&client) {
            Some(at) if now.saturating_sub(*at) < AGAIN => {
                let Units { bad, all } = version.repeated;
                version.repeated = Units { bad: bad.saturating_add(1), all: all.saturating_add(1) };
            }
            _ => {
                self.failed.insert(client, now);
            }
        }
        if is_candidate {
            self.harmed.insert(client);
        }
    }

    /// Successful requests of clients that failed before.
    fn repeat(&mut self, version: &mut Evidence, clients: &std::ops::Range<u32>) {
        if self.failed.is_empty() || clients.is_empty() {
            return;
        }
        // Failed clients are spread evenly enough over both versions.
        let share = self.failed.len() as f64 / f64::from(self.scenario.traffic.clients);
        let ok = version.requests.saturating_sub(version.errors);
        let again = binomial(&mut self.random, ok, share.min(1.0));
        version.repeated.all = version.repeated.all.saturating_add(again);
    }

    fn forget(&mut self) {
        if self.report.is_multiple_of(240) {
            let now = self.report;
            self.failed.retain(|_, at| now.saturating_sub(*at) < AGAIN);
        }
    }

    fn draw_hiccups(&mut self) {
        let Some(hiccups) = self.scenario.traffic.hiccups else { return };
        let every = u64::try_from(hiccups.every.as_millis() / REPORT.as_millis()).unwrap_or(1);
        if !self.report.is_multiple_of(every.max(1)) {
            return;
        }
        if let Ok(gamma) = Gamma::new(hiccups.shape, 1.0 / hiccups.shape) {
            self.hiccups = std::array::from_fn(|_| gamma.sample(&mut self.random));
        }
    }

    fn begin_clumps(&mut self, mean: f64) {
        let Some(Clumps { share, size: [least, most] }) = self.scenario.traffic.clumps else {
            return;
        };
        let size = f64::midpoint(f64::from(least), f64::from(most));
        let clumps = mean * self.scenario.stable.error_rate * share / size;
        for _ in 0..poisson(&mut self.random, clumps) {
            let client = self.random.random_range(0..self.scenario.traffic.clients);
            let left = u64::from(self.random.random_range(least..=most));
            self.clumps.push(Clump { client, left });
        }
    }

    /// A clump lasts a second.
    fn continue_clumps(&mut self, of_candidate: u32, counts: &mut Counts) {
        let mut clumps = std::mem::take(&mut self.clumps);
        for clump in &mut clumps {
            let now = clump.left.div_ceil(4).max(1).min(clump.left);
            clump.left = clump.left.saturating_sub(now);
            let is_candidate = clump.client < of_candidate;
            let version = if is_candidate { &mut counts.candidate } else { &mut counts.stable };
            for _ in 0..now {
                version.requests = version.requests.saturating_add(1);
                self.fail(version, clump.client, is_candidate);
            }
        }
        clumps.retain(|it| it.left > 0);
        self.clumps = clumps;
    }

    /// The response times: how many requests are above each limit, and above each quantile of stable.
    fn time(
        &mut self,
        version: &mut Evidence,
        behaviour: &Behaviour,
        limits: &guardrails::Latency,
        is_candidate: bool,
    ) {
        let stable = Lognormal::of(&self.scenario.stable.latency);
        let own = Lognormal::of(&behaviour.latency);
        let quantiles = NORMAL.map(|z| {
            let at = (stable.mean + z * stable.deviation).exp();
            if is_candidate { (at * MARGIN).max(at + LEAST_MARGIN) } else { at }
        });
        let mut above = quantiles.map(|at| own.above(at));
        let mut left = version.requests;
        // Each count is drawn from the one below it.
        let mut before = 1.0;
        let bad = above.each_mut().map(|share| {
            let part = if before > 0.0 { (*share / before).clamp(0.0, 1.0) } else { 0.0 };
            left = binomial(&mut self.random, left, part);
            before = *share;
            left
        });
        version.slower = SlowerRequests { all: version.requests, bad };
        let mut slow = |limit: Duration, from: u64, from_share: f64| {
            let share = own.above(limit.as_secs_f64());
            let part = if from_share > 0.0 { (share / from_share).clamp(0.0, 1.0) } else { 0.0 };
            (binomial(&mut self.random, from, part), share)
        };
        let (warning, share) = slow(limits.warning, version.requests, 1.0);
        let (critical, share) = slow(limits.critical, warning, share);
        let (rollback, _) = slow(limits.rollback, critical, share);
        version.slow = SlowRequests { warning, critical, rollback, unfinished: 0 };
    }
}

/// The logarithm of a response time in seconds is normal.
struct Lognormal {
    mean: f64,
    deviation: f64,
}

impl Lognormal {
    fn of(Latency { p50, p99 }: &Latency) -> Self {
        let mean = p50.as_secs_f64().ln();
        let [.., p99_quantile, _] = NORMAL;
        Self { mean, deviation: (p99.as_secs_f64().ln() - mean) / p99_quantile }
    }

    /// The share above a time in seconds.
    fn above(&self, seconds: f64) -> f64 {
        let z = (seconds.ln() - self.mean) / self.deviation;
        upper_tail(z)
    }
}

/// The probability that a standard normal variable is above `z`: Abramowitz and Stegun, "Handbook of mathematical functions",
/// 26.2.17, with an error below 7.5e-8.
fn upper_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let density = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let series = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let tail = density * series.iter().fold(0.0, |sum, it| (sum + it) * t);
    if z >= 0.0 { tail } else { 1.0 - tail }
}

fn poisson(random: &mut SmallRng, mean: f64) -> u64 {
    match Poisson::new(mean) {
        Ok(poisson) if mean > 0.0 => whole(poisson.sample(random)),
        _ => 0,
    }
}

fn binomial(random: &mut SmallRng, of: u64, share: f64) -> u64 {
    if of == 0 || share <= 0.0 {
        return 0;
    }
    if share >= 1.0 {
        return of;
    }
    Binomial::new(of, share).map_or(0, |it| it.sample(random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_delivery::judge::guardrails::Guardrails;

    fn scenario(json: &str) -> Scenario {
        let scenario: Scenario = serde_json::from_str(json).unwrap();
        scenario.validate().unwrap();
        scenario
    }

    fn sum(scenario: &Scenario, reports: u32) -> (Counts, u64) {
        let mut traffic = Traffic::new(scenario, 7);
        let limits = Guardrails::default().latency;
        let mut all = Counts::default();
        for report in 0..reports {
            let counts = traffic.report(Some(REPORT * report), 0.2, &limits);
            for (sum, it) in
                [(&mut all.candidate, counts.candidate), (&mut all.stable, counts.stable)]
            {
                assert!(it.errors <= it.requests && it.repeated.bad <= it.repeated.all);
                sum.requests += it.requests;
                sum.errors += it.errors;
                sum.repeated = sum.repeated.plus(it.repeated);
                sum.slower.all += it.slower.all;
                sum.slower.bad.iter_mut().zip(it.slower.bad).for_each(|(sum, it)| *sum += it);
                sum.slow.warning += it.slow.warning;
            }
        }
        (all, traffic.harmed())
    }

    #[test]
    fn counts_have_the_rates_of_the_scenario() {
        let scenario = scenario(
            r#"{"name": "x", "traffic": {"requests_per_second": 1000}, "stable": {"error_rate": "1%"},
                "candidate": {"error_rate": "3%", "latency": {"p50": "60ms", "p99": "4s"}}}"#,
        );
        let (Counts { candidate, stable }, harmed) = sum(&scenario, 2_400);
        let near = |seen: u64, of: u64, expected: f64| {
            let rate = seen as f64 / of as f64;
            assert!((rate / expected - 1.0).abs() < 0.1, "{rate}, not {expected}");
        };
        near(candidate.requests, candidate.requests + stable.requests, 0.2);
        near(candidate.errors, candidate.requests, 0.03);
        near(stable.errors, stable.requests, 0.01);
        // Stable at its own median and 99th percentile.
        near(stable.slower.bad[0], stable.requests, 0.5);
        near(stable.slower.bad[4], stable.requests, 0.01);
        assert!(candidate.slower.bad[4] > 10 * stable.slower.bad[4] / 4);
        near(candidate.slow.warning, candidate.requests, 0.026);
        // 20 000 clients of the candidate, 3600 failures.
        assert!((3_000..3_700).contains(&harmed), "{harmed}");
    }

    #[test]
    fn clumps_keep_the_rate_and_are_of_few_clients() {
        let scenario = scenario(
            r#"{"name": "x", "traffic": {"requests_per_second": 1000, "clumps": {"share": "50%", "size": [5, 50]}},
                "stable": {"error_rate": "1%"}}"#,
        );
        let (Counts { stable, .. }, _) = sum(&scenario, 4_800);
        let rate = stable.errors as f64 / stable.requests as f64;
        assert!((0.009..0.011).contains(&rate), "{rate}");
        let repeated = stable.repeated.bad as f64 / stable.errors as f64;
        assert!((0.4..0.6).contains(&repeated), "{repeated}");
    }

    #[test]
    fn the_same_seed_gives_the_same_counts() {
        let scenario = scenario(
            r#"{"name": "x", "traffic": {"requests_per_second": 50, "hiccups": {"every": "5s", "shape": 4}},
                "stable": {"error_rate": "2%"}}"#,
        );
        let (first, second) = (sum(&scenario, 400).0, sum(&scenario, 400).0);
        assert_eq!((first.candidate, first.stable), (second.candidate, second.stable));
    }
}
