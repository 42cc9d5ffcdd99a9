//! Changes of flags, and the versions that flags select.

use serde_json::{Value, json};

use super::super::*;
use super::World;
use crate::fixtures::{name, order, start, verb};
use crate::model::command::ReleaseCommand::{Abort, Promote, Rollback};
use crate::model::flag::{FlagBlock, FlagChange};
use crate::model::outcome::FlagWarning;
use crate::model::refusal::Invalid;
use crate::model::signals::{Signal, SignalKind, SignalStatus};

/// A flag without routing.
fn flag(value: &str) -> Value {
    json!({"variants": {"on": value}, "defaultVariant": "on"})
}

/// A flag that routes `order` to a version.
fn routing(version: &Value) -> Value {
    json!({
        "variants": {"on": version, "off": "", "none": null}, "defaultVariant": "off",
        "metadata": {"service": "order"},
    })
}

fn set(key: &str, definition: Value) -> Command {
    FlagChange::Set { key: key.to_owned(), definition }.into()
}

fn merge(flags: &Value) -> Command {
    FlagChange::Merge(json!({ "flags": flags })).into()
}

fn switch(key: &str, enabled: bool) -> Command {
    FlagChange::Switch { key: key.to_owned(), enabled }.into()
}

/// The same change, on condition of a revision.
fn at(revision: u64, command: Command) -> Command {
    match command {
        Command::ChangeFlags { change, .. } => {
            Command::ChangeFlags { change, if_revision: Some(revision) }
        }
        other => panic!("{other:?}"),
    }
}

fn keys(world: &World) -> Vec<&str> {
    world.0.flags.keys().map(String::as_str).collect()
}

fn pinnable(world: &World, service: &str) -> Vec<String> {
    world.0.services[service].pinnable().map(ToString::to_string).collect()
}

