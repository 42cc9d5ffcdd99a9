//! The power of a release: how long each of its steps needs to show a regression, and how long to pass, at given traffic.
//!
//! The judge itself is run on the median path: cumulative counts are the expected ones, rounded so that the k-th failure
//! comes at the median of its waiting time, `(k − 1/3) / rate`. So the preview has the limits, margins, priors and blocks of
//! the judge, and no formulas of its own. Each step begins after the ones before it, whose candidate was as good as stable; a
//! regression begins with the step.
//!
//! Only errors are considered. The figures are medians: half of the releases need longer, 5 % about twice as long.
//!
//! One preview evaluates the judge some hundred to a thousand times for each step: callers do it outside of async tasks.

mod passage;

use std::collections::BTreeMap;
use std::time::Duration;

use self::passage::Point;
use serde::{Deserialize, Serialize};

use super::guardrails::Guardrails;
use super::history::StableHistory;
use super::statistics::whole;
use super::{Counted, Evidence, ReleaseJudge, Verdict};
use crate::units::{Ppm, Timestamp, percent};

/// The time between two reports of a sidecar.
const REPORT: Duration = Duration::from_millis(250);
/// The longest time between two evaluations: the length of a block of the judge.
const LONGEST_TICK: Duration = Duration::from_secs(5);
/// The shortest and the longest time that is looked ahead.
const LOOKAHEAD: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3600)];
/// A regression is looked for this many times longer than its step lasts.
const BEYOND_STEP: u32 = 4;
/// The multiples of stable's rate.
const TIMES: [u32; 3] = [10, 5, 2];
/// The candidates that show the boundary of passing, as multiples of stable's rate.
const LUCK: [f64; 9] = [0.0, 0.25, 0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.25];
/// The regression that a step should show: ten times the errors of stable.
const EXPECTED: Regression = Regression::Times(10);

/// The traffic of a service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Traffic {
    /// Of both versions together.
    pub requests_per_second: f64,
    /// Of stable, between 0 and 1.
    pub error_rate: f64,
}

impl Traffic {
    /// Requests per second, rounded down.
    #[must_use]
    pub fn rate(&self) -> u64 {
        whole(self.requests_per_second)
    }
}

/// How much worse a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Regression {
    /// A multiple of the error rate of stable.
    Times(u32),
    /// An error rate.
    #[serde(rename = "error_rate_percent", with = "percent")]
    Rate(Ppm),
}

impl Regression {
    /// The error rate of the candidate.
    fn rate(self, stable: f64) -> f64 {
        match self {
            Self::Times(times) => f64::from(times) * stable,
            Self::Rate(rate) => rate.fraction(),
        }
    }
}

/// A regression, and when a step shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detection {
    /// How much worse the candidate is.
    pub regression: Regression,
    /// The median of the time from the begin of the step to the rollback; none: longer than is looked ahead.
    #[serde(rename = "after_ms", with = "optional_millis")]
    pub after: Option<Duration>,
}

/// What a step can show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPower {
    /// The share of the candidate.
    #[serde(rename = "weight_percent", with = "percent")]
    pub weight: Ppm,
    /// The time of the step; of the last one, the time of the watch.
    #[serde(rename = "time_ms", with = "crate::units::millis")]
    pub time: Duration,
    /// Regressions, the greatest first.
    pub detections: Vec<Detection>,
    /// The median of the time that an equal candidate needs to pass; none: longer than is looked ahead.
    #[serde(rename = "passes_after_ms", with = "optional_millis")]
    pub passes_after: Option<Duration>,
    /// The requests of the candidate in that time.
    pub passes_with_requests: Option<u64>,
    /// What to change, if the step can show nothing in its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blind: Option<Fix>,
}

/// What makes a step show more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fix {
    /// A time that suffices; none: longer than is looked ahead.
    #[serde(rename = "time_ms", with = "optional_millis")]
    pub time: Option<Duration>,
    /// A weight that suffices in the time of the step; none: no weight up to 50 % does.
    #[serde(rename = "weight_percent", with = "percent::option")]
    pub weight: Option<Ppm>,
}

/// What the preview of a release begins with.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Today's traffic.
    pub traffic: Traffic,
    /// What is known of stable: how much its error rate varies.
    pub history: &'a StableHistory,
    /// The number of instances of stable for each one of the candidate.
    pub spread: f64,
    /// The number of releases that roll back together.
    pub group: usize,
    /// The limits.
    pub guardrails: &'a Guardrails,
}

