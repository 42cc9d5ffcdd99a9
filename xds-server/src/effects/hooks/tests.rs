//! Hook calls over local sockets, through restarts and failures of the task.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::{run, *};
use crate::controller::fakes::{World, anne, until};
use crate::controller::{DeliveryView, Parts, spawn};
use crate::effects::fakes::{
    Behavior, FAST, FakeReceiver, ReceivedRequest, clock_that_panics_once, webhooks,
};
use crate::effects::signature;
use tidegate_delivery::fixtures::*;
use tidegate_delivery::model::command::ReleaseCommand;
use tidegate_delivery::model::hook::{CallState, Hook, SecretRef};
use tidegate_delivery::model::release::Phase;

fn hook(fake: &FakeReceiver, on: Moment) -> Hook {
    Hook {
        name: name("update-cache"),
        on,
        url: fake.url.clone(),
        timeout: Duration::from_secs(600),
        retries: 3,
        secret: None,
        blocking: false,
    }
}

fn start_world(world: &World, hook: Hook) -> (Handle, JoinHandle<()>) {
    let mut spec = order();
    spec.hooks = vec![hook];
    let services = vec![spec, product()];
    let parts = Parts { services, ..world.parts(Box::new(world.clone())) };
    let handle = spawn(parts).unwrap();
    let task = tokio::spawn(run(handle.clone(), webhooks(), FAST, Supervisor::default()));
    (handle, task)
}

/// Moves all traffic to the candidate.
async fn switch(handle: &Handle) {
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    handle.submit(verb("order.1", ReleaseCommand::Promote { all: true }), anne()).await.unwrap();
}

fn end(view: &DeliveryView) -> &CallState {
    &newest(&view.state, "order").calls[0].end
}

fn key(view: &DeliveryView) -> String {
    newest(&view.state, "order").calls[0].key()
}

#[tokio::test]
async fn a_call_is_signed_and_repeated_until_it_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let fake = FakeReceiver::start(&[
        Behavior::Respond(503),
        Behavior::Respond(302),
        Behavior::Respond(204),
    ])
    .await;
    let world = World::default();
    let hook = Hook { secret: Some(SecretRef::File(secret)), ..hook(&fake, Moment::Switched) };
    let (handle, _task) = start_world(&world, hook);
    switch(&handle).await;
    let view = until(&handle, |view| *end(view) != CallState::Due).await;
    assert!(matches!(end(&view), CallState::Succeeded { attempts: 3, .. }), "{view:?}");
    let calls = fake.received();
    assert_eq!(calls.len(), 3);
    for call in &calls {
        assert_eq!(call.key(), key(&view));
        let expected = serde_json::json!({
            "hook": "update-cache", "on": "switched", "service": "order", "release": "order.1",
            "from": "v1", "to": "v2", "at": call.body["at"],
        });
        assert_eq!(call.body, expected);
        let header = call.header("tidegate-signature");
        let seconds: u64 = header.split(['=', ',']).nth(1).unwrap().parse().unwrap();
        let expected = signature::sign("s3cret", Timestamp(seconds * 1000), call.bytes.as_bytes());
        assert_eq!(header, expected);
    }
    let journal = serde_json::to_string(&world.records()).unwrap();
    assert!(journal.contains("hook_succeeded") && !journal.contains("s3cret"), "{journal}");
}

#[tokio::test]
async fn a_call_fails_after_its_retries_and_moves_no_traffic() {
    let fake = FakeReceiver::start(&[Behavior::Respond(500)]).await;
    let world = World::default();
    let (handle, _task) = start_world(&world, hook(&fake, Moment::Switched));
    switch(&handle).await;
    let view = until(&handle, |view| *end(view) != CallState::Due).await;
    let CallState::Failed { attempts: 4, error, .. } = end(&view) else { panic!("{view:?}") };
    assert!(error.contains("500"), "{error}");
    assert_eq!(fake.received().len(), 4);
    assert!(matches!(newest(&view.state, "order").phase, Phase::Watching { .. }));
}

