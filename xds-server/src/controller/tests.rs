//! The controller with its thread, in a simulated environment, with the SQLite journal where it matters.

mod clocks;
mod overruled;
mod requests;
mod restarts;

use std::time::Duration;

use super::fakes::*;
use super::*;
use tidegate_delivery::fixtures::*;
use tidegate_delivery::model::command::{Command, ReleaseCommand};
use tidegate_delivery::model::flag::FlagChange;
use tidegate_delivery::model::release::{Phase, RollbackCause};
use tidegate_delivery::units::Ppm;

const STEP: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

fn has_weight(view: &DeliveryView, percent: u32) -> bool {
    newest(&view.state, "order").weight() == Ppm::percent(percent)
}

/// Starts the release of `order` and waits for its first step.
async fn stepping(handle: &Handle) {
    let outcome = handle.submit(start("order", "v2"), anne()).await.unwrap();
    assert_eq!(outcome.release, Some(name("order.1")));
    until(handle, |view| has_weight(view, 5)).await;
}

fn blockers_of(view: &DeliveryView) -> Vec<String> {
    view.progress["order.1"].blockers.iter().map(tidegate_delivery::text::blocker).collect()
}

#[tokio::test]
async fn a_good_canary_advances_to_completion() {
    let world = World::default();
    let directory = tempfile::tempdir().unwrap();
    let handle = world.start_in(directory.path());
    stepping(&handle).await;
    for percent in [50, 95] {
        world.serve("v2", 10, 0);
        world.pass(STEP);
        until(&handle, |view| has_weight(view, percent)).await;
    }
    world.serve("v2", 10, 0);
    world.pass(STEP * 6);
    until(&handle, |view| {
        view.state.services["order"].stable == name("v2") && view.progress.is_empty()
    })
    .await;

    let v1 = |percent| ("v1".to_owned(), Some(Ppm::percent(percent)));
    let mut published = world.published();
    published.dedup();
    let stable = |version: &str| (version.to_owned(), None);
    assert_eq!(published, [stable("v1"), v1(0), v1(5), v1(50), v1(95), stable("v2")]);
}

#[tokio::test]
async fn a_bad_candidate_is_rolled_back_while_paused() {
    let world = World::default();
    let handle = world.start();
    stepping(&handle).await;
    let pause = verb("order.1", ReleaseCommand::Pause);
    handle.submit(pause, anne()).await.unwrap();
    world.serve("v2", 10, 10);
    let view = until(&handle, |view| has_weight(view, 0)).await;
    let phase = &newest(&view.state, "order").phase;
    assert!(matches!(phase, Phase::RolledBack { cause: RollbackCause::Guardrail { .. }, .. }));
    assert_eq!(world.published().last(), Some(&("v1".to_owned(), None)));
    let actors: Vec<_> = world.records().into_iter().map(|it| it.actor).collect();
    let expected = [
        "configuration",
        "configuration",
        "anne",
        "controller",
        "controller",
        "anne",
        "controller",
    ];
    assert_eq!(actors, expected);
}

#[tokio::test]
async fn failures_over_several_steps_are_detected() {
    let world = World::default();
    let handle = world.start();
    stepping(&handle).await;
    // Nine bad requests are too few for a verdict in either step; eighteen in both are not.
    world.serve("v2", 9, 9);
    let next = verb("order.1", ReleaseCommand::Promote { all: false });
    handle.submit(next, anne()).await.unwrap();
    world.serve("v2", 9, 9);
    until(&handle, |view| has_weight(view, 0)).await;
}

#[tokio::test]
async fn evidence_of_an_earlier_step_does_not_count() {
    let world = World::default();
    let handle = world.start();
    stepping(&handle).await;
    world.serve("v2", 1000, 0);
    world.pass(STEP);
    until(&handle, |view| has_weight(view, 50)).await;
    world.pass(STEP);
    until(&handle, |view| blockers_of(view) == ["requests: 10 more"]).await;
}

#[tokio::test]
async fn a_lagging_sidecar_blocks_the_release() {
    let world = World::default();
    let handle = world.start();
    let lags = ["sidecars: 1 of 2 have it, not yet `edge-2`"];
    world.lag(true);
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    until(&handle, |view| blockers_of(view) == lags).await;
    world.lag(false);
    until(&handle, |view| has_weight(view, 5)).await;

    // Later publications for other reasons are not waited for.
    world.lag(true);
    let set = set_flag("a");
    handle.submit(set, anne()).await.unwrap();
    world.serve("v2", 10, 0);
    world.pass(STEP);
    let view = until(&handle, |view| has_weight(view, 50)).await;
    assert_eq!(blockers_of(&view)[0], lags[0]);
}

