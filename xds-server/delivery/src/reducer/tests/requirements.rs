//! Requirements: checks, approvals, freezes; and `on_fail: pause`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::*;
use super::{World, time};
use crate::fixtures::{
    WATCHED, canary, configuration, finding, healthy, name, newest, order, order_with_requirements,
    product, run_as, start, verb,
};
use crate::judge::{Guardrail, Level, Verdict};
use crate::model::blocker::Blocker;
use crate::model::command::ReleaseCommand::{self, Approve, Promote, Resume, Rollback};
use crate::model::freeze::{Day, FreezeSchedule, FreezeWindow, UnknownZone};
use crate::model::plan::{OnFail, Plan};
use crate::model::progress::Observation;
use crate::model::refusal::{Conflict, Invalid, Weaknesses};
use crate::model::release::Phase;
use crate::model::weakness::Weakness;
use crate::names::Services;
use crate::units::{Ppm, Timestamp};

fn unchecked() -> Blocker {
    Blocker::CheckMissing { check: name("tests") }
}

fn approvals(missing: u32, percent: u32) -> Blocker {
    Blocker::Approval { role: name("manager"), missing, weight: Ppm::percent(percent) }
}

const NEXT: ReleaseCommand = Promote { all: false };

fn report(version: &str, passed: bool) -> Command {
    Command::ReportCheck {
        service: name("order"),
        version: name(version),
        check: name("tests"),
        passed,
        url: Some("https://ci.example/7".to_owned()),
    }
}

fn approve(role: &str) -> Command {
    verb("order.1", Approve { role: name(role) })
}

/// `order` with a required check, two approvals before 5 % and one before 50 %.
fn with_requirements() -> World {
    let mut world = World::new();
    world.ask(&configuration(vec![order_with_requirements(), product()], Vec::new())).unwrap();
    world
}

/// The same with check and approvals, at 5 %.
fn begun() -> World {
    let mut world = with_requirements();
    world.ask(&report("v2", true)).unwrap();
    world.ask(&start("order", "v2")).unwrap();
    for who in ["bob", "eve"] {
        world.ask_as(who, &approve("manager")).unwrap();
    }
    world.see("order", 0, &healthy(0));
    assert_eq!(world.weight("order"), Ppm::percent(5));
    world.see("order", 10, &healthy(10));
    world
}

#[test]
fn results_for_unknown_versions_and_checks_are_refused() {
    let mut world = with_requirements();
    let refusal = world.ask(&report("v9", true)).unwrap_err();
    assert!(matches!(refusal, Refusal::UnknownVersion { .. }), "{refusal}");
    let Command::ReportCheck { service, version, passed, url, .. } = report("v2", true) else {
        unreachable!("`report` reports a check")
    };
    let misspelt = Command::ReportCheck { service, version, check: name("test"), passed, url };
    let refusal = world.ask(&misspelt).unwrap_err();
    let Refusal::UnknownCheck { known, .. } = &refusal else { panic!("{refusal}") };
    assert_eq!(known.names, ["tests"]);
}

#[test]
fn missing_and_failed_checks_block_a_release() {
    let mut world = with_requirements();
    world.ask(&start("order", "v2")).unwrap();
    assert_eq!(world.see("order", 0, &healthy(0)), [unchecked(), approvals(2, 5)]);
    world.ask(&report("v2", false)).unwrap();
    let (check, url) = (name("tests"), Some("https://ci.example/7".to_owned()));
    let failed = Blocker::CheckFailed { check, reason: None, url };
    assert_eq!(world.see("order", 0, &healthy(0)), [failed, approvals(2, 5)]);
    let again = world.ask(&report("v2", false)).unwrap();
    assert!(!again.changed, "{again:?}");
    let passed = world.ask(&report("v2", true)).unwrap();
    assert_eq!(passed.release, Some(name("order.1")));
    assert_eq!(world.see("order", 0, &healthy(0)), [approvals(2, 5)]);
}

