//! What others have to say before a release goes forward: checks, approvals, freezes, the line.

use crate::names::Services;
use std::collections::BTreeSet;
use std::time::Duration;

use super::super::*;
use super::World;
use crate::fixtures::*;
use crate::judge::{Level, Verdict};
use crate::model::command::ReleaseCommand::{self, Approve, Promote, Resume, Rollback};
use crate::model::freeze::{Day, FreezeSchedule, FreezeWindow};
use crate::model::plan::{OnFail, Plan};
use crate::model::progress::Observation;
use crate::model::release::Phase;
use crate::units::{Ppm, Timestamp};

const UNCHECKED: &str = "the check `tests` to be reported";
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

/// `order`, whose releases need a check, two managers, and one more before 50 %.
fn gated() -> World {
    let mut world = World::new();
    world.ask(&configuration(vec![order_with_requirements(), product()], Vec::new())).unwrap();
    world
}

/// The same, checked, approved and at 5 %.
fn begun() -> World {
    let mut world = gated();
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
fn a_release_waits_for_its_checks_and_says_for_which() {
    let mut world = gated();
    world.ask(&start("order", "v2")).unwrap();
    let two_managers = "2 more approvals as `manager` to enter 5%";
    assert_eq!(world.see("order", 0, &healthy(0)), [UNCHECKED, two_managers]);
    world.ask(&report("v2", false)).unwrap();
    let failed = "the check `tests` to pass, which failed, see https://ci.example/7";
    assert_eq!(world.see("order", 0, &healthy(0)), [failed, two_managers]);
    let again = world.ask(&report("v2", false)).unwrap();
    assert!(!again.changed, "{again:?}");
    let passed = world.ask(&report("v2", true)).unwrap();
    assert_eq!(passed.release, Some(name("order.1")));
    assert_eq!(world.see("order", 0, &healthy(0)), [two_managers]);
}

#[test]
fn a_check_that_fails_later_holds_it_where_it_is() {
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
fn no_promotion_goes_past_what_others_have_to_say_and_every_rollback_does() {
    for all in [false, true] {
        let mut world = gated();
        world.ask(&start("order", "v2")).unwrap();
        let refusal = world.ask(&verb("order.1", Promote { all })).unwrap_err().to_string();
        assert!(refusal.contains(UNCHECKED), "{refusal}");
        assert_eq!(refusal.contains("to enter 50%"), all, "{refusal}");
        assert!(world.ask(&verb("order.1", Rollback)).unwrap().changed);
    }
}

#[test]
fn a_plan_that_a_release_brings_along_cannot_ask_for_less() {
    let mut world = gated();
    let plan = Some(canary(&[5, 100]));
    let command =
        Command::StartRelease { service: name("order"), version: name("v2"), plan, commit: None };
    world.ask(&command).unwrap();
    assert_eq!(world.see("order", 0, &healthy(0)).len(), 2);
}

#[test]
fn approvals_are_of_different_people_and_never_of_who_started_it() {
    let mut world = gated();
    world.ask(&report("v2", true)).unwrap();
    world.ask(&start("order", "v2")).unwrap();
    for (who, role, why) in [
        ("anne", "manager", "anne started it, and another has to approve it"),
        ("bob", "developer", "is approved as `manager`"),
    ] {
        let refusal = world.ask_as(who, &approve(role)).unwrap_err().to_string();
        assert!(refusal.contains(why), "{refusal}");
    }
    assert!(world.ask_as("bob", &approve("manager")).unwrap().changed);
    assert!(!world.ask_as("bob", &approve("manager")).unwrap().changed, "once is enough");
    assert_eq!(world.see("order", 0, &healthy(0)), ["1 more approval as `manager` to enter 5%"]);
    let outcome = world.ask_as("eve", &approve("manager")).unwrap();
    assert!(outcome.message.contains("has the approvals"), "{outcome:?}");
    assert!(!world.ask_as("ida", &approve("manager")).unwrap().changed, "it has all");
    world.see("order", 0, &healthy(0));
    assert_eq!(world.weight("order"), Ppm::percent(5));
}

#[test]
fn an_approval_is_for_one_step_and_expires() {
    let mut world = begun();
    assert_eq!(world.see("order", 0, &healthy(10)), ["1 more approval as `manager` to enter 50%"]);
    let approved = world.ask_as("bob", &approve("manager")).unwrap();
    assert!(approved.changed);
    let too_few = healthy(1);
    world.see("order", 3600, &too_few);
    let waits = world.see("order", 0, &healthy(10));
    assert_eq!(waits, ["1 more approval as `manager` to enter 50%"], "it expired");
    world.ask_as("bob", &approve("manager")).unwrap();
    world.see("order", 0, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::percent(50));
    let refusal = world.ask_as("bob", &approve("manager")).unwrap_err().to_string();
    assert!(refusal.contains("needs no approval"), "{refusal}");
}

fn freezing(freeze_windows: Vec<FreezeWindow>) -> Command {
    configuration(vec![order(), product()], freeze_windows)
}

#[test]
fn a_freeze_holds_steps_and_completion_and_no_rollback() {
    let freeze = |services| FreezeWindow {
        name: name("year-end"),
        when: FreezeSchedule::Once { start: Timestamp(0), end: Timestamp(100_000) },
        services,
    };
    let text = "the freeze window `year-end` to end, 1970-01-01T00:01:40Z";
    for mut world in [World::stepping(), World::watching()] {
        let weight = world.weight("order");
        world.ask(&freezing(vec![freeze(Services::All)])).unwrap();
        assert_eq!(world.see("order", 90, &healthy(10)), [text]);
        assert_eq!(world.weight("order"), weight);
        let refusal = world.ask(&verb("order.1", NEXT)).unwrap_err().to_string();
        assert!(refusal.contains(text), "{refusal}");
        let mut after = World(world.0.clone(), 100);
        assert!(after.see("order", 0, &healthy(10)).is_empty(), "it goes on by itself");
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
    let verdict = Verdict::RollBack { finding: finding(Level::Rollback) };
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
        let waits = world.see("order", 10, &healthy(10));
        assert!(waits[0].ends_with("by bob to end: incident 7"), "{waits:?}");
        let begun = world.ask(&start("product", "v2")).unwrap();
        assert_eq!(begun.message.contains("stays at 0%"), service.is_none(), "{begun:?}");
        let unfreeze = Command::UnfreezeDeployments(service);
        assert!(world.ask(&unfreeze).unwrap().changed);
        assert!(!world.ask(&unfreeze).unwrap().changed);
        assert!(world.see("order", 0, &healthy(10)).is_empty());
    }
    let refusal = World::new().ask(&Command::FreezeDeployments(Some(name("nobody")))).unwrap_err();
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
    for (freeze_windows, says) in [
        (vec![once("a", 1, 1)], "ends before it starts"),
        (vec![once("a", 0, 1), once("a", 2, 3)], "declared twice"),
        (vec![weekly("Moon/Base", &monday)], "`Moon/Base` is no time zone"),
        (vec![weekly("UTC", &[])], "has no days"),
    ] {
        let refusal = World::new().ask(&freezing(freeze_windows)).unwrap_err().to_string();
        assert!(refusal.contains(says), "{refusal}");
    }
    let mut world = World::new();
    let fine = freezing(vec![weekly("UTC", &monday)]);
    assert!(world.ask(&fine).unwrap().changed);
    assert!(!world.ask(&fine).unwrap().changed);
}

/// `order` at 5 %, with a plan that holds rather than goes back.
fn holding() -> World {
    let plan = Plan { on_fail: OnFail::Pause, ..canary(&[5, 50, 100]) };
    let mut world = World::new();
    let command = Command::StartRelease {
        service: name("order"),
        version: name("v2"),
        plan: Some(plan),
        commit: None,
    };
    world.ask(&command).unwrap();
    world.see("order", 0, &healthy(0));
    world.see("order", 0, &healthy(10));
    world
}

fn broken() -> Observation {
    let verdict = Verdict::RollBack { finding: finding(Level::Rollback) };
    Observation { verdict, ..healthy(100) }
}

#[test]
fn a_broken_guardrail_pauses_a_release_whose_plan_says_so() {
    let mut world = holding();
    let waits = world.see("order", 0, &broken());
    assert!(waits[0].starts_with("an operator to resume it or roll it back"), "{waits:?}");
    assert_eq!(world.weight("order"), Ppm::percent(5), "it stays where it is");
    assert!(newest(&world.0, "order").alerts.values().all(|level| *level == Level::Critical));
    let before = world.0.clone();
    world.see("order", 100, &broken());
    assert_eq!(world.0, before, "told once");
    assert_eq!(world.see("order", 100, &healthy(10)).len(), 2, "also when it is well again");
    assert_eq!(world.weight("order"), Ppm::percent(5));
}

#[test]
fn a_person_may_resume_what_broke_until_its_next_step() {
    let mut world = holding();
    world.see("order", 0, &broken());
    let outcome = world.ask(&verb("order.1", Resume)).unwrap();
    assert!(outcome.message.contains("against its broken error rate"), "{outcome:?}");
    world.see("order", 10, &broken());
    assert_eq!(world.weight("order"), Ppm::percent(50));
    world.see("order", 0, &broken());
    assert!(newest(&world.0, "order").held.is_some(), "each step anew");
    world.ask(&verb("order.1", NEXT)).unwrap();
    assert_eq!(world.weight("order"), Ppm::ALL);
    world.see("order", 0, &broken());
    world.ask(&verb("order.1", Rollback)).unwrap();
    assert_eq!(world.weight("order"), Ppm::ZERO);
}

#[test]
fn the_version_before_is_kept_for_the_rollback_window_and_no_longer() {
    let mut world = World::complete();
    let until = world.0.services["order"].previous_until.unwrap();
    assert_eq!(until, world.now().after(Duration::from_secs(7 * 24 * 3600)));
    let service = |world: &World| world.0.services["order"].clone();
    assert_eq!(close_expired_window(&service(&world), Timestamp(until.0 - 1)), None);
    let closed = close_expired_window(&service(&world), until).unwrap();
    world.0.apply(until, &closed).unwrap();
    assert_eq!(close_expired_window(&service(&world), until), None, "once");
    let refusal = world.ask(&verb("order.1", Rollback)).unwrap_err().to_string();
    assert!(refusal.contains("not kept any more; release it instead"), "{refusal}");
    assert!(world.ask(&start("order", "v1")).unwrap().changed);
}