#[tokio::test]
async fn counts_from_before_convergence_do_not_advance_a_step() {
    let world = World::default();
    let handle = world.start();
    stepping(&handle).await;
    world.lag(true);
    world.serve("v2", 10, 0);
    world.pass(STEP);
    until(&handle, |view| has_weight(view, 50)).await;
    world.serve("v2", 1000, 0);
    world.pass(STEP);
    until(&handle, |view| view.progress["order.1"].observation.candidate.requests == 1000).await;
    world.lag(false);
    until(&handle, |view| blockers_of(view) == ["time: 10 s more", "requests: 10 more"]).await;
    world.pass(STEP);
    until(&handle, |view| blockers_of(view) == ["requests: 10 more"]).await;
    let kinds: Vec<_> = world.records().iter().map(|it| it.event.event().kind()).collect();
    let step = ["step_entered", "step_converged"];
    assert_eq!(kinds[3..], [step, step].concat());
}

#[tokio::test]
async fn failures_from_before_convergence_cause_a_rollback() {
    let world = World::default();
    let handle = world.start();
    world.lag(false);
    stepping(&handle).await;
    world.lag(true);
    let next = verb("order.1", ReleaseCommand::Promote { all: false });
    handle.submit(next, anne()).await.unwrap();
    // Three failures are not enough, and four are not either.
    world.serve("v2", 3, 3);
    until(&handle, |view| view.progress["order.1"].observation.candidate.requests == 3).await;
    world.lag(false);
    until(&handle, |view| newest(&view.state, "order").converged).await;
    world.serve("v2", 4, 4);
    until(&handle, |view| has_weight(view, 0)).await;
}

#[tokio::test]
async fn a_nack_blocks_the_release_but_not_its_rollback() {
    let world = World::default();
    let handle = world.start();
    stepping(&handle).await;
    world.nack(true);
    world.serve("v2", 10, 0);
    world.pass(STEP);
    let why = "sidecar `edge-2` to accept the route configuration it rejected: no such cluster";
    until(&handle, |view| blockers_of(view) == [why]).await;
    world.serve("v2", 100, 100);
    until(&handle, |view| has_weight(view, 0)).await;
}

#[tokio::test]
async fn states_share_the_flags_that_did_not_change() {
    let world = World::default();
    let handle = world.start();
    let set = set_flag("a");
    handle.submit(set, anne()).await.unwrap();
    let before = Arc::clone(&handle.view().borrow().state);
    stepping(&handle).await;
    let after = Arc::clone(&handle.view().borrow().state);
    assert!(Arc::ptr_eq(&before.flags, &after.flags));
    assert!(Arc::ptr_eq(&before.evaluators, &after.evaluators));
}

#[tokio::test]
async fn a_failed_append_changes_nothing() {
    let world = World::default();
    let handle = world.start();
    stepping(&handle).await;
    let before = Arc::clone(&handle.view().borrow().state);
    let published = world.published();

    world.fill_disk(true);
    let abort = || verb("order.1", ReleaseCommand::Abort);
    let error = handle.submit(abort(), anne()).await.unwrap_err();
    assert!(matches!(error, CommandError::Journal(_)), "{error}");
    world.serve("v2", 10, 10);
    let view = until(&handle, |view| {
        let reason = view.halted.as_ref();
        reason.is_some_and(|it| it.contains("`order.1` must be rolled back") && it.contains("full"))
    })
    .await;
    assert_eq!(view.state, before);
    assert_eq!(world.published(), published);

    world.fill_disk(false);
    let view = until(&handle, |view| has_weight(view, 0)).await;
    assert_eq!(view.halted, None);
}

#[tokio::test]
async fn concurrent_changes_of_flags_lose_none() {
    let world = World::default();
    let handle = world.start();
    let changes = (0..20).map(|number| handle.submit(set_flag(&format!("f{number}")), anne()));
    let switches = (0..20).map(|number| {
        let key = format!("f{number}");
        handle.submit(FlagChange::Switch { key, enabled: false }.into(), anne())
    });
    let all: Vec<_> = futures_util::future::join_all(changes.chain(switches)).await;
    assert!(all.iter().all(Result::is_ok));
    let state = Arc::clone(&handle.view().borrow().state);
    assert_eq!((state.flags.len(), state.flag_revision), (20, 40));
    assert!(state.flags.values().all(|flag| flag["state"] == "DISABLED"));
}
