//! Releases that go together.

use super::*;
use crate::judge::{Level, Verdict};
use crate::model::command::ReleaseCommand::{self, Pause, Rollback};
use crate::model::event::Event;
use crate::model::group::Member;
use crate::model::plan::Plan;
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

/// Looks at both members, and says what each waits for.
fn look(world: &mut World, seconds: u64, seen: [&Observation; 2]) -> [Vec<String>; 2] {
    world.1 += seconds;
    let now = world.now();
    let state = &world.0;
    let sights = ["order", "product"].map(|it| &state.services[it]);
    let sights = [0, 1].map(|it| {
        let (service, seen) = (sights[it], seen[it]);
        ReleaseContext {
            state,
            service,
            release: service.release.as_ref().unwrap(),
            now,
            wall: now,
            seen,
        }
    });
    let (events, progress) = decide_progress(&sights);
    for event in &events {
        world.0.apply(now, event).unwrap();
    }
    let mut waits = progress
        .into_iter()
        .map(|it| it.blockers.iter().map(crate::text::blocker).collect::<Vec<_>>());
    [waits.next().unwrap(), waits.next().unwrap()]
}

fn weights(world: &World) -> [Ppm; 2] {
    ["order", "product"].map(|service| world.weight(service))
}

/// Both on their first step, which the sidecars have.
fn stepping() -> World {
    let mut world = World::new();
    world.ask(&both()).unwrap();
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
fn all_wait_for_who_is_last_and_each_says_for_whom() {
    let mut world = stepping();
    let [order, product] = look(&mut world, 10, [&healthy(10), &healthy(7)]);
    assert_eq!(weights(&world), [Ppm::percent(5); 2]);
    let held = "`product.1` of its group `checkout`, which waits for requests: 3 more";
    assert_eq!(order, [held]);
    assert_eq!(product, ["requests: 3 more"]);
    look(&mut world, 0, [&healthy(10), &healthy(10)]);
    assert_eq!(weights(&world), [Ppm::ALL; 2]);
}

#[test]
fn one_that_breaks_takes_all_back_with_it() {
    let mut world = stepping();
    let broken = Observation {
        verdict: Verdict::RollBack { finding: finding(Level::Rollback) },
        ..healthy(10)
    };
    look(&mut world, 0, [&healthy(10), &broken]);
    assert_eq!(weights(&world), [Ppm::ZERO; 2]);
    assert!(matches!(cause(&world, "product"), RollbackCause::Guardrail { .. }));
    let RollbackCause::Group { of, why } = cause(&world, "order") else {
        panic!("{:?}", cause(&world, "order"));
    };
    assert_eq!(of, name("product.1"));
    assert!(why.contains("error rate"), "{why}");
}

#[test]
fn a_smoke_test_a_signal_and_a_word_take_all_back() {
    let mut world = World::new();
    let mut tested = canary(&[100]);
    tested.smoke_tests = blue_green().smoke_tests;
    world.ask(&group(&[("order", "v2"), ("product", "v2")], Some(tested))).unwrap();
    let result = Err("503".to_owned());
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
fn nobody_goes_forward_alone_and_the_group_goes_whole() {
    let mut world = stepping();
    for verb_alone in [Promote { all: false }, Pause, ReleaseCommand::Resume] {
        let said = world.ask(&verb("order.1", verb_alone)).unwrap_err().to_string();
        assert!(said.contains("tidegate release group"), "{said}");
    }
    assert!(world.ask(&all(Pause)).unwrap().changed);
    assert!(!world.ask(&all(Pause)).unwrap().changed);
    let [order, _] = look(&mut world, 60, [&healthy(10), &healthy(10)]);
    assert!(order.iter().any(|it| it.contains("an operator")), "{order:?}");
    world.ask(&all(ReleaseCommand::Resume)).unwrap();
    // What one may not, none does.
    world.ask(&Command::FreezeDeployments(Some(name("product")))).unwrap();
    let said = world.ask(&all(Promote { all: true })).unwrap_err().to_string();
    assert!(said.contains("product.1"), "{said}");
    assert_eq!(weights(&world), [Ppm::percent(5); 2]);
    world.ask(&Command::UnfreezeDeployments(Some(name("product")))).unwrap();
    world.ask(&all(Promote { all: true })).unwrap();
    assert_eq!(weights(&world), [Ppm::ALL; 2]);
}

#[test]
fn a_complete_group_goes_back_whole_as_long_as_it_can() {
    for command in [all(Rollback), verb("order.1", Rollback)] {
        let mut world = complete();
        world.ask(&command).unwrap();
        for service in ["order", "product"] {
            assert_eq!(world.0.services[service].stable, name("v1"));
        }
        assert!(!world.ask(&all(Rollback)).unwrap().changed);
    }
    // The version before of one is not kept any more: the other goes for itself.
    for command in [all(Rollback), verb("order.1", Rollback)] {
        let mut world = complete();
        let closed = Event::RollbackWindowClosed { service: name("product"), version: name("v1") };
        let now = world.now();
        world.0.apply(now, &closed).unwrap();
        let said = world.ask(&command).unwrap().message;
        if command == all(Rollback) {
            assert!(said.contains("product.1") && said.contains("is not kept any more"), "{said}");
        }
        assert_eq!(world.0.services["order"].stable, name("v1"));
        assert_eq!(world.0.services["product"].stable, name("v2"));
    }
}

#[test]
fn all_begin_or_none() {
    let mut world = World::new();
    for (command, says) in [
        (group(&[("order", "v2")], None), "2 to 20 members, not 1"),
        (group(&[("order", "v2"), ("order", "v1")], None), "`order` is named twice"),
        (group(&[("order", "v2"), ("product", "v2")], None), "`product` has 1 steps"),
        (group(&[("order", "v2"), ("nobody", "v2")], None), "no service `nobody`"),
        (group(&[("order", "v9"), ("product", "v2")], Some(canary(&[100]))), "no version `v9`"),
        (
            group(&[("order", "v2"), ("product", "v1")], Some(canary(&[100]))),
            "of `product` is the stable",
        ),
    ] {
        let said = world.ask(&command).unwrap_err().to_string();
        assert!(said.contains(says), "{said}");
    }
    world.ask(&start("product", "v2")).unwrap();
    let said = world.ask(&both()).unwrap_err().to_string();
    assert!(said.contains("release `product.1` of `product` to `v2` is running"), "{said}");
    assert!(world.0.services["order"].release.is_none() && world.0.groups.is_empty());
}

#[test]
fn a_group_asked_for_twice_is_so_already_and_an_ended_one_makes_room() {
    let mut world = stepping();
    assert!(!world.ask(&both()).unwrap().changed);
    let other = group(&[("order", "v3"), ("product", "v2")], Some(canary(&[100])));
    let said = world.ask(&other).unwrap_err().to_string();
    assert!(said.contains("`checkout` is running, with order.1, product.1"), "{said}");
    world.ask(&all(Rollback)).unwrap();
    // A new release of one alone: the old group is no more.
    world.ask(&start("order", "v2")).unwrap();
    assert!(world.0.groups.is_empty());
    world.ask(&verb("order.2", Rollback)).unwrap();
    assert!(world.ask(&both()).unwrap().changed);
    let said = world.ask(&Command::Group(name("nope"), Pause)).unwrap_err().to_string();
    assert!(said.contains("there is checkout"), "{said}");
}
