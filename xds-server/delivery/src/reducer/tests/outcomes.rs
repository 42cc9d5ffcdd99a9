//! The outcomes of commands: the same effect for the first command and for its repetition.

use serde_json::json;

use super::super::*;
use super::World;
use crate::fixtures::{
    WATCHED, canary, configuration, finding, healthy, name, order, order_with_requirements,
    product, start, verb, version,
};
use crate::judge::{Guardrail, Level, Verdict};
use crate::model::blocker::Blocker;
use crate::model::command::ReleaseCommand::{
    self, Abort, Approve, Pause, Promote, PromoteFrom, Resume, Rollback,
};
use crate::model::configuration::{Source, Version};
use crate::model::flag::FlagChange;
use crate::model::outcome::SecurityRollback;
use crate::model::plan::{OnFail, Plan};
use crate::model::progress::Observation;
use crate::model::signals::{Signal, SignalKind, SignalStatus};
use crate::units::{Ppm, Timestamp};

/// The command has this effect, on the release `order.1`.
fn assert_effect(world: &mut World, command: ReleaseCommand, changed: bool, effect: Effect) {
    let outcome = world.ask(&verb("order.1", command)).unwrap();
    assert_eq!(outcome, Outcome { release: Some(name("order.1")), changed, effect });
}

/// The command has this effect, and when it is repeated the same one, unchanged.
fn assert_idempotent(world: &mut World, release: Option<&str>, command: &Command, effect: &Effect) {
    for changed in [true, false] {
        let (release, effect) = (release.map(name), effect.clone());
        assert_eq!(world.ask(command).unwrap(), Outcome { release, changed, effect });
    }
}

#[test]
fn a_start_names_the_freezes_that_keep_the_release_at_0_percent() {
    let mut world = World::new();
    world.ask(&Command::FreezeDeployments(None)).unwrap();
    let started = world.ask(&start("order", "v2")).unwrap();
    let freeze = Blocker::Freeze { service: None, by: "anne".to_owned(), reason: None };
    let effect = Effect::Started {
        service: name("order"),
        stable: name("v1"),
        candidate: name("v2"),
        freezes: vec![freeze],
    };
    assert_eq!(started, Outcome { release: Some(name("order.1")), changed: true, effect });
    let effect = Effect::Running { candidate: name("v2"), weight: Ppm::ZERO };
    let again = world.ask(&start("order", "v2")).unwrap();
    assert_eq!(again, Outcome { release: Some(name("order.1")), changed: false, effect });
}

#[test]
fn a_promotion_names_the_step() {
    let mut world = World::stepping();
    let world = &mut world;
    assert_effect(world, Pause, true, Effect::Paused { weight: Ppm::percent(5) });
    assert_effect(world, Pause, false, Effect::Paused { weight: Ppm::percent(5) });
    let weight = Ppm::percent(50);
    let promoted = Effect::Promoted { step: 2, weight, paused: true };
    assert_effect(world, PromoteFrom { step: 1 }, true, promoted);
    let left = Effect::LeftStep { from: 1, step: 2 };
    assert_effect(world, PromoteFrom { step: 1 }, false, left);
    assert_effect(world, Resume, true, Effect::Resumed { overridden: None });
    assert_effect(world, Resume, false, Effect::Resumed { overridden: None });
    let promoted = Effect::Promoted { step: 3, weight: WATCHED, paused: false };
    assert_effect(world, Promote { all: true }, true, promoted);
    assert_effect(world, Promote { all: true }, false, Effect::Watching);
    let completed = Effect::Completed { stable: name("v2") };
    assert_effect(world, Promote { all: false }, true, completed.clone());
    assert_effect(world, Promote { all: false }, false, completed);
}

#[test]
fn a_resumed_release_names_the_guardrail_that_is_overridden() {
    let plan = Plan { on_fail: OnFail::Pause, ..canary(&[5, 50, 100]) };
    let mut world = World::with_plan(plan);
    world.ask(&start("order", "v2")).unwrap();
    world.see("order", 0, &healthy(0));
    let findings = vec![finding(Level::Rollback)];
    let broken = Observation { verdict: Verdict::RollBack { findings }, ..healthy(10) };
    world.see("order", 1, &broken);
    let overridden = Some(Guardrail::ErrorRate);
    assert_effect(&mut world, Resume, true, Effect::Resumed { overridden });
}