#[test]
fn a_check_that_fails_later_blocks_the_next_step() {
    let mut world = begun();
    world.ask_as("bob", &approve("manager")).unwrap();
    world.ask(&report("v2", false)).unwrap();
    assert_eq!(world.see("order", 10, &healthy(10)).len(), 1);
    assert_eq!(world.weight("order"), Ppm::percent(5));
    world.ask(&report("v2", true)).unwrap();
    world.see("order", 0, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn requirements_block_a_promotion_and_never_a_rollback() {
    for all in [false, true] {
        let mut world = with_requirements();
        world.ask(&start("order", "v2")).unwrap();
        let mut blockers = vec![unchecked(), approvals(2, 5)];
        if all {
            blockers.push(approvals(1, 50));
        }
        let promote = verb("order.1", Promote { all });
        assert_eq!(world.conflict("anne", &promote), Conflict::Blocked { blockers });
        assert!(world.ask(&verb("order.1", Rollback)).unwrap().changed);
    }
}

#[test]
fn a_plan_of_the_start_command_cannot_weaken_that_of_the_service() {
    let mut world = with_requirements();
    let own = order_with_requirements().plan;
    let start_with = |plan| {
        let (service, version, plan) = (name("order"), name("v2"), Some(plan));
        Command::StartRelease { service, version, plan, commit: None }
    };
    let mut plan = canary(&[5, 100]);
    plan.watch /= 2;
    let [_, half, _] = own.steps.as_slice() else { panic!("{own:?}") };
    let weaker = vec![
        Weakness::Step { weight: half.weight, time: half.time, min_requests: half.min_requests },
        Weakness::StepApprovals { weight: half.weight, required: half.approval.clone().unwrap() },
        Weakness::Watch(own.watch),
    ];
    let refusal = world.ask(&start_with(plan)).unwrap_err();
    let expected = Refusal::WeakerPlan { service: name("order"), weaker: Weaknesses(weaker) };
    assert_eq!(refusal, expected);
    assert_eq!(
        refusal.to_string(),
        "the plan is weaker than that of service `order`, which requires a step of at most 50% for 10s and 10 \
         requests; 1 approval as `manager`, valid for at most 1h, where its step of 50% begins; a watch period of \
         1m; a release may add to the plan of its service, not take from it"
    );

    let mut stricter = canary(&[1, 50, 100]);
    stricter.steps[1].approval = own.steps[1].approval.clone();
    stricter.requirements.checks.insert(name("scan"));
    world.ask(&start_with(stricter)).unwrap();
    let scan = Blocker::CheckMissing { check: name("scan") };
    assert_eq!(world.see("order", 0, &healthy(0)), [scan, unchecked(), approvals(2, 1)]);
}

#[test]
fn approvals_must_be_of_different_people_and_not_of_the_starter() {
    let mut world = with_requirements();
    world.ask(&report("v2", true)).unwrap();
    world.ask(&start("order", "v2")).unwrap();
    for (who, role, conflict) in [
        ("anne", "manager", Conflict::OwnRelease { actor: "anne".to_owned() }),
        ("bob", "developer", Conflict::OtherRole { role: name("manager") }),
    ] {
        assert_eq!(world.conflict(who, &approve(role)), conflict);
    }
    assert!(world.ask_as("bob", &approve("manager")).unwrap().changed);
    assert!(!world.ask_as("bob", &approve("manager")).unwrap().changed, "once is enough");
    assert_eq!(world.see("order", 0, &healthy(0)), [approvals(1, 5)]);
    assert!(world.ask_as("eve", &approve("manager")).unwrap().changed);
    assert!(!world.ask_as("ida", &approve("manager")).unwrap().changed, "it has all");
    world.see("order", 0, &healthy(0));
    assert_eq!(world.weight("order"), Ppm::percent(5));
}

#[test]
fn an_approval_is_for_one_step_and_expires() {
    let mut world = begun();
    assert_eq!(world.see("order", 0, &healthy(10)), [approvals(1, 50)]);
    let approved = world.ask_as("bob", &approve("manager")).unwrap();
    assert!(approved.changed);
    let too_few = healthy(1);
    world.see("order", 3600, &too_few);
    let blockers = world.see("order", 0, &healthy(10));
    assert_eq!(blockers, [approvals(1, 50)], "it expired");
    world.ask_as("bob", &approve("manager")).unwrap();
    world.see("order", 0, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::percent(50));
    assert_eq!(world.conflict("bob", &approve("manager")), Conflict::NoApproval);
}

fn freezing(freeze_windows: Vec<FreezeWindow>) -> Command {
    configuration(vec![order(), product()], freeze_windows)
}

#[test]
fn a_freeze_window_blocks_steps_and_completion_and_never_a_rollback() {
    let freeze = |services| FreezeWindow {
        name: name("year-end"),
        when: FreezeSchedule::Once { start: Timestamp(0), end: Timestamp(100_000) },
        services,
    };
    let frozen = || Blocker::FreezeWindow { freeze: name("year-end"), until: Timestamp(100_000) };
    for mut world in [World::stepping(), World::watching()] {
        let weight = world.weight("order");
        world.ask(&freezing(vec![freeze(Services::All)])).unwrap();
        assert_eq!(world.see("order", 90, &healthy(10)), [frozen()]);
        assert_eq!(world.weight("order"), weight);
        let blocked = Conflict::Blocked { blockers: vec![frozen()] };
        assert_eq!(world.conflict("anne", &verb("order.1", NEXT)), blocked);
        let mut after = World(world.0.clone(), 100);
        assert!(after.see("order", 0, &healthy(10)).is_empty(), "the freeze has ended");
        world.ask(&verb("order.1", Rollback)).unwrap();
        assert_eq!(world.weight("order"), Ppm::ZERO);
    }
    let mut world = World::stepping();
    let others = Services::Named(BTreeSet::from([name("product")]));
    world.ask(&freezing(vec![freeze(others)])).unwrap();
    assert!(world.see("order", 10, &healthy(10)).is_empty());
}

#[test]
fn a_broken_guardrail_rolls_back_during_a_freeze() {
    let mut world = World::stepping();
    world.ask(&Command::FreezeDeployments(None)).unwrap();
    let verdict = Verdict::RollBack { findings: vec![finding(Level::Rollback)] };
    world.see("order", 0, &Observation { verdict, ..healthy(100) });
    assert!(matches!(newest(&world.0, "order").phase, Phase::RolledBack { .. }));
}

#[test]
fn a_manual_freeze_blocks_one_service_or_all_and_has_an_actor_and_a_reason() {
    for service in [None, Some(name("order"))] {
        let mut world = World::stepping();
        let at = world.now();
        let command_context =
            CommandContext { actor: "bob", reason: Some("incident 7"), at, wall: at };
        let freeze = Command::FreezeDeployments(service.clone());
        assert!(run_as(&mut world.0, &command_context, &freeze).unwrap().changed);
        assert!(!world.ask(&freeze).unwrap().changed);
        let (by, reason) = ("bob".to_owned(), Some("incident 7".to_owned()));
        let frozen = Blocker::Freeze { service: service.clone(), by, reason };
        assert_eq!(world.see("order", 10, &healthy(10)), std::slice::from_ref(&frozen));
        world.ask(&start("product", "v2")).unwrap();
        let product = world.see("product", 0, &healthy(0));
        assert_eq!(product.contains(&frozen), service.is_none(), "{product:?}");
        let unfreeze = Command::UnfreezeDeployments(service);
        assert!(world.ask(&unfreeze).unwrap().changed);
        assert!(!world.ask(&unfreeze).unwrap().changed);
        assert!(world.see("order", 0, &healthy(10)).is_empty());
    }
    let refusal = World::new().ask(&Command::FreezeDeployments(Some(name("unknown")))).unwrap_err();
    assert!(matches!(refusal, Refusal::UnknownService { .. }));
}

#[test]
fn invalid_freeze_windows_are_refused() {
    let once = |name_of: &str, start, end| FreezeWindow {
        name: name(name_of),
        when: FreezeSchedule::Once { start: Timestamp(start), end: Timestamp(end) },
        services: Services::All,
    };
    let weekly = |zone: &str, days: &[Day]| FreezeWindow {
        when: FreezeSchedule::Weekly {
            days: days.iter().copied().collect(),
            from: "18:00".parse().unwrap(),
            to: "08:00".parse().unwrap(),
            time_zone: zone.to_owned(),
        },
        ..once("night", 0, 1)
    };
    let monday = [Day::Mon];
    let unknown = UnknownZone("Moon/Base".to_owned());
    for (freeze_windows, invalid) in [
        (vec![once("a", 1, 1)], Invalid::EmptyFreezeWindow(name("a"))),
        (vec![once("a", 0, 1), once("a", 2, 3)], Invalid::DuplicateFreezeWindow(name("a"))),
        (
            vec![weekly("Moon/Base", &monday)],
            Invalid::FreezeWindowZone { name: name("night"), error: unknown },
        ),
        (vec![weekly("UTC", &[])], Invalid::FreezeWindowWithoutDays(name("night"))),
    ] {
        assert_eq!(World::new().ask(&freezing(freeze_windows)), Err(invalid.into()));
    }
    let mut world = World::new();
    let fine = freezing(vec![weekly("UTC", &monday)]);
    assert!(world.ask(&fine).unwrap().changed);
    assert!(!world.ask(&fine).unwrap().changed);
}

/// `order` at 5 %, with `on_fail: pause`.
fn pausing() -> World {
    let plan = Plan { on_fail: OnFail::Pause, ..canary(&[5, 50, 100]) };
    let mut world = World::with_plan(plan);
    world.ask(&start("order", "v2")).unwrap();
    world.see("order", 0, &healthy(0));
    world.see("order", 0, &healthy(10));
    world
}

fn broken() -> Observation {
    let verdict = Verdict::RollBack { findings: vec![finding(Level::Rollback)] };
    Observation { verdict, ..healthy(100) }
}

#[test]
fn a_broken_guardrail_pauses_a_release_by_on_fail() {
    let mut world = pausing();
    let paused = || Blocker::PausedByGuardrail { finding: finding(Level::Rollback) };
    assert_eq!(world.see("order", 0, &broken()), [paused()]);
    assert_eq!(world.weight("order"), Ppm::percent(5));
    assert!(newest(&world.0, "order").alerts.values().all(|level| *level == Level::Critical));
    let before = world.0.clone();
    world.see("order", 100, &broken());
    assert_eq!(world.0, before, "one event");
    // Also while the guardrail is no longer broken.
    assert_eq!(world.see("order", 100, &healthy(10)), [paused(), time(10)]);
    assert_eq!(world.weight("order"), Ppm::percent(5));
}

#[test]
fn a_resume_overrides_the_guardrail_until_the_next_step() {
    let mut world = pausing();
    world.see("order", 0, &broken());
    world.ask(&verb("order.1", Resume)).unwrap();
    assert!(newest(&world.0, "order").overridden.contains(&Guardrail::ErrorRate));
    world.see("order", 10, &broken());
    assert_eq!(world.weight("order"), Ppm::percent(50));
    world.see("order", 0, &broken());
    assert!(newest(&world.0, "order").paused_by_guardrail.is_some(), "the override has ended");
    world.ask(&verb("order.1", NEXT)).unwrap();
    assert_eq!(world.weight("order"), WATCHED);
    world.see("order", 0, &broken());
    world.ask(&verb("order.1", Rollback)).unwrap();
    assert_eq!(world.weight("order"), Ppm::ZERO);
}

#[test]
fn the_previous_version_is_kept_until_the_rollback_window_expires() {
    let mut world = World::complete();
    let until = world.0.services["order"].previous_until.unwrap();
    assert_eq!(until, world.now().after(Duration::from_secs(7 * 24 * 3600)));
    let service = |world: &World| world.0.services["order"].clone();
    assert_eq!(close_expired_window(&service(&world), Timestamp(until.0 - 1)), None);
    let closed = close_expired_window(&service(&world), until).unwrap();
    world.0.apply(until, &closed).unwrap();
    assert_eq!(close_expired_window(&service(&world), until), None, "once");
    let gone = Conflict::PreviousVersionGone { version: Some(name("v1")) };
    assert_eq!(world.conflict("anne", &verb("order.1", Rollback)), gone);
    assert!(world.ask(&start("order", "v1")).unwrap().changed);
}
