//! A configuration that takes away something that serves traffic.

use crate::fixtures::*;
use crate::model::catalogue::ServiceSpec;
use crate::model::change::ChangeKind;
use crate::model::change::VersionRole;
use crate::model::command::{Command, Refusal, ReleaseCommand};
use crate::model::event::Event;
use crate::model::outcome::Effect;
use crate::model::state::State;
use crate::names::{ServiceName, Services};
use crate::reducer::decide_command;
use crate::units::Timestamp;

/// `order` with v2 as its stable version, and v1 kept for a rollback.
fn released() -> State {
    let mut state = declared();
    let promote = |all| verb("order.1", ReleaseCommand::Promote { all });
    for command in [start("order", "v2"), promote(true), promote(false)] {
        run(&mut state, Timestamp(0), &command).unwrap();
    }
    state
}

fn without(version: &str) -> ServiceSpec {
    let mut spec = order();
    spec.versions.remove(version);
    if version == "v1" {
        spec.stable = name("v2");
    }
    spec
}

fn refused(state: &mut State, command: &Command) -> Vec<(String, Option<VersionRole>)> {
    let Err(Refusal::TakesAway { losses }) = run(state, Timestamp(1), command) else {
        panic!("it is not refused")
    };
    let all = losses.0.into_iter().map(|it| {
        let role = match it.kind {
            ChangeKind::VersionRemoved { role, .. } => role,
            _ => None,
        };
        (it.loss.unwrap().to_string(), role)
    });
    all.collect()
}

#[test]
fn a_version_in_use_is_removed_by_name_only() {
    let before = released();
    let until = before.services["order"].previous_until;
    assert!(until.is_some());
    let stable = ("version:order/v2".to_owned(), Some(VersionRole::Stable));
    let previous = ("version:order/v1".to_owned(), Some(VersionRole::Previous { until }));
    for (services, losses) in [
        (vec![without("v1"), product()], vec![previous]),
        (vec![without("v2"), product()], vec![stable]),
        (vec![product()], vec![("service:order".to_owned(), None)]),
    ] {
        let mut state = before.clone();
        let command = configuration(services, Vec::new());
        assert_eq!(refused(&mut state, &command), losses);
        let other = allowing(command.clone(), &["version:order/v9", "service:product"]);
        assert_eq!(refused(&mut state, &other), losses);
        assert_eq!(state, before);
        let names: Vec<_> = losses.iter().map(|(name, _)| name.as_str()).collect();
        let allowed = allowing(command, &names);
        assert!(run(&mut state, Timestamp(1), &allowed).unwrap().changed);
    }
}

#[test]
fn a_version_is_free_to_go_after_the_rollback_window() {
    let mut state = released();
    let after = state.services["order"].previous_until.unwrap();
    let closed = crate::reducer::close_expired_window(&state.services["order"], after);
    state.apply(after, &closed.unwrap()).unwrap();
    let command = configuration(vec![without("v1"), product()], Vec::new());
    assert!(run(&mut state, after, &command).unwrap().changed);
    assert!(!state.services["order"].spec.versions.contains_key("v1"));
}

#[test]
fn the_refusal_names_each_loss_and_how_to_allow_it() {
    let mut renamed = order();
    renamed.hosts = vec!["ordr.local".parse().unwrap()];
    let command = configuration(vec![renamed], Vec::new());
    let refusal = run(&mut released(), Timestamp(1), &command).unwrap_err().to_string();
    for part in [
        "host `order.local` of `order` is removed (requests for `order.local` get 404)",
        "service `product` is removed",
        "tidegate apply -f FILE --allow service:product --allow host:order.local",
    ] {
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[test]
fn what_was_allowed_is_journaled_and_what_was_not_needed_is_said() {
    let state = released();
    let command = configuration(vec![order()], Vec::new());
    let command = allowing(command, &["service:product", "host:other.local"]);
    let context = command_context("anne", Timestamp(1));
    let (events, outcome) = decide_command(&state, &context, &command).unwrap();
    let Some(Event::ConfigurationApplied { losses, .. }) = events.last() else { panic!() };
    assert_eq!(losses, &[name("service:product")]);
    let Effect::ConfigurationApplied { unused, .. } = outcome.effect else { panic!() };
    assert_eq!(unused, [name("host:other.local")]);
}

#[test]
fn fleets_are_journaled_when_they_change() {
    let mut state = declared();
    let mut command = configuration(vec![order(), product()], Vec::new());
    assert!(!run(&mut state, Timestamp(1), &command).unwrap().changed);
    let edge = || crate::model::mesh::Fleet { name: name("edge"), ..fleet() };
    if let Command::ApplyConfiguration { fleets, .. } = &mut command {
        fleets.push(edge());
    }
    assert!(run(&mut state, Timestamp(1), &command).unwrap().changed);
    assert_eq!(*state.fleets, [fleet(), edge()]);
}

/// The service of a running release is withheld, so it stays in the listeners from which it was removed with it.
#[test]
fn a_withheld_service_stays_in_its_listeners() {
    use crate::model::mesh::{Fleet, Listener, Purpose};

    let select = |command: &mut Command, names: &[&str]| {
        let services = Services::Named(names.iter().map(|it| name::<ServiceName>(it)).collect());
        let address = "127.0.0.1:10000".parse().unwrap();
        let (named, purpose) = ("in".to_owned(), Purpose::Traffic);
        let listener = Listener { name: named, address, services, purpose };
        if let Command::ApplyConfiguration { fleets, .. } = command {
            *fleets = vec![Fleet::new(fleet().name, vec![listener])];
        }
    };
    let mut state = State::default();
    let mut both = configuration(vec![order(), product()], Vec::new());
    select(&mut both, &["order", "product"]);
    run(&mut state, Timestamp(0), &both).unwrap();
    run(&mut state, Timestamp(0), &start("order", "v2")).unwrap();
    let before = state.fleets.clone();
    let mut one = configuration(vec![product()], Vec::new());
    select(&mut one, &["product"]);
    run(&mut state, Timestamp(1), &one).unwrap();
    assert_eq!(state.fleets, before);
    assert_eq!(state.configuration.as_ref().unwrap().withheld.len(), 1);
}