#[tokio::test]
async fn a_call_without_its_secret_is_not_sent() {
    let fake = FakeReceiver::start(&[Behavior::Respond(200)]).await;
    let world = World::default();
    let unset = SecretRef::Env("TIDEGATE_TEST_IS_NOT_SET".to_owned());
    let hook = Hook { secret: Some(unset), ..hook(&fake, Moment::Started) };
    let (handle, _task) = start_world(&world, hook);
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    let view = until(&handle, |view| {
        view.state.services["order"].release.is_some() && *end(view) != CallState::Due
    })
    .await;
    let CallState::Failed { error, .. } = end(&view) else { panic!("{view:?}") };
    assert!(error.contains("TIDEGATE_TEST_IS_NOT_SET"), "{error}");
    assert_eq!(fake.received(), []);
}

#[tokio::test]
async fn a_restart_repeats_the_call_in_flight_with_the_same_key() {
    let fake = FakeReceiver::start(&[Behavior::Hang]).await;
    let world = World::default();
    let (handle, task) = start_world(&world, hook(&fake, Moment::Switched));
    switch(&handle).await;
    fake.requests(1).await;
    task.abort();
    handle.stop().await;

    fake.set(Behavior::Respond(200));
    let (handle, _task) = start_world(&world, hook(&fake, Moment::Switched));
    let view = until(&handle, |view| matches!(end(view), CallState::Succeeded { .. })).await;
    let keys: Vec<_> = fake.received().iter().map(|call| call.key().to_owned()).collect();
    assert_eq!(keys, [key(&view), key(&view)]);
}

#[tokio::test]
async fn a_success_that_was_not_journaled_is_repeated() {
    let fake = FakeReceiver::start(&[Behavior::Hang]).await;
    let world = World::default();
    let quick =
        Hook { timeout: Duration::from_millis(50), retries: 20, ..hook(&fake, Moment::Switched) };
    let (handle, task) = start_world(&world, quick.clone());
    switch(&handle).await;
    fake.requests(1).await;
    world.fill_disk(true);
    fake.set(Behavior::Respond(200));
    until(&handle, |view| view.halted.is_some()).await;
    task.abort();
    handle.stop().await;
    let before = fake.received().len();

    world.fill_disk(false);
    let (handle, _task) = start_world(&world, quick);
    let view = until(&handle, |view| matches!(end(view), CallState::Succeeded { .. })).await;
    let calls = fake.received();
    assert_eq!(calls.len(), before + 1);
    assert!(calls.iter().all(|call| call.key() == key(&view)));
}

#[tokio::test]
async fn due_calls_of_an_earlier_release_are_still_made() {
    let fake = FakeReceiver::start(&[Behavior::Hang]).await;
    let world = World::default();
    let (handle, _task) = start_world(&world, hook(&fake, Moment::RolledBack));
    switch(&handle).await;
    handle.submit(verb("order.1", ReleaseCommand::Rollback), anne()).await.unwrap();
    fake.requests(1).await;
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    handle.submit(verb("order.2", ReleaseCommand::Abort), anne()).await.unwrap();
    let calls = fake.requests(2).await;
    let view = handle.view().borrow().clone();
    let expected: Vec<_> =
        view.state.services["order"].due_calls().map(|call| call.key()).collect();
    let keys: Vec<_> = calls.iter().map(ReceivedRequest::key).collect();
    assert_eq!(keys, expected);
    assert_eq!(calls[1].body["release"], "order.2");
    assert_eq!(calls[0].body["from"], "v2");
    assert_eq!(calls[0].body["to"], "v1");
}

#[tokio::test]
async fn a_panic_while_calling_a_hook_is_counted_and_the_call_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let fake = FakeReceiver::start(&[Behavior::Respond(200)]).await;
    let mut spec = order();
    spec.hooks =
        vec![Hook { secret: Some(SecretRef::File(secret)), ..hook(&fake, Moment::Started) }];
    let world = World::default();
    let services = vec![spec, product()];
    let handle = spawn(Parts { services, ..world.parts(Box::new(world.clone())) }).unwrap();
    let supervisor = Supervisor::new(FAST);
    // The clock is read to sign the call.
    let webhooks = WebhookClient::new(clock_that_panics_once()).unwrap();
    let _task = tokio::spawn(run(handle.clone(), webhooks, FAST, supervisor.clone()));
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    until(&handle, |view| matches!(end(view), CallState::Succeeded { .. })).await;
    assert_eq!(supervisor.restarts(Task::Hooks), 1);
    assert_eq!(fake.received().len(), 1);
}
