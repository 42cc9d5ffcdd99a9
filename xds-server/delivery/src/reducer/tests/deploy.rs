//! Deployments, environments, smoke tests.

use super::super::*;
use super::World;
use crate::fixtures::{
    canary, command_context, configuration, healthy, name, newest, order, product,
    smoke_test_failure, start, verb, version,
};
use crate::model::blocker::Blocker;
use crate::model::catalogue::{Environment, SpecError, VersionSpec};
use crate::model::command::ReleaseCommand::{Abort, Pause, Promote};
use crate::model::commit::Commit;
use crate::model::flag::FlagChange;
use crate::model::fold_error::PlacementError;
use crate::model::refusal::{Conflict, Invalid, VersionUsage};
use crate::model::release::{Phase, RollbackCause};
use crate::units::Ppm;

#[test]
fn blue_green_deploys_to_the_inactive_environment_and_switches() {
    let mut world = World::new();
    world.ask(&start("product", "v2")).unwrap();
    let service = &world.0.services["product"];
    assert_eq!(
        service.spec.versions[&name::<crate::names::VersionName>("v2")],
        version(9202, Some(Environment::Green))
    );
    assert_eq!(world.see("product", 10, &healthy(0)), [Blocker::SmokeTests]);
    let promote = verb("product.1", Promote { all: true });
    assert_eq!(world.conflict("anne", &promote), Conflict::SmokeTests);

    let passed = Command::SmokeTested { release: name("product.1"), result: Ok(()) };
    assert!(world.ask(&passed).unwrap().changed);
    assert!(!world.ask(&passed).unwrap().changed);
    world.see("product", 0, &healthy(0));
    assert_eq!(world.weight("product"), Ppm::ALL);
    world.see("product", 60, &healthy(10));

    // The next release replaces v1 in blue, so v1 is no longer kept for a rollback.
    world.ask(&start("product", "v3")).unwrap();
    let service = &world.0.services["product"];
    assert_eq!(service.occupant(Environment::Blue), Some(&name("v3")));
    assert_eq!(service.previous, None);
    world.ask(&verb("product.2", Abort)).unwrap();
    assert_eq!(world.0.services["product"].stable, name("v2"));
}

#[test]
fn a_failed_smoke_test_rolls_back_a_paused_release() {
    let mut world = World::new();
    world.ask(&start("product", "v2")).unwrap();
    world.ask(&verb("product.1", Pause)).unwrap();
    let failure = smoke_test_failure();
    let result = Err(failure.clone());
    world.ask(&Command::SmokeTested { release: name("product.1"), result }).unwrap();
    let (at, cause) = (world.now(), RollbackCause::SmokeTest { failure });
    assert_eq!(newest(&world.0, "product").phase, Phase::RolledBack { at, cause });
}

#[test]
fn a_version_in_use_is_not_replaced_or_moved() {
    let mut world = World::new();
    let register = |version_name: &str, environment| Command::RegisterVersion {
        service: name("product"),
        version: name(version_name),
        spec: version(9999, environment),
    };
    let mut refusal = |command| world.ask(&command).unwrap_err();
    let blue = Some(Environment::Blue);
    let green = Some(Environment::Green);
    let service = || name("product");
    let occupied =
        PlacementError::Occupied { environment: Environment::Blue, occupant: name("v1") };
    let moves = PlacementError::Moves { version: name("v1"), environment: Environment::Blue };
    for (command, invalid) in [
        (register("v2", blue), Invalid::Placement { service: service(), error: occupied }),
        (register("v1", green), Invalid::Placement { service: service(), error: moves }),
        (
            register("v2", None),
            Invalid::Service { service: service(), error: SpecError::NoEnvironment(name("v2")) },
        ),
    ] {
        assert_eq!(refusal(command), Refusal::Invalid(invalid));
    }
    world.ask(&start("product", "v2")).unwrap();
    let refusal = world.ask(&register("v3", green)).unwrap_err();
    assert!(matches!(refusal, Refusal::AlreadyRunning { .. }));
}

