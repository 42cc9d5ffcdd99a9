//! Commands of operators on a release.

use super::super::*;
use super::{World, time};
use crate::fixtures::{canary, healthy, name, newest, start, verb, version};
use crate::model::catalogue::SpecError;
use crate::model::command::ReleaseCommand::{self, Abort, Pause, Promote, Resume, Rollback};
use crate::model::outcome::EarlierRelease;
use crate::model::plan::PlanError;
use crate::model::refusal::{Conflict, Invalid, Known};
use crate::model::release::{Phase, RollbackCause};
use crate::units::Ppm;

const NEXT: ReleaseCommand = Promote { all: false };
const ALL: ReleaseCommand = Promote { all: true };

#[test]
fn a_promoted_release_stays_paused() {
    let mut world = World::stepping();
    world.ask(&verb("order.1", Pause)).unwrap();
    world.see("order", 30, &healthy(10));
    world.ask(&verb("order.1", NEXT)).unwrap();
    assert!(newest(&world.0, "order").paused_at.is_some());
    assert_eq!(world.weight("order"), Ppm::percent(50));
    world.see("order", 30, &healthy(10));
    world.ask(&verb("order.1", Resume)).unwrap();
    assert_eq!(world.see("order", 1, &healthy(10)), [time(9)]);
}

#[test]
fn commands_are_idempotent() {
    let paused = || {
        let mut world = World::stepping();
        world.ask(&verb("order.1", Pause)).unwrap();
        world
    };
    for (mut world, command) in [
        (World::stepping(), Pause),
        (paused(), Resume),
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
fn commands_in_the_wrong_phase_are_refused() {
    let aborted = || {
        let mut world = World::stepping();
        world.ask(&verb("order.1", Abort)).unwrap();
        world
    };
    for (mut world, command, conflict) in [
        (World::watching(), Abort, Conflict::LastStep),
        (World::complete(), Abort, Conflict::Complete),
        (aborted(), NEXT, Conflict::RolledBack),
        (aborted(), Pause, Conflict::Ended),
        (aborted(), Resume, Conflict::Ended),
    ] {
        assert_eq!(world.conflict("anne", &verb("order.1", command)), conflict);
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
    let (service, release, restores) = (name("order"), name("order.1"), name("v1"));
    let earlier = Some(EarlierRelease { service, release, restores });
    let effect = Effect::RolledBack { stable: name("v2"), earlier };
    assert_eq!((repeated.changed, repeated.effect), (false, effect));
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
fn invalid_releases_are_refused() {
    let mut world = World::stepping();
    let refusal = |world: &mut World, command| world.ask(&command).unwrap_err();
    let known = Known { names: vec!["order".to_owned(), "product".to_owned()], more: 0 };
    let unknown = Refusal::UnknownService { service: "unknown".to_owned(), known };
    assert_eq!(refusal(&mut world, start("unknown", "v2")), unknown);
    let (service, running, candidate) = (name("order"), name("order.1"), name("v2"));
    let already = Refusal::AlreadyRunning { service, running, candidate };
    assert_eq!(refusal(&mut world, start("order", "v3")), already);
    let stable = Refusal::AlreadyStable { service: name("product"), version: name("v1") };
    assert_eq!(refusal(&mut world, start("product", "v1")), stable);
    let again = world.ask(&start("order", "v2")).unwrap();
    assert_eq!((again.changed, again.release), (false, Some(name("order.1"))));
    world.ask(&verb("order.1", Abort)).unwrap();
    let known = Known { names: vec!["v1".to_owned(), "v2".to_owned()], more: 0 };
    let (service, version) = (name("order"), name("v3"));
    let unknown = Refusal::UnknownVersion { service, version, known };
    assert_eq!(refusal(&mut world, start("order", "v3")), unknown);
    let command = Command::StartRelease {
        service: name("order"),
        version: name("v2"),
        plan: Some(canary(&[5])),
        commit: None,
    };
    let error = SpecError::Plan(PlanError::NeverEnds { weight: Ppm::percent(5) });
    let invalid = Invalid::Service { service: name("order"), error };
    assert_eq!(refusal(&mut world, command), Refusal::Invalid(invalid));
    let unknown = Refusal::UnknownRelease("order.9".to_owned());
    assert_eq!(refusal(&mut world, verb("order.9", Rollback)), unknown);
}
