//! The controller as a whole, in a world of fakes, with the real journal where it matters.

mod asking;

use std::time::Duration;

use super::fakes::*;
use super::*;
use crate::journal::{Head, NewRecord, Sqlite};
use tidegate_delivery::fixtures::*;
use tidegate_delivery::model::command::{Command, Refusal, ReleaseCommand};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::freeze::{FreezeWindow, Window};
use tidegate_delivery::model::release::{Phase, RollbackCause};
use tidegate_delivery::names::Services;
use tidegate_delivery::units::{Ppm, Timestamp};

const STEP: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

fn weighs(view: &View, percent: u32) -> bool {
    newest(&view.state, "order").weight() == Ppm::percent(percent)
}

/// Starts the release of `order` and waits for its first step.
async fn stepping(handle: &Handle) {
    let outcome = handle.submit(start("order", "v2"), anne()).await.unwrap();
    assert_eq!(outcome.release, Some(name("order.1")));
    until(handle, |view| weighs(view, 5)).await;
}

fn waits_for(view: &View) -> Vec<String> {
    view.progress["order.1"].blockers.iter().map(tidegate_delivery::text::blocker).collect()
}

#[tokio::test]
async fn a_good_canary_climbs_by_itself() {
    let world = World::default();
    let directory = tempfile::tempdir().unwrap();
    let handle = world.start_in(directory.path());
    stepping(&handle).await;
    for percent in [50, 100] {
        world.serve("v2", 10, 0);
        world.pass(STEP);
        until(&handle, |view| weighs(view, percent)).await;
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
    assert_eq!(published, [stable("v1"), v1(0), v1(5), v1(50), v1(100), stable("v2")]);
}

#[tokio::test]
async fn a_bad_candidate_is_put_back_even_when_it_is_held() {
    let world = World::default();
    let handle = world.start();
    stepping(&handle).await;
    let pause = verb("order.1", ReleaseCommand::Pause);
    handle.submit(pause, anne()).await.unwrap();
    world.serve("v2", 10, 10);
    let view = until(&handle, |view| weighs(view, 0)).await;
    let phase = &newest(&view.state, "order").phase;
    assert!(matches!(phase, Phase::RolledBack { cause: RollbackCause::Guardrail { .. }, .. }));
    assert_eq!(world.published().last(), Some(&("v1".to_owned(), None)));
    let actors: Vec<_> = world.records().into_iter().map(|it| it.actor).collect();
    let who = [
        "configuration",
        "configuration",
        "anne",
        "controller",
        "controller",
        "anne",
        "controller",
    ];
    assert_eq!(actors, who);
}

#[tokio::test]
async fn what_no_single_step_shows_the_whole_release_does() {
    let world = World::default();
    let handle = world.start();
    stepping(&handle).await;
    // Nine bad requests are too few for a verdict in either step; eighteen in both are not.
    world.serve("v2", 9, 9);
    let next = verb("order.1", ReleaseCommand::Promote { all: false });
    handle.submit(next, anne()).await.unwrap();
    world.serve("v2", 9, 9);
    until(&handle, |view| weighs(view, 0)).await;
}

#[tokio::test]
async fn an_early_step_is_no_evidence_for_a_later_one() {
    let world = World::default();
    let handle = world.start();
    stepping(&handle).await;
    world.serve("v2", 1000, 0);
    world.pass(STEP);
    until(&handle, |view| weighs(view, 50)).await;
    world.pass(STEP);
    until(&handle, |view| waits_for(view) == ["requests: 10 more"]).await;
}

#[tokio::test]
async fn a_sidecar_that_lags_holds_the_release() {
    let world = World::default();
    let handle = world.start();
    let lags = ["sidecars: 1 of 2 have it, not yet `edge-2`"];
    world.lag(true);
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    until(&handle, |view| waits_for(view) == lags).await;
    world.lag(false);
    until(&handle, |view| weighs(view, 5)).await;

    // What was published for others is nothing to wait for.
    world.lag(true);
    let set = Command::SetFlag { key: "a".to_owned(), definition: serde_json::json!({}) };
    handle.submit(set, anne()).await.unwrap();
    world.serve("v2", 10, 0);
    world.pass(STEP);
    let view = until(&handle, |view| weighs(view, 50)).await;
    assert_eq!(waits_for(&view)[0], lags[0]);
}

#[tokio::test]
async fn what_was_counted_before_the_sidecars_have_a_step_lets_nothing_go_on() {
    let world = World::default();
    let handle = world.start();
    stepping(&handle).await;
    world.lag(true);
    world.serve("v2", 10, 0);
    world.pass(STEP);
    until(&handle, |view| weighs(view, 50)).await;
    world.serve("v2", 1000, 0);
    world.pass(STEP);
    until(&handle, |view| view.progress["order.1"].observation.candidate.requests == 1000).await;
    world.lag(false);
    until(&handle, |view| waits_for(view) == ["time: 10 s more", "requests: 10 more"]).await;
    world.pass(STEP);
    until(&handle, |view| waits_for(view) == ["requests: 10 more"]).await;
    let kinds: Vec<_> = world.records().iter().map(|it| it.event.event().kind()).collect();
    let step = ["step_entered", "step_converged"];
    assert_eq!(kinds[3..], [step, step].concat());
}

#[tokio::test]
async fn what_was_bad_before_the_sidecars_have_a_step_puts_it_back() {
    let world = World::default();
    let handle = world.start();
    world.lag(false);
    stepping(&handle).await;
    world.lag(true);
    let next = verb("order.1", ReleaseCommand::Promote { all: false });
    handle.submit(next, anne()).await.unwrap();
    world.serve("v2", 9, 9);
    until(&handle, |view| view.progress["order.1"].observation.candidate.requests == 9).await;
    world.lag(false);
    until(&handle, |view| newest(&view.state, "order").converged).await;
    world.serve("v2", 9, 9);
    until(&handle, |view| weighs(view, 0)).await;
}

#[tokio::test]
async fn a_sidecar_that_refuses_holds_the_release_but_not_its_rollback() {
    let world = World::default();
    let handle = world.start();
    stepping(&handle).await;
    world.refuse(true);
    world.serve("v2", 10, 0);
    world.pass(STEP);
    let why = "sidecar `edge-2` to accept the route configuration it rejected: no such cluster";
    until(&handle, |view| waits_for(view) == [why]).await;
    world.serve("v2", 100, 100);
    until(&handle, |view| weighs(view, 0)).await;
}

#[tokio::test]
async fn a_restart_goes_on_in_mid_step_and_counts_anew() {
    let world = World::default();
    let directory = tempfile::tempdir().unwrap();
    let handle = world.start_in(directory.path());
    stepping(&handle).await;
    world.serve("v2", 1000, 0);
    world.pass(6 * SECOND);
    handle.stop().await;
    let before = Arc::clone(&handle.view().borrow());

    let handle = world.start_in(directory.path());
    let view = Arc::clone(&handle.view().borrow());
    assert_eq!(view.state, before.state);
    assert_eq!(view.seq, before.seq);
    assert!(weighs(&view, 5));
    world.pass(4 * SECOND);
    until(&handle, |view| waits_for(view) == ["requests: 10 more"]).await;
    world.serve("v2", 10, 0);
    until(&handle, |view| weighs(view, 50)).await;
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_confuse_a_restart() {
    let world = World::default();
    world.pass(100 * SECOND);
    let handle = world.start();
    stepping(&handle).await;
    handle.stop().await;
    let earlier = Clock::new(|| Timestamp(0));
    let handle = spawn(Parts { clock: earlier, ..world.parts(Box::new(world.clone())) }).unwrap();
    let pause = verb("order.1", ReleaseCommand::Pause);
    handle.submit(pause, anne()).await.unwrap();
    assert_eq!(world.records().last().unwrap().at, Timestamp(100_000));
}

#[tokio::test]
async fn a_long_journal_is_not_replayed_twice() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Sqlite::open(directory.path()).unwrap();
    let set = |number| NewRecord {
        at: Timestamp(number),
        actor: "anne".to_owned(),
        reason: None,
        event: Event::FlagSet { key: "f".to_owned(), definition: number.into() },
    };
    journal.append(&(1..=10_000).map(set).collect::<Vec<_>>()).unwrap();
    assert!(journal.trusted().is_none());
    drop(journal);
    let world = World::default();
    let handle = world.start_in(directory.path());
    let kept = handle.view().borrow().state.flags.clone();
    handle.stop().await;

    // Its past is not looked at any more, but at leisure.
    let journal = Sqlite::open(directory.path()).unwrap();
    assert!(journal.trusted().is_some());
    let handle = spawn(world.parts(Box::new(journal))).unwrap();
    let view = handle.view().borrow().clone();
    assert_eq!(view.seq, 10_002);
    assert_eq!(view.state.flags, kept);
    assert_eq!(view.state.services.len(), 2);
    handle.stop().await;
}

#[tokio::test]
async fn what_cannot_be_written_did_not_happen() {
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
        reason.is_some_and(|it| it.contains("`order.1` must go back") && it.contains("full"))
    })
    .await;
    assert_eq!(view.state, before);
    assert_eq!(world.published(), published);

    world.fill_disk(false);
    let view = until(&handle, |view| weighs(view, 0)).await;
    assert_eq!(view.halted, None);
}

