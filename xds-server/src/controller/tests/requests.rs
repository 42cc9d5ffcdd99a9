//! The handle: commands, reads, subscriptions and their limits.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::*;
use crate::controller::spawn;
use crate::journal::{Head, Journal, JournalError, JournalReader, NewRecord, Record, Sqlite};
use tidegate_delivery::model::command::Refusal;
use tidegate_delivery::model::configuration::Source;
use tidegate_xds::mesh::Fleet;

#[tokio::test]
async fn events_are_read_and_followed() {
    let world = World::default();
    let handle = world.start();
    let mut followed = handle.subscribe();
    stepping(&handle).await;
    let events = handle.events(0, usize::MAX).await.unwrap();
    assert_eq!(events, world.records());
    assert_eq!(handle.events(1, 1).await.unwrap(), events[1..2]);
    let (declared, decided) = events.split_at(2);
    let mut head = Head { seq: 2, hash: declared[1].hash };
    for _ in decided {
        head = followed.recv().await.unwrap().verify(&head).unwrap();
    }
    assert_eq!(decided[0].reason.as_deref(), Some("friday"));
}

#[tokio::test]
async fn a_full_queue_is_an_error() {
    let world = World::default();
    let handle = world.start();
    world.hang_disk(true);
    let set = |number: usize| set_flag(&number.to_string());
    let mut commands: FuturesUnordered<_> =
        (0..QUEUE * 2).map(|number| handle.submit(set(number), anne())).collect();
    let first = commands.next().await.unwrap();
    assert!(matches!(first, Err(CommandError::Busy)), "{first:?}");
    world.hang_disk(false);
    let rest: Vec<_> = commands.collect().await;
    assert!(rest.iter().filter(|it| it.is_ok()).count() >= QUEUE);
}

#[tokio::test]
async fn events_are_read_while_an_append_hangs_and_the_queue_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::default();
    let handle = spawn(world.parts(Box::new(HangingJournal {
        journal: Sqlite::open(dir.path()).unwrap(),
        world: world.clone(),
    })))
    .unwrap();
    world.hang_disk(true);
    let commands: FuturesUnordered<_> =
        (0..=QUEUE * 2).map(|_| handle.submit(start("order", "v2"), anne())).collect();
    let mut commands = commands.ready_chunks(QUEUE * 2);
    assert!(commands.next().await.unwrap().iter().any(|it| matches!(it, Err(CommandError::Busy))));
    assert!(!handle.events(0, 10).await.unwrap().is_empty());
    world.hang_disk(false);
}

#[tokio::test]
async fn listings_never_make_a_command_busy() {
    let world = World::default();
    let handle = world.start();
    let listings: FuturesUnordered<_> = (0..QUEUE * 2).map(|_| handle.events(0, 10)).collect();
    let started = handle.submit(start("order", "v2"), anne());
    let (listed, started) = tokio::join!(listings.collect::<Vec<_>>(), started);
    assert!(started.is_ok(), "{started:?}");
    assert!(listed.iter().all(Result::is_ok));
}

/// A journal on disk whose appends block while [`World::hang_disk`] is set.
struct HangingJournal {
    journal: Sqlite,
    world: World,
}

impl Journal for HangingJournal {
    fn append(&mut self, records: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        self.world.wait_for_disk();
        self.journal.append(records)
    }

    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        self.journal.read(after, limit)
    }

    fn reader(&self) -> Result<Box<dyn JournalReader>, JournalError> {
        self.journal.reader()
    }
}

#[tokio::test]
async fn actor_and_reason_are_limited() {
    let world = World::default();
    let handle = world.start();
    for (actor, reason) in [("", ""), (&*"x".repeat(201), ""), ("x", &*"x".repeat(2001))] {
        let origin = Origin { actor: actor.to_owned(), reason: Some(reason.to_owned()) };
        let error = handle.submit(start("order", "v2"), origin).await;
        assert!(matches!(error, Err(CommandError::Refused(Refusal::Invalid(_)))), "{error:?}");
    }
}

/// Also a flag that is valid alone, and too much with those that were set meanwhile.
#[tokio::test]
async fn what_sidecars_would_reject_is_not_appended() {
    let world = World::default();
    let handle = world.start();
    let records = world.records().len();
    let fleet = Fleet::new(name("demo"), Vec::new());
    let configuration = |product| Configuration {
        allow: std::collections::BTreeSet::new(),
        version: Version { hash: "second".to_owned(), source: Source::Api },
        services: vec![order(), product],
        freeze_windows: Vec::new(),
        mesh: Mesh::new("filter.wasm".to_owned(), vec![fleet.clone()]),
    };
    let same_hosts = ServiceSpec { hosts: order().hosts, ..product() };
    let error = handle.configure(configuration(same_hosts), anne()).await.unwrap_err();
    assert!(matches!(error, CommandError::Unpublishable(_)), "{error}");
    assert!(error.to_string().contains("fleet `demo`"), "{error}");
    assert_eq!(world.records().len(), records);
    assert_eq!(world.mesh().fleets, []);
    handle.configure(configuration(product()), anne()).await.unwrap();
    assert_eq!(world.mesh().fleets, [fleet]);

    let most = (0..1000).map(|number| (format!("f{number}"), flag()));
    let document = serde_json::json!({"flags": most.collect::<serde_json::Map<_, _>>()});
    let world = World::default();
    let handle =
        spawn(Parts { flags: Some(document), ..world.parts(Box::new(world.clone())) }).unwrap();
    let error = handle.submit(set_flag("beta"), anne()).await.unwrap_err();
    assert!(error.to_string().contains("more than 1000 flags"), "{error}");
    assert_eq!(handle.view().borrow().state.flags.len(), 1000);
}

#[tokio::test]
async fn requests_after_the_stop_are_errors() {
    let world = World::default();
    let handle = world.start();
    handle.stop().await;
    handle.stop().await;
    let error = handle.submit(start("order", "v2"), anne()).await;
    assert!(matches!(error, Err(CommandError::Stopped)), "{error:?}");
    let error = handle.events(0, 1).await;
    assert!(matches!(error, Err(CommandError::Stopped)), "{error:?}");
}
