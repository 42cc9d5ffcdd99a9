//! Requirements and freeze windows: values and errors.

use std::time::Duration;

use super::*;
use tidegate_delivery::model::freeze::FreezeSchedule;
use tidegate_delivery::model::holdback::Holdback;
use tidegate_delivery::model::plan::{OnFail, ROLLBACK_WINDOW};
use tidegate_delivery::names::Services;

const MISTAKES: &[Mistake] = &[
    (
        "25%, 100%",
        "{weight: 25%, tiem: 1m}, 100%",
        "tiem",
        &["unknown key `tiem`", "did you mean `time`?"],
    ),
    ("25%, 100%", "{weight: 250%}, 100%", "250%", &["`250%` is over 100%"]),
    ("25%, 100%", "25, 100%", "25, 100%", &["`25` has no percent sign"]),
    (
        "25%, 100%",
        "{weight: 100%, time: 5m}",
        "5m}]",
        &["a step of 100% has no `time`", "remove `time`"],
    ),
    (
        "25%, 100%",
        "{weight: 100%, approval: {count: 0, role: cto}}",
        "{count",
        &["0 approvals are required"],
    ),
    ("25%, 100%", "{weight: 100%, approval: a b}", "a b", &["role `a b` may hold only letters"]),
    (
        "    stable: v1",
        "    requirements: {checks: [tests, tests]}\n    stable: v1",
        "tests]}",
        &["check `tests` is already defined"],
    ),
    (
        "services:\n",
        "freeze: [{name: x, days: [sund], time_zone: UTC}]\nservices:\n",
        "sund]",
        &["`sund` is not a day of the week", "did you mean `sun`?"],
    ),
    (
        "services:\n",
        "freeze: [{name: x, days: [sun], time_zone: Berlin}]\nservices:\n",
        "Berlin",
        &["`Berlin` is not a time zone", "Europe/Berlin"],
    ),
    (
        "services:\n",
        "freeze: [{name: x, days: [sun], from: noon}]\nservices:\n",
        "noon",
        &["`noon` is not a time of the day", "\"18:00\""],
    ),
    (
        "services:\n",
        "freeze: [{name: x, days: [sun], start: 2026-12-20T00:00:00Z}]\nservices:\n",
        "x, days",
        &["freeze `x` must be either weekly or once"],
    ),
    (
        "services:\n",
        "freeze: [{name: x, start: tomorrow, end: 2026-12-20T00:00:00Z}]\nservices:\n",
        "tomorrow",
        &["`tomorrow` is not a time"],
    ),
    (
        "services:\n",
        "freeze: [{name: x, days: [sun], services: [ordr]}]\nservices:\n",
        "ordr",
        &["no service `ordr`", "did you mean `order`?"],
    ),
    (
        "services:\n",
        "freeze: [{name: x, start: 2027-12-20T00:00:00Z, end: 2026-12-20T00:00:00Z}]\nservices:\n",
        "2026-12-20",
        &["ends before it starts"],
    ),
];

#[test]
fn every_mistake_is_reported_with_its_position_and_a_fix() {
    check_all(GOOD, MISTAKES);
}

#[test]
fn a_step_may_have_its_own_time_requests_and_approval() {
    let text = GOOD.replace(
        "steps: [5%, 25%, 100%]",
        "steps: [5%, {weight: 25%, time: 10m, min_requests: 500, approval: release-manager}, \
         {weight: 100%, approval: {count: 2, role: cto, expire: 2h}}]",
    );
    let config = check(&text, Path::new("")).unwrap();
    let [first, second, last] = config.services[0].plan.steps.as_slice() else {
        panic!("three steps")
    };
    assert_eq!((first.time, first.min_requests), (Duration::from_secs(90), 7));
    assert_eq!((second.time, second.min_requests), (Duration::from_secs(600), 500));
    let approval = second.approval.as_ref().unwrap();
    assert_eq!((approval.count, approval.role.as_str()), (1, "release-manager"));
    assert_eq!(approval.expire, Duration::from_secs(24 * 3600));
    let approval = last.approval.as_ref().unwrap();
    assert_eq!((approval.count, approval.expire), (2, Duration::from_secs(7200)));
    assert_eq!(first.approval, None);
}

#[test]
fn requirements_and_freeze_windows_are_read() {
    let text = GOOD.replace(
        "services:\n  - name: order\n",
        "freeze:\n  - {name: nights, days: [sat, sun], from: \"18:00\", to: \"08:00\", time_zone: Europe/Berlin}\n  \
         - {name: year-end, start: 2026-12-20T00:00:00Z, end: 2027-01-03T00:00:00+01:00, services: [order]}\n\
         services:\n  - name: order\n    \
         requirements: {checks: [tests, security-scan], approvals: {count: 2, role: release-manager}}\n",
    );
    let text = text.replace(
        "min_requests: 7}",
        "min_requests: 7, on_fail: pause, rollback_window: 2d, holdback: 0.5%}",
    );
    let config = check(&text, Path::new("")).unwrap();
    let [nights, year_end] = config.freeze_windows.as_slice() else { panic!("two freezes") };
    assert_eq!(nights.services, Services::All);
    assert!(matches!(&nights.when, FreezeSchedule::Weekly { days, .. } if days.len() == 2));
    assert!(matches!(year_end.when, FreezeSchedule::Once { start, end } if start < end));
    assert!(matches!(&year_end.services, Services::Named(names) if names.len() == 1));
    let plan = &config.services[0].plan;
    assert_eq!(plan.requirements.checks.len(), 2);
    assert_eq!(plan.requirements.approvals.as_ref().map(|approvals| approvals.count), Some(2));
    assert_eq!(plan.on_fail, OnFail::Pause);
    assert_eq!(plan.rollback_window, Duration::from_secs(2 * 24 * 3600));
    assert_eq!(plan.holdback, Some(Holdback::Share(Ppm::new(5_000).unwrap())));
    assert_eq!(plan.rollback_after_completion, Duration::ZERO);
    let default_time = &config.services[1].plan;
    assert!(default_time.requirements.is_empty());
    assert_eq!(
        (default_time.on_fail, default_time.rollback_window),
        (OnFail::Rollback, ROLLBACK_WINDOW)
    );
}
