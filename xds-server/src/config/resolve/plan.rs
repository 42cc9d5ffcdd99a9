//! A strategy as a plan: canary and blue/green become the same list of steps.

use std::time::Duration;

use super::gates;
use crate::config::place::At;
use crate::config::problem::Problems;
use crate::config::{raw, units};
use tidegate_delivery::model::plan::HealthCheck;
use tidegate_delivery::model::plan::{
    ConvergenceThreshold, OnFail, Plan, ROLLBACK_WINDOW, SmokeTest, Step, Strategy, is_path,
};
use tidegate_delivery::model::requirements::Requirements;
use tidegate_delivery::units::Ppm;

/// A canary's shares unless the file says otherwise: ADR-005's.
const STEPS: [u32; 5] = [5, 10, 25, 50, 100];
/// The least time of a canary's step unless the file says otherwise.
const STEP_TIME: Duration = Duration::from_secs(5 * 60);
/// How long a canary is watched at 100 % unless the file says otherwise.
const CANARY_WATCH: Duration = Duration::from_secs(30 * 60);
/// How long the other environment is watched unless the file says otherwise.
const BLUE_GREEN_WATCH: Duration = Duration::from_secs(15 * 60);
/// The least number of requests in a step unless the file says otherwise.
const MIN_REQUESTS: u64 = 50;

/// The plan that a strategy writes.
pub(super) fn resolve(strategy: &raw::Strategy, problems: &mut Problems) -> Plan {
    match strategy {
        raw::Strategy::Canary(canary) => Plan {
            strategy: Strategy::Canary,
            steps: steps(canary, problems),
            watch: time(canary.watch.as_ref(), CANARY_WATCH, problems),
            smoke_tests: smoke_tests(&canary.smoke_tests, problems),
            health: health(canary.health.as_ref(), problems),
            convergence: quorum(&canary.convergence, problems),
            requirements: Requirements::default(),
            on_fail: on_fail(canary.on_fail),
            rollback_window: time(canary.rollback_window.as_ref(), ROLLBACK_WINDOW, problems),
        },
        raw::Strategy::BlueGreen(blue_green) => Plan {
            strategy: Strategy::BlueGreen,
            steps: vec![Step {
                weight: Ppm::ALL,
                time: Duration::ZERO,
                min_requests: blue_green.min_requests.unwrap_or(MIN_REQUESTS),
                approval: None,
            }],
            watch: time(blue_green.watch.as_ref(), BLUE_GREEN_WATCH, problems),
            smoke_tests: smoke_tests(&blue_green.smoke_tests, problems),
            health: health(blue_green.health.as_ref(), problems),
            convergence: quorum(&blue_green.convergence, problems),
            requirements: Requirements::default(),
            on_fail: on_fail(blue_green.on_fail),
            rollback_window: time(blue_green.rollback_window.as_ref(), ROLLBACK_WINDOW, problems),
        },
    }
}

fn steps(canary: &raw::Canary, problems: &mut Problems) -> Vec<Step> {
    let usual = time(canary.step_time.as_ref(), STEP_TIME, problems);
    let Some(written) = &canary.steps else {
        return STEPS
            .map(|weight| step(canary, usual, Ppm::percent(weight), None, problems))
            .to_vec();
    };
    let mut steps: Vec<Step> = Vec::new();
    let mut all_read = true;
    for at in written.get() {
        let (place, text, map) = match at.get() {
            raw::Short::Word(weight) => (at.place(), weight, None),
            raw::Short::Map(map) => (map.weight.place(), map.weight.get(), Some(map)),
        };
        let Some(weight) = problems.take(place, units::percent(text)) else {
            all_read = false;
            continue;
        };
        let before = steps.last().map(|step| step.weight).unwrap_or_default();
        if weight <= before {
            let what = if steps.is_empty() {
                "the first step is 0%, and every release begins there already".to_owned()
            } else {
                format!("step {weight} is not above the one before it, {before}")
            };
            problems.add(place, what, "let every step be greater than the last");
        }
        steps.push(step(canary, usual, weight, map, problems));
    }
    let last = steps.last().map(|step| step.weight);
    if all_read && last != Some(Ppm::ALL) {
        let end = match last {
            Some(last) => format!("the steps end at {last}, and the release with them"),
            None => "there are no steps".to_owned(),
        };
        problems.add(
            written.get().last().map_or(written.place(), At::place),
            end,
            "let the last step be 100%",
        );
    }
    steps
}

/// A step: what is written of it over what is written of all.
fn step(
    canary: &raw::Canary,
    usual: Duration,
    weight: Ppm,
    written: Option<&raw::Step>,
    problems: &mut Problems,
) -> Step {
    let at = written.and_then(|it| it.time.as_ref());
    if let Some(at) = at.filter(|_| weight == Ppm::ALL) {
        let what = "at 100% it is `watch` that says how long";
        problems.add(at.place(), what, "remove `time` from this step");
    }
    let time = time(at, usual, problems);
    let min_requests = written.and_then(|it| it.min_requests).or(canary.min_requests);
    let approval = written.and_then(|it| it.approval.as_ref());
    Step {
        weight,
        // At 100 % it is the watch that counts.
        time: if weight == Ppm::ALL { Duration::ZERO } else { time },
        min_requests: min_requests.unwrap_or(MIN_REQUESTS),
        approval: approval.and_then(|at| gates::approvals(at, problems)),
    }
}

fn time(written: Option<&At<String>>, default: Duration, problems: &mut Problems) -> Duration {
    written.and_then(|at| problems.take(at.place(), units::duration(at.get()))).unwrap_or(default)
}

fn health(written: Option<&At<String>>, problems: &mut Problems) -> Option<HealthCheck> {
    let at = written?;
    match at.get().as_str() {
        "tcp" => Some(HealthCheck::Tcp),
        path if is_path(path) => Some(HealthCheck::Http(path.to_owned())),
        other => {
            problems.add(
                at.place(),
                format!("`{}` is no health check", other.chars().take(60).collect::<String>()),
                "write tcp, or a path that answers with 200, such as /healthz",
            );
            None
        }
    }
}

fn on_fail(written: Option<raw::OnFail>) -> OnFail {
    match written {
        Some(raw::OnFail::Pause) => OnFail::Pause,
        Some(raw::OnFail::Rollback) | None => OnFail::Rollback,
    }
}

fn quorum(written: &raw::Convergence, problems: &mut Problems) -> ConvergenceThreshold {
    let share = written.share.as_ref();
    let share = share.and_then(|at| problems.take(at.place(), units::percent(at.get())));
    share.map_or_else(ConvergenceThreshold::default, |share| ConvergenceThreshold { share })
}

fn smoke_tests(written: &[At<raw::SmokeTest>], problems: &mut Problems) -> Vec<SmokeTest> {
    for at in written {
        let raw::SmokeTest { path, expect } = at.get();
        if !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic()) {
            problems.add(
                at.place(),
                format!("`{path}` is not a path"),
                "write one that begins with `/` and has no spaces, such as /healthz",
            );
        }
        if !(200..=599).contains(expect) {
            problems.add(
                at.place(),
                format!("{expect} is not a status that ends a request"),
                "expect one from 200 to 599",
            );
        }
    }
    let test = |at: &At<raw::SmokeTest>| SmokeTest {
        path: at.get().path.clone(),
        expect: at.get().expect,
    };
    written.iter().map(test).collect()
}