#[tokio::test]
async fn the_same_configuration_is_not_written_twice() {
    let world = World::default();
    let parts = || Parts {
        flags: Some(serde_json::json!({"flags": {"a": {}}})),
        ..world.parts(Box::new(world.clone()))
    };
    spawn(parts()).unwrap().stop().await;
    assert_eq!(world.records().len(), 3);
    let handle = spawn(parts()).unwrap();
    assert_eq!(world.records().len(), 3);
    let set = Command::SetFlag { key: "b".to_owned(), definition: serde_json::json!({}) };
    handle.submit(set, anne()).await.unwrap();
    handle.stop().await;
    let handle = spawn(parts()).unwrap();
    assert_eq!(handle.view().borrow().state.flags.len(), 2);
}

#[tokio::test]
async fn a_start_leaves_aside_what_does_not_go_with_what_runs() {
    let world = World::default();
    let handle = world.start();
    stepping(&handle).await;
    handle.stop().await;
    let records = world.records();
    let parts = Parts { services: vec![product()], ..world.parts(Box::new(world.clone())) };
    let handle = spawn(parts).unwrap();
    assert_eq!(newest(&handle.view().borrow().state, "order").id, name("order.1"));
    assert_eq!(world.records(), records);
}

#[tokio::test]
async fn a_journal_of_what_cannot_have_happened_stops_the_server() {
    let mut world = World::default();
    let impossible = NewRecord {
        at: Timestamp(1),
        actor: "anne".to_owned(),
        reason: None,
        event: Event::Completed { id: name("order.1"), evidence: None },
    };
    world.append(&[impossible]).unwrap();
    let error = spawn(world.parts(Box::new(world.clone()))).unwrap_err();
    assert!(matches!(error, StartError::Journal(JournalError::Misfit { seq: 1, .. })), "{error}");
}

