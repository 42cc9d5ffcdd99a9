//! Plans. Canary and blue/green are both resolved to a list of steps.

use std::time::Duration;

use super::requirements;
use crate::config::problem::Problems;
use crate::config::span::Spanned;
use crate::config::{raw, units};
use tidegate_delivery::model::holdback::{Holdback, MAX_HOLDBACK};
use tidegate_delivery::model::plan::{
    ConvergenceThreshold, HealthCheck, OnFail, Plan, ROLLBACK_WINDOW, SmokeTest, Step, Strategy,
    is_path,
};
use tidegate_delivery::model::requirements::Requirements;
use tidegate_delivery::units::Ppm;

/// Default of `steps`, in percent (ADR-005).
const STEPS: [u32; 5] = [5, 10, 25, 50, 100];
/// Default of `step_time`.
const STEP_TIME: Duration = Duration::from_secs(5 * 60);
/// Default of `watch` of a canary.
const CANARY_WATCH: Duration = Duration::from_secs(30 * 60);
/// Default of `watch` of a blue/green release.
const BLUE_GREEN_WATCH: Duration = Duration::from_secs(15 * 60);
/// Default of `min_requests` of a step.
const MIN_REQUESTS: u64 = 50;

/// The plan of a strategy, without requirements.
pub(super) fn resolve(strategy: &raw::Strategy, problems: &mut Problems) -> Plan {
    match strategy {
        raw::Strategy::Canary(canary) => Plan {
            strategy: Strategy::Canary,
            steps: steps(canary, problems),
            watch: time(canary.watch.as_ref(), CANARY_WATCH, problems),
            holdback: holdback(canary.holdback.as_ref(), canary.watch.as_ref(), problems),
            smoke_tests: smoke_tests(&canary.smoke_tests, problems),
            health: health(canary.health.as_ref(), problems),
            convergence: convergence(&canary.convergence, problems),
            requirements: Requirements::default(),
            on_fail: on_fail(canary.on_fail),
            rollback_window: time(canary.rollback_window.as_ref(), ROLLBACK_WINDOW, problems),
            rollback_after_completion: rollback_after_completion(
                canary.rollback_after_completion.as_ref(),
                canary.rollback_window.as_ref(),
                canary.on_fail,
                problems,
            ),
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
            holdback: holdback(blue_green.holdback.as_ref(), blue_green.watch.as_ref(), problems),
            smoke_tests: smoke_tests(&blue_green.smoke_tests, problems),
            health: health(blue_green.health.as_ref(), problems),
            convergence: convergence(&blue_green.convergence, problems),
            requirements: Requirements::default(),
            on_fail: on_fail(blue_green.on_fail),
            rollback_window: time(blue_green.rollback_window.as_ref(), ROLLBACK_WINDOW, problems),
            rollback_after_completion: rollback_after_completion(
                blue_green.rollback_after_completion.as_ref(),
                blue_green.rollback_window.as_ref(),
                blue_green.on_fail,
                problems,
            ),
        },
    }
}

fn steps(canary: &raw::Canary, problems: &mut Problems) -> Vec<Step> {
    let default_time = time(canary.step_time.as_ref(), STEP_TIME, problems);
    let Some(written) = &canary.steps else {
        return STEPS
            .map(|weight| step(canary, default_time, Ppm::percent(weight), None, problems))
            .to_vec();
    };
    let mut steps: Vec<Step> = Vec::new();
    let mut all_read = true;
    for at in written.get() {
        let (span, text, map) = match at.get() {
            raw::Shorthand::Text(weight) => (at.span(), weight, None),
            raw::Shorthand::Map(map) => (map.weight.span(), map.weight.get(), Some(map)),
        };
        let Some(weight) = problems.record(span, units::percent(text)) else {
            all_read = false;
            continue;
        };
        let before = steps.last().map(|step| step.weight).unwrap_or_default();
        if weight <= before {
            let what = if steps.is_empty() {
                "the first step is 0%, where every release starts".to_owned()
            } else {
                format!("step {weight} is not above the previous step, {before}")
            };
            problems.add(span, what, "write weights in ascending order");
        }
        steps.push(step(canary, default_time, weight, map, problems));
    }
    let last = steps.last().map(|step| step.weight);
    if all_read && last != Some(Ppm::ALL) {
        let end = match last {
            Some(last) => format!("the last step is {last}"),
            None => "there are no steps".to_owned(),
        };
        problems.add(
            written.get().last().map_or(written.span(), Spanned::span),
            end,
            "add 100% as the last step",
        );
    }
    steps
}

