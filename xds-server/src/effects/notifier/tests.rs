//! Delivery over local sockets: failing receivers, restarts, and failures of the task.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::*;
use crate::config::ReceiverUrl;
use crate::controller::fakes::{World, anne, until};
use crate::effects::fakes::{
    Behavior, FAST, FakeReceiver, ReceivedRequest, clock_that_panics_once, webhooks,
};
use crate::notifications::{NotificationLevel, PayloadFormat};
use tidegate_delivery::fixtures::*;
use tidegate_delivery::model::command::{Command, ReleaseCommand};
use tidegate_delivery::model::group::Member;
use tidegate_delivery::model::hook::SecretRef;
use tidegate_delivery::names::Services;
use tidegate_delivery::units::Timestamp;

fn receiver(called: &str, fake: &FakeReceiver) -> Receiver {
    Receiver {
        name: name(called),
        format: PayloadFormat::Webhook,
        url: ReceiverUrl::Plain(fake.url.clone()),
        secret: None,
        token: None,
        level: NotificationLevel::Info,
        services: Services::All,
        template: None,
        quiet: Duration::from_secs(300),
    }
}

fn notifier(handle: &Handle, data_dir: &Path) -> Notifier {
    Notifier {
        controller: handle.clone(),
        webhooks: webhooks(),
        // The clock of the world: no notification is too old.
        clock: Clock::new(Timestamp::default),
        backoff: FAST,
        data_dir: data_dir.to_owned(),
        stats: Arc::default(),
        supervisor: Supervisor::new(FAST),
    }
}

fn run(
    handle: &Handle,
    data_dir: &Path,
    receivers: &[Receiver],
) -> (Arc<DeliveryStats>, JoinHandle<()>) {
    let notifier = notifier(handle, data_dir);
    let stats = Arc::clone(&notifier.stats);
    (stats, tokio::spawn(notifier.run(watch::channel(receivers.to_vec()).1)))
}

/// Waits until a receiver's delivery state is on disk: later records are delivered.
async fn started(dir: &Path, receiver: &str) {
    let file = dir.join(DIRECTORY).join(format!("{receiver}.json"));
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn events(requests: &[ReceivedRequest]) -> Vec<&str> {
    requests.iter().map(|it| it.body["event"].as_str().unwrap()).collect()
}

/// A world in which a sidecar does not ACK, so a release stays at 0 %.
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
async fn each_receiver_gets_its_notifications_and_a_failing_one_delays_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (all, some, dead) = (
        FakeReceiver::start(&[Behavior::Respond(503), Behavior::Respond(200)]).await,
        FakeReceiver::start(&[Behavior::Respond(200)]).await,
        FakeReceiver::start(&[Behavior::Respond(500)]).await,
    );
    let receivers = [
        receiver("all", &all),
        Receiver {
            level: NotificationLevel::Warning,
            format: PayloadFormat::Slack,
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
        started(dir.path(), receiver.name.as_str()).await;
    }
    start_and_abort(&handle, 1).await;
    let got = all.requests(3).await;
    assert_eq!(events(&got), ["release_started", "release_started", "rolled_back"]);
    assert_eq!(got[0].key(), got[1].key(), "a retry has the same key");
    assert_eq!(got[2].body["actor"], "anne");
    assert_eq!(got[2].body["level"], "warning");
    let got = some.requests(1).await;
    assert_eq!(
        got[0].body,
        serde_json::json!({"text": "<!> order: release order.1 was rolled back by anne"})
    );
    dead.requests(3).await;
    let counts = stats.of(&name("dead"));
    assert!(counts.failed.load(std::sync::atomic::Ordering::Relaxed) >= 2);
    assert_eq!(counts.sent.load(std::sync::atomic::Ordering::Relaxed), 0);
    let keys: Vec<_> = dead.received().iter().map(|it| it.key().to_owned()).collect();
    assert!(keys.iter().all(|key| key.starts_with("dead/release_started/")), "{keys:?}");
}

/// PagerDuty's routing key is part of the body, and both are read for each delivery.
#[tokio::test]
async fn a_receiver_gets_the_token_of_its_format() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "t0ken\n").unwrap();
    let fakes = (
        FakeReceiver::start(&[Behavior::Respond(202)]).await,
        FakeReceiver::start(&[Behavior::Respond(200)]).await,
    );
    let with_token = |called, fake, format| Receiver {
        format,
        token: Some(SecretRef::File(path.clone())),
        ..receiver(called, fake)
    };
    let receivers = [
        with_token("on-call", &fakes.0, PayloadFormat::PagerDuty),
        with_token("annotations", &fakes.1, PayloadFormat::Grafana),
    ];
    let handle = lagging().start();
    let (_, _task) = run(&handle, dir.path(), &receivers);
    for receiver in &receivers {
        started(dir.path(), receiver.name.as_str()).await;
    }
    start_and_abort(&handle, 1).await;
    let got = &fakes.0.requests(1).await[0];
    assert_eq!((&got.body["routing_key"], got.header("authorization")), (&"t0ken".into(), ""));
    let got = &fakes.1.requests(1).await[0];
    assert_eq!(got.header("authorization"), "Bearer t0ken");
    assert_eq!(got.body["tags"][1], "release_started");
}