#[test]
fn invalid_endpoints_are_refused() {
    let mut world = World::new();
    for (host, port) in [("", 80), ("a b", 80), ("a/b", 80), ("::g", 80), ("a", 0)] {
        let mut spec = version(port, None);
        spec.endpoints[0].host = host.to_owned();
        let command =
            Command::RegisterVersion { service: name("order"), version: name("v3"), spec };
        assert!(world.ask(&command).is_err(), "{host}:{port}");
    }
}

/// A release has the commit of its version, unless it names one.
#[test]
fn a_release_deploys_the_commit_of_its_version() {
    let commit = |id: &str| Commit { id: Some(id.to_owned()), at: None };
    let register = |id| {
        let spec = VersionSpec { commit: Some(commit(id)), ..version(9103, None) };
        Command::RegisterVersion { service: name("order"), version: name("v3"), spec }
    };
    let mut world = World::new();
    assert!(world.ask(&register("no-commit")).is_err());
    world.ask(&register("6c6eb22")).unwrap();
    for (named, expected) in [(None, "6c6eb22"), (Some(commit("0aff00d")), "0aff00d")] {
        let (service, version) = (name("order"), name("v3"));
        let start = Command::StartRelease { service, version, plan: None, commit: named };
        let context = command_context("anne", world.now());
        let (events, _) = decide_command(&world.0, &context, &start).unwrap();
        let [Event::ReleaseStarted { commit: of_release, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(*of_release, Some(commit(expected)));
    }
}

fn remove(version: &str) -> Command {
    Command::RemoveVersion { service: name("order"), version: name(version) }
}

#[test]
fn a_version_that_serves_or_that_a_rollback_needs_is_not_removed() {
    let mut world = World::with_plan(canary(&[100]));
    let usage = |world: &mut World, version: &str| match world.ask(&remove(version)) {
        Err(Refusal::VersionInUse { usage, .. }) => usage,
        other => panic!("{other:?}"),
    };
    assert_eq!(usage(&mut world, "v1"), VersionUsage::Stable);
    world.ask(&start("order", "v2")).unwrap();
    let release = name("order.1");
    assert_eq!(usage(&mut world, "v2"), VersionUsage::Candidate { release });
    for all in [true, false] {
        world.ask(&verb("order.1", Promote { all })).unwrap();
    }
    let until = world.0.services["order"].previous_until;
    assert!(until.is_some());
    assert_eq!(usage(&mut world, "v1"), VersionUsage::Previous { until });
    assert_eq!(usage(&mut world, "v2"), VersionUsage::Stable);
}

#[test]
fn a_version_that_a_flag_selects_is_not_removed() {
    let mut world = World::new();
    let definition = serde_json::json!({
        "variants": {"on": "v2", "off": null}, "defaultVariant": "off", "metadata": {"service": "order"},
    });
    world.ask(&FlagChange::Set { key: "beta".to_owned(), definition }.into()).unwrap();
    let usage = VersionUsage::Flag { key: "beta".to_owned() };
    let (service, version) = (name("order"), name("v2"));
    assert_eq!(
        world.ask(&remove("v2")).unwrap_err(),
        Refusal::VersionInUse { service, version, usage }
    );
    world.ask(&FlagChange::Switch { key: "beta".to_owned(), enabled: false }.into()).unwrap();
    assert!(world.ask(&remove("v2")).unwrap().changed);
}

#[test]
fn a_removed_version_stays_removed_until_its_declaration_is_edited() {
    let mut world = World::new();
    assert!(world.ask(&remove("v2")).unwrap().changed);
    assert!(!world.ask(&remove("v2")).unwrap().changed, "it is idempotent");
    assert!(matches!(world.ask(&start("order", "v2")), Err(Refusal::UnknownVersion { .. })));
    let is_there = |world: &World| world.0.services["order"].spec.versions.contains_key("v2");
    // Another part of the declaration is edited.
    let mut spec = order();
    spec.hosts.push("orders.local".parse().unwrap());
    world.ask(&configuration(vec![spec.clone(), product()], Vec::new())).unwrap();
    assert!(!is_there(&world));
    spec.versions.insert(name("v2"), version(9999, None));
    world.ask(&configuration(vec![spec, product()], Vec::new())).unwrap();
    assert!(is_there(&world));
}