/// A step. Its own values take precedence over those of the plan.
fn step(
    canary: &raw::Canary,
    default_time: Duration,
    weight: Ppm,
    written: Option<&raw::Step>,
    problems: &mut Problems,
) -> Step {
    let at = written.and_then(|it| it.time.as_ref());
    if let Some(at) = at.filter(|_| weight == Ppm::ALL) {
        let what = "a step of 100% has no `time`: its duration is `watch`";
        problems.add(at.span(), what, "remove `time` from this step");
    }
    let time = time(at, default_time, problems);
    let min_requests = written.and_then(|it| it.min_requests).or(canary.min_requests);
    let approval = written.and_then(|it| it.approval.as_ref());
    Step {
        weight,
        // At 100 % the duration is `watch`.
        time: if weight == Ppm::ALL { Duration::ZERO } else { time },
        min_requests: min_requests.unwrap_or(MIN_REQUESTS),
        approval: approval.and_then(|at| requirements::approvals(at, problems)),
    }
}

fn time(written: Option<&Spanned<String>>, default: Duration, problems: &mut Problems) -> Duration {
    written.and_then(|at| problems.record(at.span(), units::duration(at.get()))).unwrap_or(default)
}

/// It has no effect where nothing is rolled back, and after the previous version was given up.
fn rollback_after_completion(
    written: Option<&Spanned<String>>,
    rollback_window: Option<&Spanned<String>>,
    on_fail: Option<raw::OnFail>,
    problems: &mut Problems,
) -> Duration {
    let Some(at) = written else { return Duration::ZERO };
    let after = time(written, Duration::ZERO, problems);
    let kept = rollback_window.and_then(|at| units::duration(at.get()).ok());
    if after > kept.unwrap_or(ROLLBACK_WINDOW) {
        let what = "the previous version is not kept for so long";
        problems.add(at.span(), what, "write at most `rollback_window`, which is 7d by default");
    }
    if matches!(on_fail, Some(raw::OnFail::Pause)) {
        let what = "with `on_fail: pause` nothing is rolled back by itself";
        problems.add(at.span(), what, "remove `rollback_after_completion`, or `on_fail: pause`");
    }
    after
}

/// None if it is not written. It has no effect without a watch period.
fn holdback(
    written: Option<&Spanned<String>>,
    watch: Option<&Spanned<String>>,
    problems: &mut Problems,
) -> Option<Holdback> {
    let at = written?;
    let holdback = match at.get().as_str() {
        "auto" => Holdback::Auto,
        share => Holdback::Share(problems.record(at.span(), units::percent(share))?),
    };
    if let Holdback::Share(share) = holdback
        && share > MAX_HOLDBACK
    {
        let what = format!("{share} of the clients would stay on stable until completion");
        problems.add(at.span(), what, &format!("write at most {MAX_HOLDBACK}, or auto"));
    }
    let watch = watch.and_then(|at| units::duration(at.get()).ok());
    if holdback != Holdback::NONE && watch.is_some_and(|it| it.is_zero()) {
        let what = "`holdback` has no effect without a watch period";
        problems.add(at.span(), what, "remove it, or write a `watch` above 0s");
    }
    Some(holdback)
}

fn health(written: Option<&Spanned<String>>, problems: &mut Problems) -> Option<HealthCheck> {
    let at = written?;
    match at.get().as_str() {
        "tcp" => Some(HealthCheck::Tcp),
        path if is_path(path) => Some(HealthCheck::Http(path.to_owned())),
        other => {
            problems.add(
                at.span(),
                format!("`{}` is not a health check", other.chars().take(60).collect::<String>()),
                "write tcp, or a path that returns 200, such as /healthz",
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

fn convergence(written: &raw::Convergence, problems: &mut Problems) -> ConvergenceThreshold {
    let share = written.share.as_ref();
    let share = share.and_then(|at| problems.record(at.span(), units::percent(at.get())));
    share.map_or_else(ConvergenceThreshold::default, |share| ConvergenceThreshold { share })
}

fn smoke_tests(written: &[Spanned<raw::SmokeTest>], problems: &mut Problems) -> Vec<SmokeTest> {
    for at in written {
        let raw::SmokeTest { path, expect } = at.get();
        if !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic()) {
            problems.add(
                at.span(),
                format!("`{path}` is not a path"),
                "write one that starts with `/` and has no spaces, such as /healthz",
            );
        }
        if !(200..=599).contains(expect) {
            problems.add(
                at.span(),
                format!("{expect} is not a final HTTP status"),
                "write one from 200 to 599",
            );
        }
    }
    let test = |at: &Spanned<raw::SmokeTest>| SmokeTest {
        path: at.get().path.clone(),
        expect: at.get().expect,
    };
    written.iter().map(test).collect()
}