#[tokio::test]
async fn a_restart_continues_at_the_stored_position() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeReceiver::start(&[Behavior::Respond(200)]).await;
    let receivers = [receiver("team", &fake)];
    let world = lagging();
    let handle = world.start();
    // Records from before a receiver was configured are not delivered.
    start_and_abort(&handle, 1).await;
    let (_, task) = run(&handle, dir.path(), &receivers);
    started(dir.path(), "team").await;
    start_and_abort(&handle, 2).await;
    let got = fake.requests(2).await;
    assert_eq!(got[0].body["release"], "order.2");

    fake.set(Behavior::Hang);
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    let in_flight = fake.requests(3).await[2].clone();
    task.abort();
    handle.stop().await;

    fake.set(Behavior::Respond(200));
    let handle = world.start();
    handle.submit(verb("order.3", ReleaseCommand::Abort), anne()).await.unwrap();
    let (_, _task) = run(&handle, dir.path(), &receivers);
    let got = fake.requests(5).await;
    assert_eq!(got[3].key(), in_flight.key(), "at least once, with the same key");
    assert_eq!(events(&got[3..]), ["release_started", "rolled_back"]);
}

#[tokio::test]
async fn a_permanently_rejected_notification_is_dropped_and_the_next_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let reject = Behavior::Respond(400);
    let fake = FakeReceiver::start(&[reject, reject, reject, Behavior::Respond(200)]).await;
    let receivers = [receiver("team", &fake)];
    let handle = lagging().start();
    let (stats, _task) = run(&handle, dir.path(), &receivers);
    started(dir.path(), "team").await;
    start_and_abort(&handle, 1).await;
    let got = fake.requests(4).await;
    assert_eq!(events(&got)[3], "rolled_back");
    let counts = stats.of(&name("team"));
    assert_eq!(counts.dropped.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn nacks_and_their_recovery_are_notified() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeReceiver::start(&[Behavior::Respond(200)]).await;
    let receivers = [Receiver { level: NotificationLevel::Warning, ..receiver("team", &fake) }];
    let world = World::default();
    let handle = world.start();
    let (_, _task) = run(&handle, dir.path(), &receivers);
    started(dir.path(), "team").await;
    world.nack(true);
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    let got = fake.requests(1).await;
    assert_eq!(got[0].body["event"], "nack");
    assert_eq!(got[0].body["recovered"], false);
    assert!(got[0].body["text"].as_str().unwrap().contains("edge-2"), "{got:?}");
    world.nack(false);
    until(&handle, |view| view.progress.values().all(|it| it.observation.convergence.nacked == 0))
        .await;
    let got = fake.requests(2).await;
    assert_eq!(got[1].body["recovered"], true);
}

