//! What is said of versions while they serve.

use super::super::*;
use super::World;
use crate::fixtures::*;
use crate::model::command::ReleaseCommand::{Promote, Rollback};
use crate::model::plan::{OnFail, Plan};
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
fn an_unsafe_candidate_goes_back_at_once_and_is_quarantined() {
    let freezing = || {
        let mut world = World::new();
        let plan = Some(Plan { on_fail: OnFail::Pause, ..canary(&[5, 100]) });
        let command = Command::StartRelease {
            service: name("order"),
            version: name("v2"),
            plan,
            commit: None,
        };
        world.ask(&command).unwrap();
        world
    };
    for mut world in [World::stepping(), World::watching(), freezing()] {
        world.ask(&Command::FreezeDeployments(None)).unwrap();
        let outcome = world.ask(&unsafe_version("v2")).unwrap();
        assert_eq!(outcome.release, Some(name("order.1")));
        let (at, cause) = (world.now(), security());
        assert_eq!(newest(&world.0, "order").phase, Phase::RolledBack { at, cause });
        assert!(!world.ask(&unsafe_version("v2")).unwrap().changed);
        let refusal = world.ask(&start("order", "v2")).unwrap_err();
        assert!(matches!(refusal, Refusal::Quarantined { .. }));
        let way_out = "tidegate version unquarantine order v2";
        assert!(refusal.to_string().contains(way_out), "{refusal}");
    }
}

#[test]
fn only_a_person_lifts_a_quarantine() {
    let mut world = World::stepping();
    world.ask(&unsafe_version("v2")).unwrap();
    let well = say(SignalKind::Security, "v2", SignalStatus::Ok);
    let refusal = world.ask(&well).unwrap_err().to_string();
    assert!(refusal.contains("a person lifts"), "{refusal}");
    let lift = Command::Unquarantine { service: name("order"), version: name("v2") };
    assert!(world.ask(&lift).unwrap().changed);
    assert!(!world.ask(&lift).unwrap().changed);
    assert!(world.ask(&start("order", "v2")).unwrap().changed);
}

#[test]
fn an_unsafe_version_that_was_released_goes_back_within_the_window() {
    let mut world = World::complete();
    let outcome = world.ask(&unsafe_version("v2")).unwrap();
    assert!(outcome.message.contains("`v1` serves again"), "{outcome:?}");
    assert_eq!(world.0.services["order"].stable, name("v1"));
    let (at, cause) = (world.now(), security());
    assert_eq!(newest(&world.0, "order").phase, Phase::RolledBack { at, cause });
}

#[test]
fn nothing_goes_back_to_what_is_gone_or_unsafe_too() {
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
        let outcome = world.ask(&unsafe_version("v2")).unwrap();
        assert!(outcome.message.contains("no safe version"), "{outcome:?}");
        assert_eq!(world.0.services["order"].stable, name("v2"));
    }
    let mut by_hand = unsafe_too();
    let outcome = by_hand.ask(&verb("order.1", Rollback)).unwrap();
    assert!(outcome.message.contains("although it is quarantined"), "{outcome:?}");
}

#[test]
fn a_release_away_from_an_unsafe_version_ends_if_there_is_a_safe_one_behind_it() {
    let mut world = World::complete();
    let v3 = Command::RegisterVersion {
        service: name("order"),
        version: name("v3"),
        spec: version(9103, None),
    };
    world.ask(&v3).unwrap();
    world.ask(&start("order", "v3")).unwrap();
    let outcome = world.ask(&unsafe_version("v2")).unwrap();
    assert!(outcome.message.contains("`order.2` ended, and `v1` serves again"), "{outcome:?}");
    assert_eq!(world.0.services["order"].stable, name("v1"));
    assert!(!newest(&world.0, "order").is_running());
}

#[test]
fn a_full_list_of_quarantines_is_in_no_rollbacks_way() {
    let mut world = World::stepping();
    for number in 0..MAX_QUARANTINED {
        world.ask(&unsafe_version(&format!("gone-{number}"))).unwrap();
    }
    let refusal = world.ask(&unsafe_version("gone")).unwrap_err().to_string();
    assert!(refusal.contains("lift those that are gone"), "{refusal}");
    let outcome = world.ask(&unsafe_version("v2")).unwrap();
    assert!(outcome.message.contains("lift those that are gone"), "{outcome:?}");
    assert_eq!(world.weight("order"), Ppm::ZERO);
}

#[test]
fn an_unsafe_stable_version_does_not_stop_its_remedy() {
    let mut world = World::stepping();
    let outcome = world.ask(&unsafe_version("v1")).unwrap();
    assert!(outcome.message.contains("promote that, if it is the remedy"), "{outcome:?}");
    assert!(newest(&world.0, "order").is_running());
    world.ask(&verb("order.1", Promote { all: true })).unwrap();
    assert_eq!(world.weight("order"), Ppm::ALL);
}

#[test]
fn bad_business_holds_a_release_until_it_is_well_and_lets_a_person_take_it_back() {
    let bad = say(SignalKind::Business, "v2", SignalStatus::Bad);
    let well = say(SignalKind::Business, "v2", SignalStatus::Ok);
    for mut world in [World::stepping(), World::watching()] {
        let weight = world.weight("order");
        let outcome = world.ask(&bad).unwrap();
        assert!(outcome.message.contains("tidegate release rollback order"), "{outcome:?}");
        assert!(!world.ask(&bad).unwrap().changed);
        let waits = world.see("order", 1000, &healthy(10));
        assert_eq!(waits, ["the business signal `scan` to clear"]);
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
