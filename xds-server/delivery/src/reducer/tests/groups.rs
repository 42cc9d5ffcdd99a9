//! Release groups.

use super::*;
use crate::fixtures::{WATCHED, smoke_test_failure};
use crate::judge::{Level, Verdict};
use crate::model::command::ReleaseCommand::{self, Pause, Rollback};
use crate::model::event::Event;
use crate::model::group::Member;
use crate::model::outcome::{Effect, Outcome};
use crate::model::plan::Plan;
use crate::model::refusal::{Conflict, Invalid, Known};
use crate::model::release::{Phase, RollbackCause};
use crate::model::signals::{Signal, SignalKind, SignalStatus};

fn group(versions: &[(&str, &str)], plan: Option<Plan>) -> Command {
    let member = |&(service, version): &(&str, &str)| Member {
        service: name(service),
        version: name(version),
        commit: None,
    };
    Command::StartGroup {
        group: name("checkout"),
        members: versions.iter().map(member).collect(),
        plan,
    }
}

fn both() -> Command {
    group(&[("order", "v2"), ("product", "v2")], Some(canary(&[5, 100])))
}

fn all(verb: ReleaseCommand) -> Command {
    Command::Group(name("checkout"), verb)
}

/// Evaluates both members, and returns the blockers of each.
fn look(world: &mut World, seconds: u64, seen: [&Observation; 2]) -> [Vec<Blocker>; 2] {
    world.1 += seconds;
    let now = world.now();
    let state = &world.0;
    let contexts = ["order", "product"].map(|it| &state.services[it]);
    let contexts = [0, 1].map(|it| {
        let (service, seen) = (contexts[it], seen[it]);
        ReleaseContext {
            state,
            service,
            release: service.release.as_ref().unwrap(),
            now,
            wall: now,
            seen,
        }
    });
    let (events, progress) = decide_progress(&contexts);
    for event in &events {
        world.0.apply(now, event).unwrap();
    }
    let mut blockers = progress.into_iter().map(|it| it.blockers);
    [blockers.next().unwrap(), blockers.next().unwrap()]
}

fn weights(world: &World) -> [Ppm; 2] {
    ["order", "product"].map(|service| world.weight(service))
}

/// Both on their first step, after convergence.
fn stepping() -> World {
    let mut world = World::with_plan(canary(&[5, 100]));
    world.ask(&both()).unwrap();
    // The plan leaves out the smoke tests of `product`, so they are added.
    world.ask(&Command::SmokeTested { release: name("product.1"), result: Ok(()) }).unwrap();
    look(&mut world, 0, [&healthy(0), &healthy(0)]);
    look(&mut world, 0, [&healthy(0), &healthy(0)]);
    assert_eq!(weights(&world), [Ppm::percent(5); 2]);
    world
}

fn complete() -> World {
    let mut world = stepping();
    look(&mut world, 10, [&healthy(10), &healthy(10)]);
    look(&mut world, 0, [&healthy(0), &healthy(0)]);
    look(&mut world, 60, [&healthy(10), &healthy(10)]);
    let ended = |service| newest(&world.0, service).phase.clone();
    assert!(matches!(ended("order"), Phase::Completed { .. }));
    assert!(matches!(ended("product"), Phase::Completed { .. }));
    world
}

fn cause(world: &World, service: &str) -> RollbackCause {
    match &newest(&world.0, service).phase {
        Phase::RolledBack { cause, .. } => cause.clone(),
        other => panic!("{service} is {other:?}"),
    }
}

#[test]
fn the_blockers_of_one_member_block_the_others() {
    let mut world = stepping();
    let [order, product] = look(&mut world, 10, [&healthy(10), &healthy(7)]);
    assert_eq!(weights(&world), [Ppm::percent(5); 2]);
    assert_eq!(product, [requests(3)]);
    let (group, release) = (name("checkout"), name("product.1"));
    assert_eq!(order, [Blocker::Group { group, release, blockers: product }]);
    look(&mut world, 0, [&healthy(10), &healthy(10)]);
    assert_eq!(weights(&world), [WATCHED; 2]);
}