#[tokio::test]
async fn what_holds_releases_outlives_a_crash_and_a_window_closes_by_itself() {
    let world = World::default();
    let directory = tempfile::tempdir().unwrap();
    let handle = world.start_in(directory.path());
    stepping(&handle).await;
    handle.submit(Command::FreezeDeployments(None), anne()).await.unwrap();
    handle.stop().await;
    let handle = world.start_in(directory.path());
    let waits = "the freeze by anne to end: friday";
    until(&handle, |view| waits_for(view).iter().any(|it| it == waits)).await;
    handle.submit(Command::UnfreezeDeployments(None), anne()).await.unwrap();
    for all in [true, false] {
        let promote = verb("order.1", ReleaseCommand::Promote { all });
        handle.submit(promote, anne()).await.unwrap();
    }
    let kept = |view: &View| view.state.services["order"].previous == Some(name("v1"));
    until(&handle, |view| kept(view)).await;
    world.pass(Duration::from_secs(8 * 24 * 3600));
    let view = until(&handle, |view| !kept(view)).await;
    assert_eq!(view.state.services["order"].stable, name("v2"));
}

#[tokio::test]
async fn a_freeze_of_the_configuration_is_written_once_and_ends_by_itself() {
    let world = World::default();
    let directory = tempfile::tempdir().unwrap();
    let freeze = FreezeWindow {
        name: name("morning"),
        when: Window::Once { start: Timestamp(0), end: Timestamp(60_000) },
        services: Services::All,
    };
    let start_frozen = || {
        let journal = Box::new(crate::journal::Sqlite::open(directory.path()).unwrap());
        spawn(Parts { freeze_windows: vec![freeze.clone()], ..world.parts(journal) }).unwrap()
    };
    let handle = start_frozen();
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    until(&handle, |view| waits_for(view).iter().any(|it| it.contains("`morning`"))).await;
    handle.stop().await;
    let handle = start_frozen();
    let events = handle.events(0, 100).await.unwrap();
    let applied =
        |it: &&crate::journal::Record| it.event.event().kind() == "freeze_windows_applied";
    assert_eq!(events.iter().filter(applied).count(), 1);
    world.pass(Duration::from_secs(60));
    until(&handle, |view| weighs(view, 5)).await;
}
