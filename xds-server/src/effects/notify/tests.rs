//! Receivers on real sockets: dead ones, slow ones, and what a restart tells them.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::*;
use crate::config::{NoticeLevel, ReceiverKind, ReceiverUrl};
use crate::controller::fakes::{World, anne, until};
use crate::effects::fakes::{Fake, Got, HASTE, Mood, outbound};
use tidegate_delivery::fixtures::*;
use tidegate_delivery::model::command::{Command, ReleaseCommand};
use tidegate_delivery::model::group::Member;
use tidegate_delivery::names::Services;
use tidegate_delivery::units::Timestamp;

fn receiver(called: &str, fake: &Fake) -> Receiver {
    Receiver {
        name: name(called),
        kind: ReceiverKind::Webhook,
        url: ReceiverUrl::Plain(fake.url.clone()),
        secret: None,
        level: NoticeLevel::Info,
        services: Services::All,
        template: None,
        quiet: Duration::from_secs(300),
    }
}

fn run(handle: &Handle, data_dir: &Path, receivers: &[Receiver]) -> (Arc<Stats>, JoinHandle<()>) {
    let stats = Arc::<Stats>::default();
    let notifier = Notifier {
        controller: handle.clone(),
        outbound: outbound(),
        // That of the world: nothing is old.
        clock: Clock::new(Timestamp::default),
        pace: HASTE,
        data_dir: data_dir.to_owned(),
        stats: Arc::clone(&stats),
    };
    (stats, tokio::spawn(notifier.run(watch::channel(receivers.to_vec()).1)))
}

/// Waits until a receiver's cursor is on disk: it is told of all that comes.
async fn listening(dir: &Path, receiver: &str) {
    let file = dir.join(DIRECTORY).join(format!("{receiver}.json"));
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn events(got: &[Got]) -> Vec<&str> {
    got.iter().map(|it| it.body["event"].as_str().unwrap()).collect()
}

/// A world where a release stays at 0 %, because a sidecar lags.
fn lagging() -> World {
    let world = World::default();
    world.lag(true);
    world
}

async fn start_and_abort(handle: &Handle, number: u32) {
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    let id = format!("order.{number}");
    handle.submit(verb(&id, ReleaseCommand::Abort), anne()).await.unwrap();
}

#[tokio::test]
async fn each_is_told_what_it_wants_to_know_and_a_dead_one_blocks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (all, some, dead) = (
        Fake::start(&[Mood::Answer(503), Mood::Answer(200)]).await,
        Fake::start(&[Mood::Answer(200)]).await,
        Fake::start(&[Mood::Answer(500)]).await,
    );
    let receivers = [
        receiver("all", &all),
        Receiver {
            level: NoticeLevel::Warning,
            kind: ReceiverKind::Slack,
            template: Some("<!> {{ title }} by {{ actor }}".to_owned()),
            ..receiver("some", &some)
        },
        receiver("dead", &dead),
        Receiver {
            services: Services::Named(std::iter::once(name("product")).collect()),
            ..receiver("other", &dead)
        },
    ];
    let handle = lagging().start();
    let (stats, _task) = run(&handle, dir.path(), &receivers);
    for receiver in &receivers {
        listening(dir.path(), receiver.name.as_str()).await;
    }
    start_and_abort(&handle, 1).await;
    let got = all.calls(3).await;
    assert_eq!(events(&got), ["release_started", "release_started", "rolled_back"]);
    assert_eq!(got[0].key(), got[1].key(), "the same message again");
    assert_eq!(got[2].body["actor"], "anne");
    assert_eq!(got[2].body["level"], "warning");
    let got = some.calls(1).await;
    assert_eq!(
        got[0].body,
        serde_json::json!({"text": "<!> order: release order.1 was rolled back by anne"})
    );
    dead.calls(3).await;
    let counts = stats.of(&name("dead"));
    assert!(counts.failed.load(std::sync::atomic::Ordering::Relaxed) >= 2);
    assert_eq!(counts.sent.load(std::sync::atomic::Ordering::Relaxed), 0);
    let keys: Vec<_> = dead.got().iter().map(|it| it.key().to_owned()).collect();
    assert!(keys.iter().all(|key| key.starts_with("dead/release_started/")), "{keys:?}");
}

