//! Security and business signals.

use super::super::*;
use super::World;
use crate::fixtures::{WATCHED, canary, healthy, name, newest, start, verb, version};
use crate::model::blocker::Blocker;
use crate::model::command::ReleaseCommand::{Promote, Rollback};
use crate::model::plan::{OnFail, Plan};
use crate::model::refusal::Invalid;
use crate::model::release::{Phase, RollbackCause};
use crate::model::signals::{MAX_QUARANTINED, Signal, SignalKind, SignalStatus};
use crate::units::Ppm;

fn say(kind: SignalKind, version: &str, status: SignalStatus) -> Command {
    let signal = Signal { kind, version: name(version), name: name("scan"), status };
    Command::Signal { service: name("order"), signal }
}

fn unsafe_version(version: &str) -> Command {
    say(SignalKind::Security, version, SignalStatus::Bad)
}

fn security() -> RollbackCause {
    RollbackCause::Security { signal: name("scan"), reason: None }
}

#[test]
fn a_security_signal_rolls_back_the_candidate_and_quarantines_it() {
    let pausing = || {
        let plan = Plan { on_fail: OnFail::Pause, ..canary(&[5, 50, 100]) };
        let mut world = World::with_plan(plan);
        world.ask(&start("order", "v2")).unwrap();
        world
    };
    for mut world in [World::stepping(), World::watching(), pausing()] {
        world.ask(&Command::FreezeDeployments(None)).unwrap();
        let outcome = world.ask(&unsafe_version("v2")).unwrap();
        assert_eq!(outcome.release, Some(name("order.1")));
        let (at, cause) = (world.now(), security());
        assert_eq!(newest(&world.0, "order").phase, Phase::RolledBack { at, cause });
        assert!(!world.ask(&unsafe_version("v2")).unwrap().changed);
        let refusal = world.ask(&start("order", "v2")).unwrap_err();
        assert!(matches!(refusal, Refusal::Quarantined { .. }));
    }
}

#[test]
fn only_an_operator_lifts_a_quarantine() {
    let mut world = World::stepping();
    world.ask(&unsafe_version("v2")).unwrap();
    let well = say(SignalKind::Security, "v2", SignalStatus::Ok);
    let (service, version) = (name("order"), name("v2"));
    let refusal = Invalid::QuarantineBySignal { service, version }.into();
    assert_eq!(world.ask(&well), Err(refusal));
    let lift = Command::Unquarantine { service: name("order"), version: name("v2") };
    assert!(world.ask(&lift).unwrap().changed);
    assert!(!world.ask(&lift).unwrap().changed);
    assert!(world.ask(&start("order", "v2")).unwrap().changed);
}

#[test]
fn a_security_signal_rolls_back_a_complete_release_within_the_rollback_window() {
    let mut world = World::complete();
    world.ask(&unsafe_version("v2")).unwrap();
    assert_eq!(world.0.services["order"].stable, name("v1"));
    let (at, cause) = (world.now(), security());
    assert_eq!(newest(&world.0, "order").phase, Phase::RolledBack { at, cause });
}

#[test]
fn a_security_signal_does_not_restore_an_expired_or_quarantined_version() {
    let too_late = || {
        let mut world = World::complete();
        world.1 += 7 * 24 * 3600;
        world
    };
    let unsafe_too = || {
        let mut world = World::complete();
        world.ask(&unsafe_version("v1")).unwrap();
        world
    };
    for mut world in [too_late(), unsafe_too()] {
        world.ask(&unsafe_version("v2")).unwrap();
        assert_eq!(world.0.services["order"].stable, name("v2"));
    }
    let mut by_hand = unsafe_too();
    assert!(by_hand.ask(&verb("order.1", Rollback)).unwrap().changed);
    assert_eq!(by_hand.0.services["order"].stable, name("v1"));
}

#[test]
fn a_security_signal_against_stable_restores_the_previous_version_and_ends_the_running_release() {
    let mut world = World::complete();
    let v3 = Command::RegisterVersion {
        service: name("order"),
        version: name("v3"),
        spec: version(9103, None),
    };
    world.ask(&v3).unwrap();
    world.ask(&start("order", "v3")).unwrap();
    world.ask(&unsafe_version("v2")).unwrap();
    assert_eq!(world.0.services["order"].stable, name("v1"));
    assert!(!newest(&world.0, "order").is_running());
}

#[test]
fn a_full_list_of_quarantines_does_not_prevent_a_rollback() {
    let mut world = World::stepping();
    for number in 0..MAX_QUARANTINED {
        world.ask(&unsafe_version(&format!("gone-{number}"))).unwrap();
    }
    let (service, version) = (name("order"), name("gone"));
    let refusal = Invalid::TooManyQuarantined { service, version }.into();
    assert_eq!(world.ask(&unsafe_version("gone")), Err(refusal));
    world.ask(&unsafe_version("v2")).unwrap();
    assert!(!world.0.services["order"].quarantined.contains_key("v2"));
    assert_eq!(world.weight("order"), Ppm::ZERO);
}

#[test]
fn a_security_signal_against_stable_does_not_end_the_release_that_replaces_it() {
    let mut world = World::stepping();
    world.ask(&unsafe_version("v1")).unwrap();
    assert!(newest(&world.0, "order").is_running());
    world.ask(&verb("order.1", Promote { all: true })).unwrap();
    assert_eq!(world.weight("order"), WATCHED);
}

#[test]
fn a_business_signal_blocks_a_release_until_it_clears_and_never_a_rollback() {
    let bad = say(SignalKind::Business, "v2", SignalStatus::Bad);
    let well = say(SignalKind::Business, "v2", SignalStatus::Ok);
    for mut world in [World::stepping(), World::watching()] {
        let weight = world.weight("order");
        assert!(world.ask(&bad).unwrap().changed);
        assert!(!world.ask(&bad).unwrap().changed);
        let blocker = Blocker::Signal { signal: name("scan"), reason: None };
        assert_eq!(world.see("order", 1000, &healthy(10)), [blocker]);
        assert_eq!(world.weight("order"), weight);
        let mut back = World(world.0.clone(), 2000);
        back.ask(&verb("order.1", Rollback)).unwrap();
        assert_eq!(back.weight("order"), Ppm::ZERO);
        assert!(world.ask(&well).unwrap().changed);
        assert!(!world.ask(&well).unwrap().changed);
        assert!(world.see("order", 0, &healthy(10)).is_empty());
    }
    let refusal = World::new().ask(&say(SignalKind::Business, "v9", SignalStatus::Bad));
    assert!(matches!(refusal, Err(Refusal::UnknownVersion { .. })));
}
