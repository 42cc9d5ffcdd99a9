//! Commands of operators on a release.

use super::super::*;
use super::{World, time};
use crate::fixtures::{canary, healthy, name, newest, start, verb};
use crate::model::catalogue::SpecError;
use crate::model::command::ReleaseCommand::{self, Abort, Pause, Promote, Resume, Rollback};
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
        (World::watching(), Abort, Conflict::AtFullWeight),
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

#[test]
fn invalid_releases_are_refused() {
    let mut world = World::stepping();
    let refusal = |world: &mut World, command| world.ask(&command).unwrap_err();
    let known = Known { names: vec!["order".to_owned(), "product".to_owned()], more: 0 };
    let unknown = Refusal::UnknownService { service: "nobody".to_owned(), known };
    assert_eq!(refusal(&mut world, start("nobody", "v2")), unknown);
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