/// What steps can show, by their weights and times. Steps without traffic are left out.
#[must_use]
pub fn preview(
    input: &Input<'_>,
    steps: impl IntoIterator<Item = (Ppm, Duration)>,
) -> Vec<StepPower> {
    let mut path = Path::begin(*input);
    let with_traffic = steps.into_iter().filter(|(weight, _)| *weight > Ppm::ZERO);
    let powers = with_traffic.map(|(weight, time)| {
        path.enter(weight);
        let power = path.step(time);
        path.pass(time);
        power
    });
    powers.collect()
}

/// What one step can show; none without such a step, or if it has no traffic. Steps are counted from 0.
#[must_use]
pub fn of_step(
    input: &Input<'_>,
    steps: impl IntoIterator<Item = (Ppm, Duration)>,
    index: usize,
) -> Option<StepPower> {
    let mut path = Path::begin(*input);
    for (at, (weight, time)) in steps.into_iter().enumerate() {
        if weight > Ppm::ZERO {
            path.enter(weight);
        }
        if at == index {
            return (weight > Ppm::ZERO).then(|| path.step(time));
        }
        if weight > Ppm::ZERO {
            path.pass(time);
        }
    }
    None
}

/// Stable's usual errors on both versions until now, and what the judge has seen of them.
#[derive(Clone)]
struct Path<'a> {
    input: Input<'a>,
    now: Timestamp,
    weight: Ppm,
    /// At the begin of the step.
    before: Counted,
    judge: Option<ReleaseJudge>,
}

impl<'a> Path<'a> {
    fn begin(input: Input<'a>) -> Self {
        Self {
            input,
            now: Timestamp(0),
            weight: Ppm::ZERO,
            before: Counted::default(),
            judge: None,
        }
    }

    fn enter(&mut self, weight: Ppm) {
        let Input { history, guardrails, spread, .. } = self.input;
        self.weight = weight;
        match &mut self.judge {
            Some(judge) => judge.enter_step(self.now, weight, self.before, history),
            None => {
                let begun =
                    ReleaseJudge::begin(self.now, weight, spread, self.before, guardrails, history);
                self.judge = Some(begun);
            }
        }
    }

    /// What the step shows that was entered.
    fn step(&self, time: Duration) -> StepPower {
        let [least, most] = LOOKAHEAD;
        let ahead = time.saturating_mul(BEYOND_STEP).clamp(least, most);
        let mut detections = Vec::new();
        let mut is_shown = true;
        for regression in self.regressions() {
            // What the greater regression does not show, the lesser one does not.
            let after = if is_shown { self.rolled_back(regression, ahead) } else { None };
            is_shown = after.is_some();
            detections.push(Detection { regression, after });
        }
        let passes_after = self.passed(ahead);
        let passes_with_requests = passes_after.map(|it| self.requests(it));
        let enough = self.enough(ahead, passes_after);
        let is_blind = enough.is_none_or(|it| it > time) && !time.is_zero();
        let blind = is_blind.then(|| Fix { time: enough, weight: self.sufficient_weight(time) });
        StepPower {
            weight: self.weight,
            time,
            detections,
            passes_after,
            passes_with_requests,
            blind,
        }
    }

    /// A step shows something if an equal candidate passes in its time, or one that is ten times worse is rolled back.
    fn enough(&self, ahead: Duration, passes: Option<Duration>) -> Option<Duration> {
        let expected = self.is_possible(EXPECTED).then(|| self.rolled_back(EXPECTED, ahead));
        match (passes, expected.flatten()) {
            (Some(passes), Some(shows)) => Some(passes.min(shows)),
            (passes, shows) => passes.or(shows),
        }
    }

    fn sufficient_weight(&self, time: Duration) -> Option<Ppm> {
        let weights = [5, 10, 20, 30, 50].map(Ppm::percent);
        weights.into_iter().filter(|it| *it > self.weight && self.weight < Ppm::ALL).find(
            |weight| {
                let mut path = Path { judge: None, ..self.clone() };
                path.enter(*weight);
                let passes = || {
                    let rate = self.input.traffic.error_rate;
                    path.clone().until(rate, time, |it| *it == Verdict::Healthy)
                };
                path.enough(time, None).or_else(passes).is_some()
            },
        )
    }

    /// All of them, the greatest first.
    fn regressions(&self) -> Vec<Regression> {
        let limit = self.input.guardrails.error_rate.rollback;
        let above = limit.parts().saturating_add(limit.parts() / 50);
        let above = Regression::Rate(Ppm::new(above).unwrap_or(Ppm::ALL));
        let stable = self.input.traffic.error_rate;
        let mut all: Vec<_> = TIMES.map(Regression::Times).into_iter().chain([above]).collect();
        all.push(Regression::Rate(Ppm::ALL));
        all.retain(|it| self.is_possible(*it));
        all.sort_by(|a, b| b.rate(stable).total_cmp(&a.rate(stable)));
        all.dedup();
        all
    }