#[test]
fn an_approval_says_how_many_more_are_required() {
    let mut world = World::new();
    world.ask(&configuration(vec![order_with_requirements(), product()], Vec::new())).unwrap();
    world.ask(&start("order", "v2")).unwrap();
    let approve = verb("order.1", Approve { role: name("manager") });
    let expected = |by: &str, missing| Effect::Approved {
        role: name("manager"),
        by: by.to_owned(),
        until: Timestamp(3_600_000),
        missing,
    };
    let approved = |world: &mut World, by: &str| {
        let outcome = world.ask_as(by, &approve).unwrap();
        (outcome.changed, outcome.effect)
    };
    assert_eq!(approved(&mut world, "bob"), (true, expected("bob", 1)));
    assert_eq!(approved(&mut world, "bob"), (false, expected("bob", 1)));
    assert_eq!(approved(&mut world, "eve"), (true, expected("eve", 0)));
    let complete = Effect::ApprovalsComplete { role: name("manager") };
    assert_eq!(approved(&mut world, "tom"), (false, complete));
}

#[test]
fn a_rollback_names_the_version_that_serves() {
    let rolled_back = || Effect::RolledBack { stable: name("v1"), earlier: None };
    for command in [Abort, Rollback] {
        let mut world = World::stepping();
        assert_effect(&mut world, command.clone(), true, rolled_back());
        assert_effect(&mut world, command, false, rolled_back());
    }
    let mut world = World::complete();
    let signal = signal(SignalKind::Security, "v1", SignalStatus::Bad);
    let outcome = world.ask(&signal).unwrap();
    let rollback = SecurityRollback::NoTraffic;
    assert_eq!((outcome.changed, outcome.effect), (true, quarantined("v1", rollback)));
    let (stable, quarantined_by) = (name("v1"), Some(name("scan")));
    assert_effect(&mut world, Rollback, true, Effect::StableRestored { stable, quarantined_by });
    assert_effect(&mut world, Rollback, false, rolled_back());
}

fn signal(kind: SignalKind, version: &str, status: SignalStatus) -> Command {
    let signal = Signal { kind, version: name(version), name: name("scan"), status };
    Command::Signal { service: name("order"), signal }
}

fn quarantined(version: &str, rollback: SecurityRollback) -> Effect {
    let (service, version) = (name("order"), name(version));
    Effect::Quarantined { service, version, listed: true, rollback }
}

#[test]
fn a_security_signal_says_what_of_the_traffic_it_moves() {
    let mut world = World::complete();
    let v3 = version(9103, None);
    let deploy = Command::RegisterVersion { service: name("order"), version: name("v3"), spec: v3 };
    world.ask(&deploy).unwrap();
    world.ask(&start("order", "v3")).unwrap();
    let mut ask = |version| world.ask(&signal(SignalKind::Security, version, SignalStatus::Bad));
    // v2 is stable, v1 precedes it, v3 is the candidate.
    let restored = SecurityRollback::StableRestored { stable: name("v1"), with_release: true };
    assert_eq!(ask("v2").unwrap().effect, quarantined("v2", restored));
    let again = ask("v2").unwrap();
    let effect = quarantined("v2", SecurityRollback::NoTraffic);
    assert_eq!(again, Outcome { release: None, changed: false, effect });
    assert_eq!(ask("v1").unwrap().effect, quarantined("v1", SecurityRollback::NoSafeVersion));
    world.ask(&start("order", "v3")).unwrap();
    let mut ask = |version| world.ask(&signal(SignalKind::Security, version, SignalStatus::Bad));
    let running = SecurityRollback::ReleaseRunning { candidate: name("v3") };
    let outcome = ask("v1").unwrap();
    assert_eq!(
        (outcome.release, outcome.effect),
        (Some(name("order.3")), quarantined("v1", running))
    );
    let rolled_back = SecurityRollback::RolledBack { stable: name("v1") };
    assert_eq!(ask("v3").unwrap().effect, quarantined("v3", rolled_back));
}

