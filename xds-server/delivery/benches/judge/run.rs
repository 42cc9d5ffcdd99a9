//! Runs simulated releases through the judge and the other rules.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::history::{StableCounts, StableHistory};
use tidegate_delivery::judge::statistics::Units;
use tidegate_delivery::judge::{Counted, Evidence, ReleaseJudge, Verdict};
use tidegate_delivery::names::VersionName;
use tidegate_delivery::units::{Ppm, Timestamp};

use crate::latency::{Waits, plus};
use crate::rules::{EachMinute, Kayenta, Observed, Rule};
use crate::world::{Both, Counts, TICKS, Traffic, World, pair};

/// The steps of a release: weight, and seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plan {
    Canary,
    /// 5 % for as long as it takes.
    FirstStep,
}

impl Plan {
    fn steps(self, world: &World) -> Vec<(f64, u32)> {
        match self {
            Self::Canary => vec![
                (0.05, 300),
                (0.1, 300),
                (0.25, 300),
                (0.5, 300),
                (1.0 - world.holdback(), 1_800),
            ],
            Self::FirstStep => vec![(0.05, 3_600)],
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
pub(crate) struct Rollbacks {
    pub(crate) releases: u64,
    pub(crate) rolled_back: [u64; RULES],
    pub(crate) held: u64,
}

/// `others`: also those of the other rules.
pub(crate) fn false_rollbacks(world: &World, releases: u64, seed: u64, others: bool) -> Rollbacks {
    let until = if others { Until::EndOfAll } else { Until::End };
    let outcomes =
        parallel(releases, |number| release(*world, Plan::Canary, seed_of(seed, number), until));
    let mut counts = Rollbacks { releases, ..Rollbacks::default() };
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
    let outcomes = parallel(releases, |number| {
        release(*world, Plan::FirstStep, seed_of(seed, number), Until::Rollback)
    });
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

/// The time of one evaluation of a healthy release, in microseconds: counts in, verdict out. With failures, client errors and
/// waits, and half an hour of history. The median of the means over 5 s: each has the end of a block.
pub(crate) fn cost(world: World, seed: u64) -> f64 {
    let mut traffic = Traffic::new(world, seed, 0.0, 0.0);
    let mut waits = Waits::new(world.rps, seed);
    let guardrails = Guardrails::default();
    let (mut counted, mut history) = (Counted::default(), StableHistory::default());
    let version: VersionName = "v1".parse().unwrap();
    let mut next = |second: f64, seconds: f64, weight: f64| {
        let counts = traffic.span(second, seconds, weight);
        add(&mut counted, &counts);
        for (it, share) in
            [&mut counted.candidate, &mut counted.stable].into_iter().zip([weight, 1.0 - weight])
        {
            let more = waits.span(share * seconds);
            it.client_errors += more.all / 50;
            it.slower = plus(it.slower, more);
        }
        counted
    };
    let mut learn = |second: f64, counted: &Counted| {
        let stable = &counted.stable;
        let total = StableCounts {
            failures: stable.first_failures(),
            client_failures: stable.client_failures(),
            slower: stable.slower,
        };
        history.observe(time(second), &version, total);
        history.clone()
    };
    let mut known = StableHistory::default();
    for block in 1..=360 {
        let second = f64::from(block) * 5.0 - 1_800.0;
        known = learn(second, &next(second, 5.0, 0.0));
    }
    let weight = Ppm::percent(5);
    let begin = next(0.0, 0.25, 0.05);
    let mut judge = ReleaseJudge::begin(time(0.0), weight, 1.0, begin, &guardrails, &known);
    judge.begin_evidence(time(0.0), begin, &known);
    let mut spent = Vec::new();
    for tick in 1..=1_200 * TICKS {
        let second = f64::from(tick) / f64::from(TICKS);
        let counted = next(second, 0.25, 0.05);
        if tick % (5 * TICKS) == 1 {
            known = learn(second, &counted);
            spent.push(Duration::ZERO);
        }
        let before = Instant::now();
        judge.observe(time(second), counted, &guardrails, &known, 1);
        std::hint::black_box(judge.verdict(&guardrails, &BTreeMap::new()));
        spent.iter_mut().last().into_iter().for_each(|it| *it += before.elapsed());
    }
    spent.sort();
    spent[spent.len() / 2].as_secs_f64() * 1e6 / f64::from(5 * TICKS)
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

/// How far a release is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The judge rolls it back.
    Rollback,
    /// The judge rolls it back, or it ends.
    End,
    /// It ends, for the judge and for the other rules.
    EndOfAll,
}

/// Half an hour of stable alone, then the release.
fn release(world: World, plan: Plan, seed: u64, until: Until) -> Outcome {
    let steps = plan.steps(&world);
    let length: u32 = steps.iter().map(|it| it.1).sum();
    let watch = if steps.len() > 1 { length - steps[steps.len() - 1].1 } else { length };
    let mut traffic = Traffic::new(world, seed, f64::from(watch), f64::from(length));
    let mut history = History::new();
    // Before the release there is no outage and no break. The history has blocks of 5 s.
    for block in 1..=360 {
        let second = f64::from(block) * 5.0 - 1_800.0;
        let [_, stable] = traffic.span(second, 5.0, 0.0);
        history.add(&stable);
        history.observe(second);
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
    for (share, seconds) in steps {
        let now = time(f64::from(tick) / f64::from(TICKS));
        let weight = Ppm::new((share * 1e6).round() as u32).unwrap();
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
            let counts = traffic.tick(second, share);
            add(&mut counted, &counts);
            history.add(&counts[1]);
            if tick % (5 * TICKS) == 0 {
                history.observe(second);
            }
            if outcome.rolled_back[0].is_none() {
                judge.observe(time(second), counted, &guardrails, &history.stable, 1);
                match judge.verdict(&guardrails, &BTreeMap::new()) {
                    Verdict::RollBack { .. } => {
                        outcome.rolled_back[0] = Some(tick);
                        if until != Until::EndOfAll {
                            return outcome;
                        }
                    }
                    Verdict::Alert { .. } => outcome.held = true,
                    Verdict::Healthy | Verdict::Inconclusive { .. } => {}
                }
            }
            if until == Until::EndOfAll {
                for (rule, at) in others.iter_mut().filter(|it| it.1.is_none()) {
                    *at = rule.rolls_back(pair(&counts)).then_some(tick);
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

fn add(counted: &mut Counted, [candidate, stable]: &Both) {
    let add = |evidence: &mut Evidence, counts: &Counts| {
        evidence.requests += counts.requests.all;
        evidence.errors += counts.requests.bad;
        evidence.repeated = evidence.repeated.plus(counts.repeated);
    };
    add(&mut counted.candidate, candidate);
    add(&mut counted.stable, stable);
}

struct History {
    version: VersionName,
    cumulative: Units,
    stable: StableHistory,
}

impl History {
    fn new() -> Self {
        let version: VersionName = "v1".parse().unwrap();
        let mut stable = StableHistory::default();
        stable.observe(time(-1_800.0), &version, StableCounts::default());
        Self { version, cumulative: Units::default(), stable }
    }

    fn add(&mut self, counts: &Counts) {
        let Counts { requests, repeated } = counts;
        let first = Units { bad: requests.bad - repeated.bad, all: requests.all - repeated.all };
        self.cumulative = self.cumulative.plus(first);
    }

    fn observe(&mut self, second: f64) {
        let cumulative = StableCounts::of_failures(self.cumulative);
        self.stable.observe(time(second), &self.version, cumulative);
    }
}