    /// Whether a candidate can be so much worse, and is worse at all.
    fn is_possible(&self, regression: Regression) -> bool {
        let stable = self.input.traffic.error_rate;
        let rate = regression.rate(stable);
        rate > stable && rate <= 1.0
    }

    fn rolled_back(&self, regression: Regression, ahead: Duration) -> Option<Duration> {
        let rate = regression.rate(self.input.traffic.error_rate);
        self.clone().until(rate, ahead, |it| matches!(it, Verdict::RollBack { .. }))
    }

    /// The median of the time until an equal candidate passes.
    fn passed(&self, ahead: Duration) -> Option<Duration> {
        let stable = self.input.traffic.error_rate;
        let mut points: Vec<Point> = Vec::new();
        for luck in LUCK {
            let rate = luck * stable;
            let healthy = |it: &Verdict| *it == Verdict::Healthy;
            let Some(after) = self.clone().until(rate, ahead, healthy) else { break };
            let seconds = after.as_secs_f64();
            let failures = rate * self.candidates_per_second() * seconds;
            if points.last().is_none_or(|it| it.seconds < seconds) {
                points.push(Point { seconds, failures });
            }
            if luck >= 1.0 && failures > 1_000.0 {
                return Some(after);
            }
        }
        let median = passage::median(&points, stable * self.candidates_per_second())?;
        Some(Duration::from_secs_f64(median))
    }

    fn candidates_per_second(&self) -> f64 {
        self.input.traffic.requests_per_second * self.weight.fraction()
    }

    /// A step that passes without findings.
    fn pass(&mut self, time: Duration) {
        let rate = self.input.traffic.error_rate;
        let [_, most] = LOOKAHEAD;
        let time = time.min(most);
        self.until(rate, time, |_| false);
        self.before = plus(&self.before, self.counts(rate, time));
        self.now = self.now.after(time);
    }

    /// Observes a candidate with an error rate until there is a verdict. The judge remains where it ends.
    fn until(
        &mut self,
        rate: f64,
        ahead: Duration,
        is_wanted: impl Fn(&Verdict) -> bool,
    ) -> Option<Duration> {
        let Input { history, guardrails, group, .. } = self.input;
        let (began, before) = (self.now, self.before);
        let mut elapsed = Duration::ZERO;
        while elapsed < ahead {
            // A few percent of the time so far are exact enough.
            elapsed += (elapsed / 40).clamp(REPORT, LONGEST_TICK);
            let counted = plus(&before, self.counts(rate, elapsed));
            let judge = self.judge.as_mut()?;
            judge.observe(began.after(elapsed), counted, guardrails, history, group);
            if is_wanted(&judge.verdict(guardrails, &BTreeMap::new())) {
                // A failure comes in the middle of the time between two reports.
                return Some(elapsed.saturating_sub(REPORT / 2));
            }
        }
        None
    }

    /// The requests of the candidate in a time.
    fn requests(&self, elapsed: Duration) -> u64 {
        whole(self.candidates_per_second() * elapsed.as_secs_f64())
    }

    /// The counts of both versions on the median path. `rate` is the candidate's.
    fn counts(&self, rate: f64, elapsed: Duration) -> Counted {
        let Traffic { requests_per_second, error_rate } = self.input.traffic;
        let of = |share: f64, rate: f64, median: f64| {
            let requests = requests_per_second * share * elapsed.as_secs_f64();
            let all = whole(requests + 0.5);
            let errors = whole(requests * rate + median).min(all);
            Evidence { requests: all, errors, ..Evidence::default() }
        };
        let weight = self.weight.fraction();
        Counted {
            candidate: of(weight, rate, 1.0 / 3.0),
            stable: of(1.0 - weight, error_rate, 0.5),
        }
    }
}

fn plus(before: &Counted, new: Counted) -> Counted {
    let sum = |before: &Evidence, new: Evidence| Evidence {
        requests: before.requests.saturating_add(new.requests),
        errors: before.errors.saturating_add(new.errors),
        ..new
    };
    Counted {
        candidate: sum(&before.candidate, new.candidate),
        stable: sum(&before.stable, new.stable),
    }
}

/// Durations that may be absent, as milliseconds.
mod optional_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.and_then(|it| u64::try_from(it.as_millis()).ok()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}
