//! Runs simulated releases through the judge and the other rules.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::history::{StableCounts, StableHistory};
use tidegate_delivery::judge::statistics::{Pair, Units};
use tidegate_delivery::judge::{Counted, Evidence, ReleaseJudge, Verdict};
use tidegate_delivery::names::VersionName;
use tidegate_delivery::units::{Ppm, Timestamp};

use crate::rules::{EachMinute, Kayenta, Observed, Rule};
use crate::world::{TICKS, Traffic, World};

/// The steps of a release: weight in percent, and seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plan {
    Canary,
    /// 5 % for as long as it takes.
    FirstStep,
}

impl Plan {
    const fn steps(self) -> &'static [(u32, u32)] {
        match self {
            Self::Canary => &[(5, 300), (10, 300), (25, 300), (50, 300), (100, 1_800)],
            Self::FirstStep => &[(5, 3_600)],
        }
    }
}

/// What happened to one release.
#[derive(Debug, Default, Clone)]
struct Outcome {
    /// When each rule rolled it back, in ticks: Tidegate, the first judge, Flagger, Argo, Kayenta.
    rolled_back: [Option<u32>; RULES],
    /// Tidegate had an alert.
    held: bool,
}

pub(crate) const RULES: usize = 5;

/// How many releases each rule rolled back.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) releases: u64,
    pub(crate) rolled_back: [u64; RULES],
    pub(crate) held: u64,
}

pub(crate) fn false_rollbacks(world: &World, plan: Plan, releases: u64, seed: u64) -> Counts {
    let outcomes = parallel(releases, |number| release(*world, plan, seed_of(seed, number), true));
    let mut counts = Counts { releases, ..Counts::default() };
    for outcome in outcomes {
        counts.held += u64::from(outcome.held);
        for (sum, it) in counts.rolled_back.iter_mut().zip(outcome.rolled_back) {
            *sum += u64::from(it.is_some());
        }
    }
    counts
}

/// Median and 95th percentile of the time from the break to the rollback, in seconds.
pub(crate) fn detection(world: &World, releases: u64, seed: u64) -> String {
    let outcomes =
        parallel(releases, |number| release(*world, Plan::FirstStep, seed_of(seed, number), false));
    let mut times: Vec<f64> = outcomes
        .iter()
        .map(|it| {
            it.rolled_back[0].map_or(f64::INFINITY, |tick| {
                f64::from(tick) / f64::from(TICKS) - f64::from(world.breaks_at)
            })
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("{:.1} / {:.1}", at(0.5), at(0.95))
}

/// The mean time of one evaluation of a healthy release, in microseconds: counts in, verdict out.
pub(crate) fn cost(world: World, seed: u64) -> f64 {
    let mut traffic = Traffic::new(world, seed, 0.0, 0.0);
    let guardrails = Guardrails::default();
    let (mut counted, history) = (Counted::default(), StableHistory::default());
    let begin = time(0.0);
    let weight = Ppm::percent(5);
    let mut judge = ReleaseJudge::begin(begin, weight, 1.0, counted, &guardrails, &history);
    let (ticks, mut spent) = (2_400 * TICKS, Duration::ZERO);
    for tick in 1..=ticks {
        let second = f64::from(tick) / f64::from(TICKS);
        add(&mut counted, traffic.tick(second, weight.fraction()));
        let before = Instant::now();
        judge.observe(time(second), counted, &guardrails, &history, 1);
        std::hint::black_box(judge.verdict(&guardrails, &BTreeMap::new()));
        spent += before.elapsed();
    }
    spent.as_secs_f64() * 1e6 / f64::from(ticks)
}

pub(crate) fn seed_of(seed: u64, number: u64) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(number)
}

/// Splits the releases between two threads.
pub(crate) fn parallel<T: Send>(releases: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..2)
            .map(|first| {
                scope.spawn(move || (first..releases).step_by(2).map(run).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|it| it.join().unwrap()).collect()
    })
}

/// Half an hour of stable alone, then the release. `all`: until its end, and with the other rules.
fn release(world: World, plan: Plan, seed: u64, all: bool) -> Outcome {
    let steps = plan.steps();
    let length: u32 = steps.iter().map(|it| it.1).sum();
    let watch = steps.iter().filter(|it| it.0 < 100).map(|it| it.1).sum::<u32>();
    let mut traffic = Traffic::new(world, seed, f64::from(watch), f64::from(length));
    let mut history = History::new();
    // Before the release there is no outage and no break.
    for tick in 0..1_800 * TICKS {
        let second = f64::from(tick) / f64::from(TICKS) - 1_800.0;
        history.observe(second, traffic.tick(second, 0.0).stable);
    }
    let guardrails = Guardrails::default();
    let mut counted = Counted::default();
    let mut judge = None;
    let mut others: [(Box<dyn Rule>, Option<u32>); RULES - 1] = [
        (Box::new(Observed::default()), None),
        (Box::new(EachMinute::flagger()), None),
        (Box::new(EachMinute::argo()), None),
        (Box::new(Kayenta::default()), None),
    ];
    let mut outcome = Outcome::default();
    let mut tick = 0;
    for (weight, seconds) in steps {
        let now = time(f64::from(tick) / f64::from(TICKS));
        let weight = Ppm::percent(*weight);
        let judge = judge.get_or_insert_with(|| {
            ReleaseJudge::begin(now, weight, 1.0, counted, &guardrails, &history.stable)
        });
        if tick > 0 {
            judge.enter_step(now, weight, counted, &history.stable);
        }
        others.iter_mut().for_each(|(rule, _)| rule.enter_step());
        for _ in 0..seconds * TICKS {
            tick += 1;
            let second = f64::from(tick) / f64::from(TICKS);
            let counts = traffic.tick(second, weight.fraction());
            add(&mut counted, counts);
            history.observe(second, counts.stable);
            if outcome.rolled_back[0].is_none() {
                judge.observe(time(second), counted, &guardrails, &history.stable, 1);
                match judge.verdict(&guardrails, &BTreeMap::new()) {
                    Verdict::RollBack { .. } => {
                        outcome.rolled_back[0] = Some(tick);
                        if !all {
                            return outcome;
                        }
                    }
                    Verdict::Alert { .. } => outcome.held = true,
                    Verdict::Healthy | Verdict::Inconclusive { .. } => {}
                }
            }
            if all {
                for (rule, at) in others.iter_mut().filter(|it| it.1.is_none()) {
                    *at = rule.rolls_back(counts).then_some(tick);
                }
            }
        }
    }
    for (to, (_, at)) in outcome.rolled_back.iter_mut().skip(1).zip(others) {
        *to = at;
    }
    outcome
}

/// Half an hour before the release is time zero of the clock.
pub(crate) fn time(second: f64) -> Timestamp {
    Timestamp(((second + 1_800.0) * 1_000.0) as u64)
}

fn add(counted: &mut Counted, counts: Pair) {
    let add = |evidence: &mut Evidence, units: Units| {
        evidence.requests += units.all;
        evidence.errors += units.bad;
    };
    add(&mut counted.candidate, counts.candidate);
    add(&mut counted.stable, counts.stable);
}

struct History {
    version: VersionName,
    cumulative: Units,
    stable: StableHistory,
}

impl History {
    fn new() -> Self {
        let version = "v1".parse().unwrap();
        Self { version, cumulative: Units::default(), stable: StableHistory::default() }
    }

    fn observe(&mut self, second: f64, units: Units) {
        self.cumulative = self.cumulative.plus(units);
        let cumulative = StableCounts::of_failures(self.cumulative);
        self.stable.observe(time(second), &self.version, cumulative);
    }
}