#[test]
fn a_broken_guardrail_rolls_back_all_members() {
    let mut world = stepping();
    let broken = Observation {
        verdict: Verdict::RollBack { findings: vec![finding(Level::Rollback)] },
        ..healthy(10)
    };
    look(&mut world, 0, [&healthy(10), &broken]);
    assert_eq!(weights(&world), [Ppm::ZERO; 2]);
    let own = RollbackCause::Guardrail { finding: finding(Level::Rollback) };
    assert_eq!(cause(&world, "product"), own);
    let of_group = RollbackCause::Group { release: name("product.1"), cause: Box::new(own) };
    assert_eq!(cause(&world, "order"), of_group);
}

#[test]
fn a_smoke_test_a_security_signal_and_an_operator_roll_back_all_members() {
    let mut tested = canary(&[100]);
    tested.smoke_tests = blue_green().smoke_tests;
    let mut world = World::with_plan(canary(&[100]));
    world.ask(&group(&[("order", "v2"), ("product", "v2")], Some(tested))).unwrap();
    let result = Err(smoke_test_failure());
    world.ask(&Command::SmokeTested { release: name("product.1"), result }).unwrap();
    assert!(matches!(cause(&world, "order"), RollbackCause::Group { .. }));

    let mut world = stepping();
    let signal = Signal {
        kind: SignalKind::Security,
        version: name("v2"),
        name: name("scanner"),
        status: SignalStatus::Bad,
    };
    world.ask(&Command::Signal { service: name("order"), signal }).unwrap();
    assert!(matches!(cause(&world, "product"), RollbackCause::Group { .. }));

    let mut world = stepping();
    world.ask(&verb("product.1", Rollback)).unwrap();
    assert_eq!(cause(&world, "product"), RollbackCause::Operator);
    assert!(matches!(cause(&world, "order"), RollbackCause::Group { .. }));
}

#[test]
fn commands_apply_to_the_whole_group() {
    let mut world = stepping();
    for (command, verb_name) in
        [(Promote { all: false }, "promote"), (Pause, "pause"), (ReleaseCommand::Resume, "resume")]
    {
        let conflict = Conflict::GroupMember { group: name("checkout"), verb: verb_name };
        assert_eq!(world.conflict("anne", &verb("order.1", command)), conflict);
    }
    assert!(world.ask(&all(Pause)).unwrap().changed);
    assert!(!world.ask(&all(Pause)).unwrap().changed);
    let [order, _] = look(&mut world, 60, [&healthy(10), &healthy(10)]);
    assert!(order.contains(&Blocker::Paused), "{order:?}");
    world.ask(&all(ReleaseCommand::Resume)).unwrap();
    // A member that refuses the command prevents it for all.
    world.ask(&Command::FreezeDeployments(Some(name("product")))).unwrap();
    let refusal = world.ask(&all(Promote { all: true })).unwrap_err();
    let of_product = |it: &Refusal| matches!(it, Refusal::WrongPhase { release, .. } if *release == name("product.1"));
    assert!(of_product(&refusal), "{refusal:?}");
    assert_eq!(weights(&world), [Ppm::percent(5); 2]);
    world.ask(&Command::UnfreezeDeployments(Some(name("product")))).unwrap();
    world.ask(&all(Promote { all: true })).unwrap();
    assert_eq!(weights(&world), [WATCHED; 2]);
}

#[test]
fn a_complete_group_is_rolled_back_as_a_whole_while_all_members_can_be() {
    for command in [all(Rollback), verb("order.1", Rollback)] {
        let mut world = complete();
        world.ask(&command).unwrap();
        for service in ["order", "product"] {
            assert_eq!(world.0.services[service].stable, name("v1"));
        }
        assert!(!world.ask(&all(Rollback)).unwrap().changed);
    }
    // The previous version of one member is not kept any more: the other is rolled back alone.
    for command in [all(Rollback), verb("order.1", Rollback)] {
        let mut world = complete();
        let closed = Event::RollbackWindowClosed { service: name("product"), version: name("v1") };
        let now = world.now();
        world.0.apply(now, &closed).unwrap();
        assert!(world.ask(&command).unwrap().changed);
        assert_eq!(world.0.services["order"].stable, name("v1"));
        assert_eq!(world.0.services["product"].stable, name("v2"));
    }
}

