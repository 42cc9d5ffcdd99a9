//! What a start takes from the journal, and what from the configuration.

use super::*;
use crate::journal::{NewRecord, Sqlite};
use tidegate_delivery::figures::RollbackKind;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::freeze::{FreezeSchedule, FreezeWindow};
use tidegate_delivery::names::Services;
use tidegate_delivery::units::Timestamp;

#[tokio::test]
async fn a_restart_resumes_the_step_without_its_counts() {
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
    assert!(has_weight(&view, 5));
    world.pass(4 * SECOND);
    until(&handle, |view| blockers_of(view) == ["requests: 10 more"]).await;
    world.serve("v2", 10, 0);
    until(&handle, |view| has_weight(view, 50)).await;
}

#[tokio::test]
async fn rollback_counts_survive_a_restart() {
    let world = World::default();
    let directory = tempfile::tempdir().unwrap();
    let handle = world.start_in(directory.path());
    stepping(&handle).await;
    world.serve("v2", 10, 10);
    until(&handle, |view| has_weight(view, 0)).await;
    handle.stop().await;
    let handle = world.start_in(directory.path());
    let figures = Arc::clone(&handle.view().borrow().figures);
    assert_eq!(figures.rollbacks("order").collect::<Vec<_>>(), [(RollbackKind::Guardrail, 1)]);
    assert_eq!(figures.rollbacks("product").count(), 0);
}

#[tokio::test]
async fn a_restart_replays_from_the_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Sqlite::open(directory.path()).unwrap();
    let set = |number| NewRecord {
        at: Timestamp(number),
        actor: "anne".to_owned(),
        reason: None,
        event: Event::FlagSet { key: "f".to_owned(), definition: number.into() },
    };
    journal.append(&(1..=10_000).map(set).collect::<Vec<_>>()).unwrap();
    assert!(journal.unverified_prefix().is_none());
    drop(journal);
    let world = World::default();
    let handle = world.start_in(directory.path());
    let kept = handle.view().borrow().state.flags.clone();
    handle.stop().await;

    // The records before the snapshot are verified in the background only.
    let journal = Sqlite::open(directory.path()).unwrap();
    assert!(journal.unverified_prefix().is_some());
    let handle = spawn(world.parts(Box::new(journal))).unwrap();
    let view = handle.view().borrow().clone();
    assert_eq!(view.seq, 10_002);
    assert_eq!(view.state.flags, kept);
    assert_eq!(view.state.services.len(), 2);
    handle.stop().await;
}

#[tokio::test]
async fn an_unchanged_configuration_is_not_appended() {
    let world = World::default();
    let parts = || Parts {
        flags: Some(serde_json::json!({"flags": {"a": flag()}})),
        ..world.parts(Box::new(world.clone()))
    };
    spawn(parts()).unwrap().stop().await;
    assert_eq!(world.records().len(), 3);
    let handle = spawn(parts()).unwrap();
    assert_eq!(world.records().len(), 3);
    let set = set_flag("b");
    handle.submit(set, anne()).await.unwrap();
    handle.stop().await;
    let handle = spawn(parts()).unwrap();
    assert_eq!(handle.view().borrow().state.flags.len(), 2);
}

#[tokio::test]
async fn a_deleted_initial_flag_stays_deleted_after_a_restart() {
    let world = World::default();
    let parts = || Parts {
        flags: Some(serde_json::json!({"flags": {"a": flag()}})),
        ..world.parts(Box::new(world.clone()))
    };
    let handle = spawn(parts()).unwrap();
    assert_eq!(handle.view().borrow().state.flags.len(), 1);
    handle.submit(FlagChange::Delete { key: "a".to_owned() }.into(), anne()).await.unwrap();
    handle.stop().await;
    let handle = spawn(parts()).unwrap();
    assert!(handle.view().borrow().state.flags.is_empty());
}

