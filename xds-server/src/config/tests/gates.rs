//! What holds releases: read, and refused where it cannot be.

use std::time::Duration;

use super::*;
use tidegate_delivery::model::freeze::FreezeSchedule;
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
    ("25%, 100%", "25, 100%", "25, 100%", &["`25` has no per cent sign"]),
    ("25%, 100%", "{weight: 100%, time: 5m}", "5m}]", &["at 100% it is `watch`", "remove `time`"]),
    (
        "25%, 100%",
        "{weight: 100%, approval: {count: 0, role: cto}}",
        "{count",
        &["asks for 0 approvals"],
    ),
    ("25%, 100%", "{weight: 100%, approval: a b}", "a b", &["role `a b` may hold only letters"]),
    (
        "    stable: v1",
        "    requires: {checks: [tests, tests]}\n    stable: v1",
        "tests]}",
        &["check `tests` is there already"],
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
        &["`Berlin` is no time zone", "Europe/Berlin"],
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
        &["freeze `x` is neither weekly nor once"],
    ),
    (
        "services:\n",
        "freeze: [{name: x, start: tomorrow, end: 2026-12-20T00:00:00Z}]\nservices:\n",
        "tomorrow",
        &["`tomorrow` is not a moment"],
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
fn every_mistake_is_told_with_its_place_and_a_way_out() {
    tell(GOOD, MISTAKES);
}

#[test]
fn a_step_may_have_its_own_time_evidence_and_gate() {
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
    let gate = second.approval.as_ref().unwrap();
    assert_eq!((gate.count, gate.role.as_str()), (1, "release-manager"));
    assert_eq!(gate.expire, Duration::from_secs(24 * 3600));
    let gate = last.approval.as_ref().unwrap();
    assert_eq!((gate.count, gate.expire), (2, Duration::from_secs(7200)));
    assert_eq!(first.approval, None);
}

#[test]
fn what_holds_releases_is_read() {
    let text = GOOD.replace(
        "services:\n  - name: order\n",
        "freeze:\n  - {name: nights, days: [sat, sun], from: \"18:00\", to: \"08:00\", time_zone: Europe/Berlin}\n  \
         - {name: year-end, start: 2026-12-20T00:00:00Z, end: 2027-01-03T00:00:00+01:00, services: [order]}\n\
         services:\n  - name: order\n    \
         requires: {checks: [tests, security-scan], approvals: {count: 2, role: release-manager}}\n",
    );
    let text =
        text.replace("min_requests: 7}", "min_requests: 7, on_fail: pause, rollback_window: 2d}");
    let config = check(&text, Path::new("")).unwrap();
    let [nights, year_end] = config.freeze_windows.as_slice() else { panic!("two freezes") };
    assert_eq!(nights.services, Services::All);
    assert!(matches!(&nights.when, FreezeSchedule::Weekly { days, .. } if days.len() == 2));
    assert!(matches!(year_end.when, FreezeSchedule::Once { start, end } if start < end));
    assert!(matches!(&year_end.services, Services::Named(names) if names.len() == 1));
    let plan = &config.services[0].plan;
    assert_eq!(plan.requires.checks.len(), 2);
    assert_eq!(plan.requires.approvals.as_ref().map(|gate| gate.count), Some(2));
    assert_eq!(plan.on_fail, OnFail::Pause);
    assert_eq!(plan.rollback_window, Duration::from_secs(2 * 24 * 3600));
    let usual = &config.services[1].plan;
    assert!(usual.requires.is_empty());
    assert_eq!((usual.on_fail, usual.rollback_window), (OnFail::Rollback, ROLLBACK_WINDOW));
}