#[test]
fn a_group_has_the_outcome_of_each_member() {
    let mut world = World::with_plan(canary(&[5, 100]));
    let outcome = |changed, effect| Outcome { release: None, changed, effect };
    let group = |members| Effect::Group { group: name("checkout"), members };
    let started = |service: &str| Outcome {
        release: Some(name(&format!("{service}.1"))),
        changed: true,
        effect: Effect::Started {
            service: name(service),
            stable: name("v1"),
            candidate: name("v2"),
            freezes: Vec::new(),
        },
    };
    let both_started = vec![started("order"), started("product")];
    assert_eq!(world.ask(&both()).unwrap(), outcome(true, group(both_started)));
    let members = vec![name("order.1"), name("product.1")];
    let running = Effect::GroupRunning { group: name("checkout"), members };
    assert_eq!(world.ask(&both()).unwrap(), outcome(false, running));

    // The previous version of one member is not kept any more.
    let mut world = complete();
    let closed = Event::RollbackWindowClosed { service: name("product"), version: name("v1") };
    let now = world.now();
    world.0.apply(now, &closed).unwrap();
    let of =
        |release: &str, changed, effect| Outcome { release: Some(name(release)), changed, effect };
    let conflict = Conflict::PreviousVersionGone { version: Some(name("v1")) };
    let refused = of("product.1", false, Effect::Refused { verb: "roll back", conflict });
    let restored = Effect::StableRestored { stable: name("v1"), quarantined_by: None };
    let members = vec![of("order.1", true, restored), refused];
    assert_eq!(world.ask(&all(Rollback)).unwrap(), outcome(true, group(members)));
}

#[test]
fn all_members_start_or_none() {
    let mut world = World::new();
    let (checkout, order, product) = (|| name("checkout"), || name("order"), || name("product"));
    let steps = Invalid::GroupSteps {
        group: checkout(),
        first: order(),
        first_steps: 3,
        service: product(),
        steps: 1,
    };
    let plan = || Some(canary(&[5, 50, 100]));
    for (command, refusal) in [
        (
            group(&[("order", "v2")], None),
            Invalid::GroupSize { group: checkout(), count: 1 }.into(),
        ),
        (
            group(&[("order", "v2"), ("order", "v1")], None),
            Invalid::DuplicateMember { group: checkout(), service: order() }.into(),
        ),
        (group(&[("order", "v2"), ("product", "v2")], None), steps.into()),
        (
            group(&[("order", "v2"), ("unknown", "v2")], None),
            Refusal::UnknownService {
                service: "unknown".to_owned(),
                known: Known { names: vec!["order".to_owned(), "product".to_owned()], more: 0 },
            },
        ),
        (
            group(&[("order", "v9"), ("product", "v2")], plan()),
            Refusal::UnknownVersion {
                service: order(),
                version: name("v9"),
                known: Known { names: vec!["v1".to_owned(), "v2".to_owned()], more: 0 },
            },
        ),
        (
            group(&[("order", "v2"), ("product", "v1")], plan()),
            Refusal::AlreadyStable { service: product(), version: name("v1") },
        ),
    ] {
        assert_eq!(world.ask(&command), Err(refusal));
    }
    world.ask(&start("product", "v2")).unwrap();
    let running = Refusal::AlreadyRunning {
        service: product(),
        running: name("product.1"),
        candidate: name("v2"),
    };
    let both = group(&[("order", "v2"), ("product", "v2")], plan());
    assert_eq!(world.ask(&both), Err(running));
    assert!(world.0.services["order"].release.is_none() && world.0.groups.is_empty());
}

#[test]
fn a_repeated_start_is_idempotent_and_an_ended_group_is_replaced() {
    let mut world = stepping();
    assert!(!world.ask(&both()).unwrap().changed);
    let other = group(&[("order", "v3"), ("product", "v2")], Some(canary(&[100])));
    let members = Known { names: vec!["order.1".to_owned(), "product.1".to_owned()], more: 0 };
    let running = Refusal::GroupRunning { group: name("checkout"), members };
    assert_eq!(world.ask(&other), Err(running));
    world.ask(&all(Rollback)).unwrap();
    // A new release of one member drops the old group.
    world.ask(&start("order", "v2")).unwrap();
    assert!(world.0.groups.is_empty());
    world.ask(&verb("order.2", Rollback)).unwrap();
    assert!(world.ask(&both()).unwrap().changed);
    let known = Known { names: vec!["checkout".to_owned()], more: 0 };
    let unknown = Refusal::UnknownGroup { group: name("nope"), known };
    assert_eq!(world.ask(&Command::Group(name("nope"), Pause)), Err(unknown));
}