/// A file of initial flags may be added while the server runs. It is tried again at each start.
#[tokio::test]
async fn initial_flags_that_do_not_fit_do_not_prevent_a_start() {
    let world = World::default();
    let parts = || Parts {
        flags: Some(serde_json::json!({"flags": {"a": {
            "variants": {"on": "v9"}, "defaultVariant": "on", "metadata": {"service": "order"},
        }}})),
        ..world.parts(Box::new(world.clone()))
    };
    let handle = spawn(parts()).unwrap();
    assert!(handle.view().borrow().state.flags.is_empty());
    let register = Command::RegisterVersion {
        service: name("order"),
        version: name("v9"),
        spec: version(9109, None),
    };
    handle.submit(register, anne()).await.unwrap();
    handle.stop().await;
    let handle = spawn(parts()).unwrap();
    assert_eq!(handle.view().borrow().state.flags.len(), 1);
}

#[tokio::test]
async fn a_start_keeps_the_services_of_a_running_release() {
    let world = World::default();
    let handle = world.start();
    stepping(&handle).await;
    handle.stop().await;
    let records = world.records();
    let parts = Parts { services: vec![product()], ..world.parts(Box::new(world.clone())) };
    let handle = spawn(parts).unwrap();
    let state = Arc::clone(&handle.view().borrow().state);
    assert_eq!(newest(&state, "order").id, name("order.1"));
    let withheld: Vec<_> = state.configuration.as_ref().unwrap().withheld.iter().collect();
    assert_eq!(withheld.len(), 1, "{withheld:?}");
    // The configuration is recorded with what it did not change.
    let new = world.records().split_off(records.len());
    assert!(new.iter().all(|it| it.actor == "configuration"), "{new:?}");
}

#[tokio::test]
async fn an_impossible_journal_is_a_start_error() {
    let mut world = World::default();
    let impossible = NewRecord {
        at: Timestamp(1),
        actor: "anne".to_owned(),
        reason: None,
        event: Event::Completed { id: name("order.1"), version: name("v2"), evidence: None },
    };
    world.append(&[impossible]).unwrap();
    let error = spawn(world.parts(Box::new(world.clone()))).unwrap_err();
    assert!(matches!(error, StartError::Journal(JournalError::Fold { seq: 1, .. })), "{error}");
}

#[tokio::test]
async fn a_freeze_survives_a_restart_and_the_rollback_window_closes() {
    let world = World::default();
    let directory = tempfile::tempdir().unwrap();
    let handle = world.start_in(directory.path());
    stepping(&handle).await;
    handle.submit(Command::FreezeDeployments(None), anne()).await.unwrap();
    handle.stop().await;
    let handle = world.start_in(directory.path());
    let waits = "the freeze by anne to end: friday";
    until(&handle, |view| blockers_of(view).iter().any(|it| it == waits)).await;
    handle.submit(Command::UnfreezeDeployments(None), anne()).await.unwrap();
    for all in [true, false] {
        let promote = verb("order.1", ReleaseCommand::Promote { all });
        handle.submit(promote, anne()).await.unwrap();
    }
    let kept = |view: &DeliveryView| view.state.services["order"].previous == Some(name("v1"));
    until(&handle, |view| kept(view)).await;
    world.pass(Duration::from_secs(8 * 24 * 3600));
    let view = until(&handle, |view| !kept(view)).await;
    assert_eq!(view.state.services["order"].stable, name("v2"));
}

#[tokio::test]
async fn a_freeze_window_is_appended_once_and_ends() {
    let world = World::default();
    let directory = tempfile::tempdir().unwrap();
    let freeze = FreezeWindow {
        name: name("morning"),
        when: FreezeSchedule::Once { start: Timestamp(0), end: Timestamp(60_000) },
        services: Services::All,
    };
    let start_frozen = || {
        let journal = Box::new(crate::journal::Sqlite::open(directory.path()).unwrap());
        spawn(Parts { freeze_windows: vec![freeze.clone()], ..world.parts(journal) }).unwrap()
    };
    let handle = start_frozen();
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    until(&handle, |view| blockers_of(view).iter().any(|it| it.contains("`morning`"))).await;
    handle.stop().await;
    let handle = start_frozen();
    let events = handle.events(0, 100).await.unwrap();
    let applied =
        |it: &&crate::journal::Record| it.event.event().kind() == "freeze_windows_applied";
    assert_eq!(events.iter().filter(applied).count(), 1);
    world.pass(Duration::from_secs(60));
    until(&handle, |view| has_weight(view, 5)).await;
}
