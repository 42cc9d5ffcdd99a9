//! What operators may ask of a release, and what they are told.

use super::super::*;
use super::World;
use crate::fixtures::*;
use crate::model::command::ReleaseCommand::{self, Abort, Pause, Promote, Resume, Rollback};
use crate::model::release::{Phase, RollbackCause};
use crate::units::Ppm;

const NEXT: ReleaseCommand = Promote { all: false };
const ALL: ReleaseCommand = Promote { all: true };

#[test]
fn promotion_goes_on_but_does_not_let_go_of_what_is_held() {
    let mut world = World::stepping();
    world.ask(&verb("order.1", Pause)).unwrap();
    world.see("order", 30, &healthy(10));
    let outcome = world.ask(&verb("order.1", NEXT)).unwrap();
    assert!(outcome.message.contains("held"), "{outcome:?}");
    assert_eq!(world.weight("order"), Ppm::percent(50));
    world.see("order", 30, &healthy(10));
    world.ask(&verb("order.1", Resume)).unwrap();
    let waits_for = world.see("order", 1, &healthy(10));
    assert_eq!(waits_for, ["time: 9 s more"]);
}

#[test]
fn verbs_asked_twice_change_nothing_and_say_so() {
    let held = || {
        let mut world = World::stepping();
        world.ask(&verb("order.1", Pause)).unwrap();
        world
    };
    for (mut world, command) in [
        (World::stepping(), Pause),
        (held(), Resume),
        (World::stepping(), ALL),
        (World::stepping(), Abort),
        (World::stepping(), Rollback),
        (World::watching(), Rollback),
        (World::complete(), Rollback),
    ] {
        assert!(world.ask(&verb("order.1", command.clone())).unwrap().changed);
        let before = world.0.clone();
        let again = world.ask(&verb("order.1", command)).unwrap();
        assert!(!again.changed, "{again:?}");
        assert_eq!(world.0, before);
    }
    assert!(!World::complete().ask(&verb("order.1", NEXT)).unwrap().changed);
}

#[test]
fn verbs_that_do_not_fit_say_the_way_out() {
    let aborted = || {
        let mut world = World::stepping();
        world.ask(&verb("order.1", Abort)).unwrap();
        world
    };
    for (mut world, command, way_out) in [
        (World::watching(), Abort, "roll it back instead"),
        (World::complete(), Abort, "roll it back instead"),
        (aborted(), NEXT, "start a new release"),
        (aborted(), Pause, "it has ended"),
        (aborted(), Resume, "it has ended"),
    ] {
        let refusal = world.ask(&verb("order.1", command)).unwrap_err();
        assert!(matches!(refusal, Refusal::WrongPhase { .. }));
        assert!(refusal.to_string().contains(way_out), "{refusal}");
    }
}

#[test]
fn rollback_after_completion_restores_the_version_before() {
    let mut world = World::complete();
    world.ask(&verb("order.1", Rollback)).unwrap();
    let service = &world.0.services["order"];
    assert_eq!((&service.stable, &service.previous), (&name("v1"), &None));
    assert!(matches!(
        newest(&world.0, "order").phase,
        Phase::RolledBack { cause: RollbackCause::Operator, .. }
    ));
}

/// `order.1` complete, and then `order.2`, which was aborted on its first step.
fn aborted_after_completion() -> World {
    let mut world = World::complete();
    world
        .ask(&Command::RegisterVersion {
            service: name("order"),
            version: name("v3"),
            spec: version(9103, None),
        })
        .unwrap();
    world.ask(&start("order", "v3")).unwrap();
    world.see("order", 0, &healthy(0));
    world.ask(&verb("order.2", Abort)).unwrap();
    world
}

#[test]
fn the_release_before_an_aborted_one_can_be_rolled_back_by_its_id() {
    let mut world = aborted_after_completion();
    let before = world.0.clone();
    let repeated = world.ask(&verb("order.2", Rollback)).unwrap();
    assert!(!repeated.changed);
    assert!(repeated.message.contains("--release order.1"), "{repeated:?}");
    assert_eq!(world.0, before);

    let outcome = world.ask(&verb("order.1", Rollback)).unwrap();
    assert!(outcome.changed);
    assert_eq!(outcome.release, Some(name("order.1")));
    assert_eq!(world.0.services["order"].stable, name("v1"));
    let before = world.0.clone();
    for id in ["order.1", "order.2"] {
        assert!(!world.ask(&verb(id, Rollback)).unwrap().changed, "{id}");
    }
    assert_eq!(world.0, before);
}

#[test]
fn an_earlier_release_is_not_rolled_back_under_a_running_one() {
    let mut world = aborted_after_completion();
    world.ask(&start("order", "v3")).unwrap();
    let refusal = world.ask(&verb("order.1", Rollback)).unwrap_err();
    assert!(matches!(refusal, Refusal::WrongPhase { verb: "roll back", .. }), "{refusal}");
    assert!(refusal.to_string().contains("`order.3`"), "{refusal}");
    let unknown = world.ask(&verb("order.2", Rollback)).unwrap_err();
    assert!(matches!(unknown, Refusal::UnknownRelease(_)), "{unknown}");
}

#[test]
fn promotion_from_a_step_leaves_that_step_once() {
    let from = |step| verb("order.1", ReleaseCommand::PromoteFrom { step });
    let mut world = World::stepping();
    assert!(world.ask(&from(1)).unwrap().changed);
    assert_eq!(world.weight("order"), Ppm::percent(50));
    for left in [0, 1] {
        assert!(!world.ask(&from(left)).unwrap().changed, "{left}");
    }
    assert_eq!(world.weight("order"), Ppm::percent(50));
    let ahead = world.ask(&from(3)).unwrap_err();
    assert!(matches!(ahead, Refusal::WrongPhase { .. }), "{ahead}");
    assert!(world.ask(&from(2)).unwrap().changed);
    assert!(world.ask(&from(3)).unwrap().changed);
    assert_eq!(world.0.services["order"].stable, name("v2"));
    assert!(!world.ask(&from(3)).unwrap().changed);
}

#[test]
fn refuses_releases_that_cannot_be() {
    let mut world = World::stepping();
    let refusal = |world: &mut World, command| world.ask(&command).unwrap_err().to_string();
    for (service, version, says) in [
        ("nobody", "v2", "the services are order, product"),
        ("order", "v3", "release `order.1` of `order` to `v2` is running"),
        ("product", "v1", "is the stable one already"),
    ] {
        let said = refusal(&mut world, start(service, version));
        assert!(said.contains(says), "{said}");
    }
    let again = world.ask(&start("order", "v2")).unwrap();
    assert_eq!((again.changed, again.release), (false, Some(name("order.1"))));
    world.ask(&verb("order.1", Abort)).unwrap();
    let said = refusal(&mut world, start("order", "v3"));
    assert!(said.contains("it has v1, v2"), "{said}");
    let said = refusal(
        &mut world,
        Command::StartRelease {
            service: name("order"),
            version: name("v2"),
            plan: Some(canary(&[5])),
            commit: None,
        },
    );
    assert!(said.contains("must be 100%"), "{said}");
    let said = refusal(&mut world, verb("order.9", Rollback));
    assert!(said.contains("no release `order.9`"), "{said}");
}
