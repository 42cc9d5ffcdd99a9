//! Hooks on real sockets, and what a crash leaves of them.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::{run, *};
use crate::controller::fakes::{World, anne, until};
use crate::controller::{DeliveryView, Parts, spawn};
use crate::effects::fakes::{Fake, Got, HASTE, Mood, outbound};
use crate::effects::signature;
use tidegate_delivery::fixtures::*;
use tidegate_delivery::model::command::ReleaseCommand;
use tidegate_delivery::model::hook::{CallEnd, Hook, SecretRef};
use tidegate_delivery::model::release::Phase;

fn hook(fake: &Fake, on: Moment) -> Hook {
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
    let runner = tokio::spawn(run(handle.clone(), outbound(), HASTE));
    (handle, runner)
}

/// Everything to the candidate.
async fn switch(handle: &Handle) {
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    handle.submit(verb("order.1", ReleaseCommand::Promote { all: true }), anne()).await.unwrap();
}

fn end(view: &DeliveryView) -> &CallEnd {
    &newest(&view.state, "order").calls[0].end
}

#[tokio::test]
async fn is_told_what_happened_signed_and_again_until_it_answers_well() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let fake = Fake::start(&[Mood::Answer(503), Mood::Answer(302), Mood::Answer(204)]).await;
    let world = World::default();
    let hook = Hook { secret: Some(SecretRef::File(secret)), ..hook(&fake, Moment::Switched) };
    let (handle, _runner) = start_world(&world, hook);
    switch(&handle).await;
    let view = until(&handle, |view| *end(view) != CallEnd::Due).await;
    assert!(matches!(end(&view), CallEnd::Succeeded { attempts: 3, .. }), "{view:?}");
    let calls = fake.got();
    assert_eq!(calls.len(), 3);
    for call in &calls {
        assert_eq!(call.key(), "order.1/update-cache");
        let told = serde_json::json!({
            "hook": "update-cache", "on": "switched", "service": "order", "release": "order.1",
            "from": "v1", "to": "v2", "at": call.body["at"],
        });
        assert_eq!(call.body, told);
        let header = call.header("tidegate-signature");
        let seconds: u64 = header.split(['=', ',']).nth(1).unwrap().parse().unwrap();
        let ours = signature::sign("s3cret", Timestamp(seconds * 1000), call.bytes.as_bytes());
        assert_eq!(header, ours);
    }
    let journal = serde_json::to_string(&world.records()).unwrap();
    assert!(journal.contains("hook_succeeded") && !journal.contains("s3cret"), "{journal}");
}

#[tokio::test]
async fn one_that_fails_is_given_up_and_moves_no_traffic() {
    let fake = Fake::start(&[Mood::Answer(500)]).await;
    let world = World::default();
    let (handle, _runner) = start_world(&world, hook(&fake, Moment::Switched));
    switch(&handle).await;
    let view = until(&handle, |view| *end(view) != CallEnd::Due).await;
    let CallEnd::Failed { attempts: 4, error, .. } = end(&view) else { panic!("{view:?}") };
    assert!(error.contains("500"), "{error}");
    assert_eq!(fake.got().len(), 4);
    assert!(matches!(newest(&view.state, "order").phase, Phase::Watching { .. }));
}

#[tokio::test]
async fn without_its_secret_nothing_is_sent() {
    let fake = Fake::start(&[Mood::Answer(200)]).await;
    let world = World::default();
    let unset = SecretRef::Env("TIDEGATE_TEST_IS_NOT_SET".to_owned());
    let hook = Hook { secret: Some(unset), ..hook(&fake, Moment::Started) };
    let (handle, _runner) = start_world(&world, hook);
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    let view = until(&handle, |view| {
        view.state.services["order"].release.is_some() && *end(view) != CallEnd::Due
    })
    .await;
    let CallEnd::Failed { error, .. } = end(&view) else { panic!("{view:?}") };
    assert!(error.contains("TIDEGATE_TEST_IS_NOT_SET"), "{error}");
    assert_eq!(fake.got(), []);
}

#[tokio::test]
async fn a_restart_tells_again_with_the_same_key_what_was_under_way() {
    let fake = Fake::start(&[Mood::Hang]).await;
    let world = World::default();
    let (handle, runner) = start_world(&world, hook(&fake, Moment::Switched));
    switch(&handle).await;
    fake.calls(1).await;
    runner.abort();
    handle.stop().await;

    fake.be(Mood::Answer(200));
    let (handle, _runner) = start_world(&world, hook(&fake, Moment::Switched));
    until(&handle, |view| matches!(end(view), CallEnd::Succeeded { .. })).await;
    let keys: Vec<_> = fake.got().iter().map(|call| call.key().to_owned()).collect();
    assert_eq!(keys, ["order.1/update-cache"; 2]);
}

#[tokio::test]
async fn what_was_answered_and_not_journaled_is_told_again() {
    let fake = Fake::start(&[Mood::Hang]).await;
    let world = World::default();
    let quick =
        Hook { timeout: Duration::from_millis(50), retries: 20, ..hook(&fake, Moment::Switched) };
    let (handle, runner) = start_world(&world, quick.clone());
    switch(&handle).await;
    fake.calls(1).await;
    world.fill_disk(true);
    fake.be(Mood::Answer(200));
    until(&handle, |view| view.halted.is_some()).await;
    runner.abort();
    handle.stop().await;
    let before = fake.got().len();

    world.fill_disk(false);
    let (handle, _runner) = start_world(&world, quick);
    until(&handle, |view| matches!(end(view), CallEnd::Succeeded { .. })).await;
    let calls = fake.got();
    assert_eq!(calls.len(), before + 1);
    assert!(calls.iter().all(|call| call.key() == "order.1/update-cache"));
}

#[tokio::test]
async fn what_an_earlier_release_has_to_tell_outlives_it() {
    let fake = Fake::start(&[Mood::Hang]).await;
    let world = World::default();
    let (handle, _runner) = start_world(&world, hook(&fake, Moment::RolledBack));
    switch(&handle).await;
    handle.submit(verb("order.1", ReleaseCommand::Rollback), anne()).await.unwrap();
    fake.calls(1).await;
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    handle.submit(verb("order.2", ReleaseCommand::Abort), anne()).await.unwrap();
    let calls = fake.calls(2).await;
    let keys: Vec<_> = calls.iter().map(Got::key).collect();
    assert_eq!(keys, ["order.1/update-cache", "order.2/update-cache"]);
    assert_eq!(calls[0].body["from"], "v2");
    assert_eq!(calls[0].body["to"], "v1");
    let view = handle.view().borrow().clone();
    assert_eq!(view.state.services["order"].due_calls().count(), 2);
}