#[test]
fn reports_and_signals_name_the_release_of_the_version() {
    let mut world = World::stepping();
    let raise = signal(SignalKind::Business, "v2", SignalStatus::Bad);
    let raised = Effect::SignalRaised {
        service: name("order"),
        version: name("v2"),
        signal: name("scan"),
        blocked_at: Some(Ppm::percent(5)),
    };
    assert_idempotent(&mut world, Some("order.1"), &raise, &raised);
    let clear = signal(SignalKind::Business, "v2", SignalStatus::Ok);
    let cleared = Effect::SignalCleared { version: name("v2"), signal: name("scan") };
    assert_idempotent(&mut world, Some("order.1"), &clear, &cleared);
    let effect = Effect::Unquarantined { service: name("order"), version: name("v2") };
    let outcome = world.ask(&signal(SignalKind::Security, "v2", SignalStatus::Ok)).unwrap();
    assert_eq!(outcome, Outcome { release: None, changed: false, effect });
}

#[test]
fn freezes_versions_and_configurations_are_idempotent() {
    let mut world = World::new();
    for service in [None, Some(name("order"))] {
        let frozen = Effect::Frozen { service: service.clone(), by: "anne".to_owned() };
        let freeze = Command::FreezeDeployments(service.clone());
        assert_idempotent(&mut world, None, &freeze, &frozen);
        let unfrozen = Effect::Unfrozen { service: service.clone() };
        let unfreeze = Command::UnfreezeDeployments(service);
        assert_idempotent(&mut world, None, &unfreeze, &unfrozen);
    }
    let mut changed = order();
    changed.hosts.push("orders.local".parse().unwrap());
    let applied = Effect::ConfigurationApplied {
        version: Version { hash: "of a test".to_owned(), source: Source::File },
        services: 2,
        withheld: Vec::new(),
        unused: Vec::new(),
    };
    let configuration = configuration(vec![changed, product()], Vec::new());
    assert_idempotent(&mut world, None, &configuration, &applied);
    let registered = Effect::VersionRegistered { service: name("order"), version: name("v3") };
    let (service, spec) = (name("order"), version(9103, None));
    let register = Command::RegisterVersion { service, version: name("v3"), spec };
    assert_idempotent(&mut world, None, &register, &registered);
}

#[test]
fn flags_are_counted() {
    let mut world = World::new();
    let flag = |value: &str| json!({"variants": {"on": value}, "defaultVariant": "on"});
    let outcome = |world: &mut World, change: FlagChange| {
        let outcome = world.ask(&change.into()).unwrap();
        (outcome.changed, outcome.effect)
    };
    let merge =
        |world: &mut World, flags| outcome(world, FlagChange::Merge(json!({"flags": flags})));
    let merged = |different| Effect::FlagsMerged {
        keys: vec!["a".to_owned(), "b".to_owned()],
        different,
        warnings: Vec::new(),
    };
    let both = json!({"a": flag("x"), "b": flag("x")});
    assert_eq!(merge(&mut world, both.clone()), (true, merged(2)));
    assert_eq!(merge(&mut world, both), (false, merged(0)));
    assert_eq!(merge(&mut world, json!({"a": flag("x"), "b": flag("y")})), (true, merged(1)));
    let replace = FlagChange::Replace(json!({"flags": {"a": flag("x")}}));
    let replaced = |before| Effect::FlagsReplaced { flags: 1, before, warnings: Vec::new() };
    assert_eq!(outcome(&mut world, replace.clone()), (true, replaced(2)));
    assert_eq!(outcome(&mut world, replace), (false, replaced(1)));
    let key = || "a".to_owned();
    let switch = || FlagChange::Switch { key: key(), enabled: false };
    let switched = || Effect::FlagSwitched { key: key(), enabled: false };
    assert_eq!(outcome(&mut world, switch()), (true, switched()));
    assert_eq!(outcome(&mut world, switch()), (false, switched()));
    let deleted = Effect::FlagDeleted { key: key() };
    assert_eq!(outcome(&mut world, FlagChange::Delete { key: key() }), (true, deleted));
}
