//! The preview compared with the medians of simulated releases.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Binomial, Distribution, Poisson};

use crate::judge::guardrails::Guardrails;
use crate::judge::history::{StableCounts, StableHistory};
use crate::judge::power::{Detection, Input, Regression, StepPower, Traffic, preview};
use crate::judge::statistics::Units;
use crate::judge::{Counted, Evidence, ReleaseJudge, Verdict};
use crate::units::{Ppm, Timestamp};

const RUNS: u64 = 80;
const TICK: u64 = 250;

fn input<'a>(
    traffic: Traffic,
    history: &'a StableHistory,
    guardrails: &'a Guardrails,
) -> Input<'a> {
    Input { traffic, history, spread: 1.0, group: 1, guardrails }
}

/// Half an hour of independent errors.
fn history(traffic: Traffic, random: &mut SmallRng) -> StableHistory {
    let (mut history, mut all) = (StableHistory::default(), Units::default());
    let version = "v1".parse().unwrap();
    for block in 0..360 {
        all = all.plus(units(traffic.requests_per_second * 5.0, traffic.error_rate, random));
        history.observe(Timestamp(block * 5_000), &version, StableCounts::of_failures(all));
    }
    history
}

fn units(mean: f64, rate: f64, random: &mut SmallRng) -> Units {
    if mean <= 0.0 {
        return Units::default();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small number of requests"
    )]
    let all = Poisson::new(mean).unwrap().sample(random) as u64;
    Units { bad: Binomial::new(all, rate).unwrap().sample(random), all }
}

/// The median time to a verdict, in seconds.
fn measured(
    traffic: Traffic,
    weight: Ppm,
    rate: f64,
    is_wanted: impl Fn(&Verdict) -> bool,
) -> Option<f64> {
    let guardrails = Guardrails::default();
    let run = |seed: u64| {
        let random = &mut SmallRng::seed_from_u64(seed);
        let history = history(traffic, random);
        let begin = Timestamp(0);
        let mut counted = Counted::default();
        let mut judge = ReleaseJudge::begin(begin, weight, 1.0, counted, &guardrails, &history);
        judge.enter_step(begin, weight, counted, &history);
        for tick in 1..=600 * 1_000 / TICK {
            let each = traffic.requests_per_second * TICK as f64 / 1_000.0;
            let candidate = units(each * weight.fraction(), rate, random);
            let stable = units(each * weight.complement().fraction(), traffic.error_rate, random);
            add(&mut counted.candidate, candidate);
            add(&mut counted.stable, stable);
            let now = Timestamp(tick * TICK);
            judge.observe(now, counted, &guardrails, &history, 1);
            if is_wanted(&judge.verdict(&guardrails, &BTreeMap::new())) {
                return (tick * TICK) as f64 / 1_000.0 - TICK as f64 / 2_000.0;
            }
        }
        f64::INFINITY
    };
    let mut times: Vec<f64> = (0..RUNS).map(run).collect();
    times.sort_by(f64::total_cmp);
    Some(times[times.len() / 2]).filter(|it| it.is_finite())
}

fn add(evidence: &mut Evidence, units: Units) {
    evidence.requests += units.all;
    evidence.errors += units.bad;
}

fn predicted(traffic: Traffic, weight: Ppm) -> StepPower {
    let history = history(traffic, &mut SmallRng::seed_from_u64(1));
    let guardrails = Guardrails::default();
    let steps = [(weight, Duration::from_secs(300))];
    preview(&input(traffic, &history, &guardrails), steps).remove(0)
}

/// Within 20 %, or one report.
fn assert_near(what: &str, predicted: Option<Duration>, measured: Option<f64>) {
    println!("{what}: {predicted:?}, measured {measured:?} s");
    let (predicted, measured) = (predicted.unwrap().as_secs_f64(), measured.unwrap());
    let near = (predicted - measured).abs() <= (0.2 * measured).max(TICK as f64 / 1_000.0);
    assert!(near, "{what}: predicted {predicted} s, measured {measured} s");
}

#[test]
fn detection_times_are_those_that_simulated_releases_have() {
    let regressions = [
        (1_000.0, Regression::Times(2)),
        (1_000.0, Regression::Times(5)),
        (1_000.0, Regression::Times(10)),
        (100.0, Regression::Times(10)),
        (100.0, Regression::Rate(Ppm::ALL)),
    ];
    for (requests_per_second, regression) in regressions {
        let traffic = Traffic { requests_per_second, error_rate: 0.005 };
        let weight = Ppm::percent(5);
        let power = predicted(traffic, weight);
        let detection = power.detections.iter().find(|it| it.regression == regression).unwrap();
        let rate = match regression {
            Regression::Times(times) => 0.005 * f64::from(times),
            Regression::Rate(rate) => rate.fraction(),
        };
        let rolls_back = |it: &Verdict| matches!(it, Verdict::RollBack { .. });
        let measured = measured(traffic, weight, rate, rolls_back);
        assert_near(
            &format!("{requests_per_second} rps {regression:?}"),
            detection.after,
            measured,
        );
    }
}

#[test]
fn the_time_to_pass_is_that_which_simulated_releases_have() {
    for (requests_per_second, percent) in [(1_000.0, 5), (100.0, 25), (200.0, 50), (100.0, 100)] {
        let traffic = Traffic { requests_per_second, error_rate: 0.005 };
        let weight = Ppm::percent(percent);
        let passes = predicted(traffic, weight).passes_after;
        let measured = measured(traffic, weight, 0.005, |it| *it == Verdict::Healthy);
        assert_near(&format!("{requests_per_second} rps, {percent} %"), passes, measured);
    }
}

#[test]
fn steps_without_power_are_named_with_what_helps() {
    let traffic = Traffic { requests_per_second: 5.0, error_rate: 0.001 };
    let (history, guardrails) = (StableHistory::default(), Guardrails::default());
    let minute = Duration::from_secs(60);
    let steps = [(Ppm::ZERO, minute), (Ppm::percent(1), minute), (Ppm::percent(50), 60 * minute)];
    let steps = preview(&input(traffic, &history, &guardrails), steps);
    let [first, last] = steps.as_slice() else { panic!("0 % has no traffic: {steps:?}") };
    assert_eq!(first.passes_after, None);
    let fix = first.blind.unwrap();
    assert!(fix.time.is_none_or(|it| it > minute), "{fix:?}");
    assert_eq!(last.blind, None, "{last:?}");
    let lesser =
        last.detections.windows(2).all(|it| it[0].after <= it[1].after || it[1].after.is_none());
    assert!(lesser, "{last:?}");
}

#[test]
fn without_traffic_and_with_absurd_traffic_there_is_a_preview() {
    let (history, guardrails) = (StableHistory::default(), Guardrails::default());
    for (requests_per_second, rates) in [
        (0.0, vec![0.0, 1.0]),
        (f64::NAN, vec![0.1]),
        (f64::INFINITY, vec![f64::NAN]),
        (-1.0, vec![0.1]),
    ] {
        for error_rate in rates {
            let traffic = Traffic { requests_per_second, error_rate };
            let steps = [5, 100].map(|it| (Ppm::percent(it), Duration::from_secs(30)));
            let steps = preview(&input(traffic, &history, &guardrails), steps);
            assert_eq!(steps.len(), 2);
            if requests_per_second == 0.0 {
                let none = |it: &Detection| it.after.is_none();
                assert!(steps.iter().all(|it| it.detections.iter().all(none)), "{steps:?}");
            }
        }
    }
}