#[tokio::test]
async fn silent_sidecars_and_their_recovery_are_notified() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeReceiver::start(&[Behavior::Respond(200)]).await;
    let receivers = [Receiver { level: NotificationLevel::Warning, ..receiver("team", &fake) }];
    let world = World::default();
    let handle = world.start();
    let ticks = AtomicU64::new(0);
    let clock = Clock::new(move || Timestamp(ticks.fetch_add(1, Ordering::Relaxed)));
    let notifier = Notifier { clock, ..notifier(&handle, dir.path()) };
    let _task = tokio::spawn(notifier.run(watch::channel(receivers.to_vec()).1));
    started(dir.path(), "team").await;
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    world.silence(true);
    let got = fake.requests(1).await;
    assert_eq!(got[0].body["event"], "silent_sidecars");
    assert_eq!(
        (&got[0].body["level"], &got[0].body["recovered"]),
        (&"warning".into(), &false.into())
    );
    assert!(got[0].body["text"].as_str().unwrap().contains("edge-1"), "{got:?}");
    world.silence(false);
    let got = fake.requests(2).await;
    assert_eq!(
        (&got[1].body["event"], &got[1].body["recovered"]),
        (&got[0].body["event"], &true.into())
    );
    assert_ne!(got[0].key(), got[1].key());
}

#[tokio::test]
async fn a_notification_about_all_services_goes_to_every_receiver() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeReceiver::start(&[Behavior::Respond(200)]).await;
    let only = Services::Named(std::iter::once(name("product")).collect());
    let receivers = [Receiver { services: only, ..receiver("team", &fake) }];
    let handle = lagging().start();
    let (_, _task) = run(&handle, dir.path(), &receivers);
    started(dir.path(), "team").await;
    handle.submit(Command::FreezeDeployments(Some(name("order"))), anne()).await.unwrap();
    handle.submit(Command::FreezeDeployments(None), anne()).await.unwrap();
    handle.submit(Command::UnfreezeDeployments(None), anne()).await.unwrap();
    let got = fake.requests(2).await;
    assert_eq!(events(&got), ["deployments_frozen", "deployments_unfrozen"]);
    assert!(got[0].body["service"].is_null());
}

#[tokio::test]
async fn the_start_of_a_group_and_the_rollback_of_each_member_are_notified() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeReceiver::start(&[Behavior::Respond(200)]).await;
    let handle = lagging().start();
    let (_, _task) = run(&handle, dir.path(), &[receiver("team", &fake)]);
    started(dir.path(), "team").await;
    let member = |service| Member { service: name(service), version: name("v2"), commit: None };
    let members = vec![member("order"), member("product")];
    let (group, plan) = (name("checkout"), Some(canary(&[5, 50, 100])));
    handle.submit(Command::StartGroup { group, members, plan }, anne()).await.unwrap();
    handle.submit(verb("product.1", ReleaseCommand::Rollback), anne()).await.unwrap();
    let got = fake.requests(5).await;
    let started = ["release_started", "release_started", "group_started"];
    assert_eq!(events(&got), [&started[..], &["rolled_back"; 2]].concat());
    let releases: Vec<_> = got.iter().map(|it| it.body["release"].as_str()).collect();
    assert_eq!(
        releases,
        [Some("order.1"), Some("product.1"), None, Some("product.1"), Some("order.1")]
    );
}

#[tokio::test]
async fn a_panic_while_delivering_is_counted_and_delivery_continues() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeReceiver::start(&[Behavior::Respond(200)]).await;
    let handle = lagging().start();
    // The clock is read while delivering.
    let clock = clock_that_panics_once();
    let notifier = Notifier { clock, ..notifier(&handle, dir.path()) };
    let supervisor = notifier.supervisor.clone();
    initialize(dir.path(), &[receiver("team", &fake)], 0).unwrap();
    let receivers = watch::channel(vec![receiver("team", &fake)]).1;
    let _task = tokio::spawn(notifier.run(receivers));
    start_and_abort(&handle, 1).await;
    let got = fake.requests(2).await;
    assert_eq!(events(&got), ["release_started", "rolled_back"]);
    // The clock may be read after the requests.
    let restarted = async {
        while supervisor.restarts(Task::Notifications) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), restarted).await.unwrap();
    assert_eq!(supervisor.restarts(Task::Notifications), 1);
}