#[tokio::test]
async fn a_restart_tells_what_was_missed_and_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(&[Mood::Answer(200)]).await;
    let receivers = [receiver("team", &fake)];
    let world = lagging();
    let handle = world.start();
    // What was before it is not news to a new receiver.
    start_and_abort(&handle, 1).await;
    let (_, task) = run(&handle, dir.path(), &receivers);
    listening(dir.path(), "team").await;
    start_and_abort(&handle, 2).await;
    let got = fake.calls(2).await;
    assert_eq!(got[0].body["release"], "order.2");

    fake.be(Mood::Hang);
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    let under_way = fake.calls(3).await[2].clone();
    task.abort();
    handle.stop().await;

    fake.be(Mood::Answer(200));
    let handle = world.start();
    handle.submit(verb("order.3", ReleaseCommand::Abort), anne()).await.unwrap();
    let (_, _task) = run(&handle, dir.path(), &receivers);
    let got = fake.calls(5).await;
    assert_eq!(got[3].key(), under_way.key(), "at least once, with the same key");
    assert_eq!(events(&got[3..]), ["release_started", "rolled_back"]);
}

#[tokio::test]
async fn a_message_that_is_refused_for_good_is_given_up_and_the_next_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let no = Mood::Answer(400);
    let fake = Fake::start(&[no, no, no, Mood::Answer(200)]).await;
    let receivers = [receiver("team", &fake)];
    let handle = lagging().start();
    let (stats, _task) = run(&handle, dir.path(), &receivers);
    listening(dir.path(), "team").await;
    start_and_abort(&handle, 1).await;
    let got = fake.calls(4).await;
    assert_eq!(events(&got)[3], "rolled_back");
    let counts = stats.of(&name("team"));
    assert_eq!(counts.dropped.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn sidecars_that_refuse_are_told_of_and_so_is_their_recovery() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(&[Mood::Answer(200)]).await;
    let receivers = [Receiver { level: NoticeLevel::Warning, ..receiver("team", &fake) }];
    let world = World::default();
    let handle = world.start();
    let (_, _task) = run(&handle, dir.path(), &receivers);
    listening(dir.path(), "team").await;
    world.nack(true);
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    let got = fake.calls(1).await;
    assert!(got[0].body["text"].as_str().unwrap().contains("edge-2"), "{got:?}");
    world.nack(false);
    until(&handle, |view| {
        view.progress.values().all(|it| it.observation.convergence.refusing == 0)
    })
    .await;
    let got = fake.calls(2).await;
    assert_eq!(got[1].body["recovered"], true);
}

#[tokio::test]
async fn what_is_about_several_services_is_told_to_all() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(&[Mood::Answer(200)]).await;
    let only = Services::Named(std::iter::once(name("product")).collect());
    let receivers = [Receiver { services: only, ..receiver("team", &fake) }];
    let handle = lagging().start();
    let (_, _task) = run(&handle, dir.path(), &receivers);
    listening(dir.path(), "team").await;
    handle.submit(Command::FreezeDeployments(Some(name("order"))), anne()).await.unwrap();
    handle.submit(Command::FreezeDeployments(None), anne()).await.unwrap();
    handle.submit(Command::UnfreezeDeployments(None), anne()).await.unwrap();
    let got = fake.calls(2).await;
    assert_eq!(events(&got), ["deployments_frozen", "deployments_unfrozen"]);
    assert_eq!(got[0].body["title"], "the deployments of all services are frozen");
    assert!(got[0].body["service"].is_null());
}

#[tokio::test]
async fn a_group_is_told_of_when_it_begins_and_each_member_when_it_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(&[Mood::Answer(200)]).await;
    let handle = lagging().start();
    let (_, _task) = run(&handle, dir.path(), &[receiver("team", &fake)]);
    listening(dir.path(), "team").await;
    let member = |service| Member { service: name(service), version: name("v2"), commit: None };
    let members = vec![member("order"), member("product")];
    let (group, plan) = (name("checkout"), Some(canary(&[5, 100])));
    handle.submit(Command::StartGroup { group, members, plan }, anne()).await.unwrap();
    handle.submit(verb("product.1", ReleaseCommand::Rollback), anne()).await.unwrap();
    let got = fake.calls(5).await;
    let began = ["release_started", "release_started", "group_started"];
    assert_eq!(events(&got), [&began[..], &["rolled_back"; 2]].concat());
    assert_eq!(got[2].body["title"], "release group checkout started");
    let text = got[4].body["text"].as_str().unwrap();
    assert!(text.contains("with product.1 of its group"), "{text}");
}