fn warnings(outcome: Outcome) -> Vec<FlagWarning> {
    match outcome.effect {
        Effect::FlagSet { warnings, .. } => warnings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn flags_are_merged_all_or_none() {
    let mut world = World::new();
    world.ask(&merge(&json!({"a": flag("x")}))).unwrap();
    let before = world.0.clone();
    for broken in [
        json!({"b": flag("x"), "c": 7}),
        json!({"b": flag("x"), "": flag("x")}),
        json!({"b": flag("x"), "c": {}}),
        json!({"b": flag("x"), "c": routing(&json!("v9"))}),
    ] {
        assert!(world.ask(&merge(&broken)).is_err(), "{broken}");
    }
    let shared = json!({"flags": {"b": flag("x")}, "$evaluators": {}});
    let refusal = world.ask(&FlagChange::Merge(shared).into()).unwrap_err();
    assert_eq!(refusal, Invalid::SharedEvaluators.into());
    assert_eq!(world.0, before);
    let two = merge(&json!({"b": flag("x"), "c": flag("x")}));
    assert!(world.ask(&two).unwrap().changed);
    assert!(!world.ask(&two).unwrap().changed);
    assert_eq!(keys(&world), ["a", "b", "c"]);
}

#[test]
fn flags_are_replaced_set_and_deleted() {
    let mut world = World::new();
    let rule = json!({"==": [{"var": "host"}, "order.local"]});
    let document = json!({"flags": {"a": flag("x")}, "$evaluators": {"e": rule}});
    let replace: Command = FlagChange::Replace(document).into();
    assert!(world.ask(&replace).unwrap().changed);
    assert!(!world.ask(&replace).unwrap().changed);
    assert!(world.0.evaluators.contains_key("e"));
    assert!(world.ask(&set("b", flag("x"))).unwrap().changed);
    assert!(!world.ask(&set("b", flag("x"))).unwrap().changed);
    let delete: Command = FlagChange::Delete { key: "a".to_owned() }.into();
    world.ask(&delete).unwrap();
    assert!(matches!(world.ask(&delete), Err(Refusal::UnknownFlag(_))));
    assert_eq!(keys(&world), ["b"]);
    for bad in [
        json!([]),
        json!({"flags": 1}),
        json!({"flags": {}, "$evaluators": 1}),
        json!({"flags": {"": flag("x")}}),
        json!({"flags": {"a": {}}}),
        json!({"flags": {"a": routing(&json!("v9"))}}),
    ] {
        assert!(world.ask(&FlagChange::Replace(bad.clone()).into()).is_err(), "{bad}");
    }
}

#[test]
fn a_flag_is_compiled_with_the_current_evaluators() {
    let mut world = World::new();
    let referring = json!({
        "variants": {"on": true, "off": false}, "defaultVariant": "off",
        "targeting": {"if": [{"$ref": "internal"}, "on", "off"]},
    });
    let command = set("a", referring.clone());
    assert!(matches!(world.ask(&command), Err(Refusal::Invalid(Invalid::Flag(_)))));
    let rule = json!({"==": [{"var": "host"}, "order.local"]});
    let document = json!({"flags": {}, "$evaluators": {"internal": rule}});
    world.ask(&FlagChange::Replace(document).into()).unwrap();
    world.ask(&command).unwrap();
    // The rule goes, and the flag with it only if the document says so.
    let without = json!({"flags": {"a": referring}});
    assert!(world.ask(&FlagChange::Replace(without).into()).is_err());
}

#[test]
fn two_changes_of_one_flag_keep_both() {
    let mut world = World::new();
    world.ask(&set("a", flag("old"))).unwrap();
    // Both were decided when the definition was the old one; the second must not restore it.
    world.ask(&set("a", flag("new"))).unwrap();
    world.ask(&switch("a", false)).unwrap();
    let now = &world.0.flags["a"];
    assert_eq!((&now["variants"]["on"], &now["state"]), (&json!("new"), &json!("DISABLED")));
    assert!(!world.ask(&switch("a", false)).unwrap().changed);
    world.ask(&switch("a", true)).unwrap();
    assert_eq!(world.0.flags["a"]["state"], "ENABLED");
    assert_eq!(world.ask(&switch("b", true)), Err(Refusal::UnknownFlag("b".to_owned())));
}

#[test]
fn a_conditional_change_is_refused_after_another_change() {
    let mut world = World::new();
    world.ask(&at(0, set("a", flag("x")))).unwrap();
    let delete = FlagChange::Delete { key: "a".to_owned() }.into();
    let replace = FlagChange::Replace(json!({"flags": {}})).into();
    for stale in [set("b", flag("x")), merge(&json!({})), switch("a", false), delete, replace] {
        let refusal = world.ask(&at(0, stale)).unwrap_err();
        assert_eq!(refusal, Refusal::FlagsChanged { expected: 0, current: 1 });
    }
    assert_eq!(keys(&world), ["a"]);
    world.ask(&at(1, set("b", flag("x")))).unwrap();
    // A command without effect is no change, and neither is a change of something else.
    assert!(!world.ask(&at(2, set("b", flag("x")))).unwrap().changed);
    world.ask(&start("order", "v2")).unwrap();
    world.ask(&at(2, FlagChange::Delete { key: "a".to_owned() }.into())).unwrap();
    assert_eq!(world.0.flag_revision, 3);
}

#[test]
fn a_flag_routes_to_a_version_of_its_service() {
    let mut world = World::new();
    let refusal = |world: &mut World, definition| match world.ask(&set("beta", definition)) {
        Err(Refusal::Invalid(invalid)) => invalid,
        other => panic!("{other:?}"),
    };
    let elsewhere = json!({"variants": {"on": "v2"}, "metadata": {"service": "nope"}});
    assert!(matches!(refusal(&mut world, elsewhere), Invalid::FlagService { .. }));
    for value in [json!("v9"), json!(true)] {
        let invalid = refusal(&mut world, routing(&value));
        assert!(matches!(invalid, Invalid::FlagVariant { .. }), "{invalid:?}");
    }
    world.ask(&set("beta", routing(&json!("v2")))).unwrap();

    // A flag whose version was removed does not stand in the way of others, and can be disabled.
    let mut without = order();
    without.versions.remove(&name::<crate::names::VersionName>("v2"));
    world
        .ask(&crate::fixtures::configuration(vec![without, crate::fixtures::product()], Vec::new()))
        .unwrap();
    world.ask(&set("other", flag("x"))).unwrap();
    world.ask(&switch("beta", false)).unwrap();
}

#[test]
fn no_flag_selects_a_rolled_back_version_until_an_operator_allows_it() {
    let mut world = World::stepping();
    assert_eq!(pinnable(&world, "order"), ["v1", "v2"]);
    world.ask(&verb("order.1", Abort)).unwrap();
    assert_eq!(pinnable(&world, "order"), ["v1"]);
    let outcome = world.ask(&set("beta", routing(&json!("v2")))).unwrap();
    let block = FlagBlock::RolledBack { release: name("order.1") };
    let (service, version) = (name("order"), name("v2"));
    assert_eq!(warnings(outcome), [FlagWarning::NotSelected { service, version, block }]);

    // A new release does not allow it before it completes.
    world.ask(&start("order", "v2")).unwrap();
    assert_eq!(pinnable(&world, "order"), ["v1"]);
    let allow = Command::AllowFlags { service: name("order"), version: name("v2") };
    assert!(world.ask(&allow).unwrap().changed);
    assert!(!world.ask(&allow).unwrap().changed);
    assert_eq!(pinnable(&world, "order"), ["v1", "v2"]);
    world.ask(&verb("order.2", Abort)).unwrap();
    assert_eq!(pinnable(&world, "order"), ["v1"]);
}

#[test]
fn no_flag_selects_a_version_that_was_taken_back_after_its_release() {
    let mut world = World::complete();
    assert_eq!(pinnable(&world, "order"), ["v1", "v2"]);
    world.ask(&verb("order.1", Rollback)).unwrap();
    assert_eq!(pinnable(&world, "order"), ["v1"]);
    // It is lifted when a release of it completes.
    world.ask(&start("order", "v2")).unwrap();
    world.see("order", 0, &crate::fixtures::healthy(0));
    for all in [true, false] {
        world.ask(&verb("order.2", Promote { all })).unwrap();
    }
    assert_eq!(world.0.services["order"].stable, name("v2"));
    assert_eq!(pinnable(&world, "order"), ["v1", "v2"]);
}

#[test]
fn flags_stay_away_from_a_version_after_its_quarantine_is_lifted() {
    let mut world = World::stepping();
    let (kind, status) = (SignalKind::Security, SignalStatus::Bad);
    let signal = Signal { kind, version: name("v2"), name: name("scan"), status };
    world.ask(&Command::Signal { service: name("order"), signal }).unwrap();
    world.ask(&Command::Unquarantine { service: name("order"), version: name("v2") }).unwrap();
    assert_eq!(pinnable(&world, "order"), ["v1"]);
}

#[test]
fn a_routing_flag_that_reads_what_no_request_has_is_accepted_with_a_warning() {
    let mut world = World::new();
    let targeting = |attribute: &str, metadata: Value| {
        let rule = json!({"if": [{"==": [{"var": attribute}, "DE"]}, "on", "off"]});
        json!({
            "variants": {"on": "v2", "off": ""}, "defaultVariant": "off", "targeting": rule,
            "metadata": metadata,
        })
    };
    let order = json!({"service": "order"});
    let outcome = world.ask(&set("beta", targeting("country", order.clone()))).unwrap();
    let (flag, attributes) = ("beta".to_owned(), vec!["country".to_owned()]);
    assert_eq!(warnings(outcome), [FlagWarning::AbsentAttributes { flag, attributes }]);
    for definition in [targeting("headers.x-country", order), targeting("country", json!({}))] {
        let outcome = world.ask(&set("beta", definition)).unwrap();
        assert_eq!(warnings(outcome), []);
    }
}
