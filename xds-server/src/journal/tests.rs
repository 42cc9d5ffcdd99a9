//! The journal with its file: formats, snapshots, damage.

mod damage;
mod format;
mod snapshots;

use std::path::Path;

use rusqlite::Connection;

use super::*;
use tidegate_delivery::fixtures::{name, order, product};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::units::{Ppm, Timestamp};

fn file(directory: &Path) -> std::path::PathBuf {
    directory.join("journal.db")
}

fn new(at: u64, event: Event) -> NewRecord {
    NewRecord { at: Timestamp(at), actor: "anne".to_owned(), reason: None, event }
}

fn flag(number: u64) -> Event {
    let key = format!("flag-{}", number % 7);
    Event::FlagSet { key, definition: serde_json::json!({"number": number, "share": 0.1}) }
}

/// `count` records: a catalogue, a release at 5 %, then flags.
fn history(count: u64) -> Vec<NewRecord> {
    let catalogue = Event::CatalogueApplied { services: vec![order(), product()] };
    let started = Event::ReleaseStarted {
        id: name("order.1"),
        service: name("order"),
        candidate: name("v2"),
        stable: name("v1"),
        plan: order().plan,
        by: "anne".to_owned(),
        commit: None,
    };
    let weight = Ppm::percent(5);
    let entered = Event::StepEntered {
        id: name("order.1"),
        step: 0,
        weight,
        holdback: Ppm::ZERO,
        evidence: None,
    };
    let flags = (4..=count).map(flag);
    let events = [catalogue, started, entered].into_iter().chain(flags);
    (1..=count).zip(events).map(|(at, event)| new(at, event)).collect()
}

/// A closed journal of `count` records, with snapshots at some of them.
fn written(count: u64, snapshots: &[u64]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Sqlite::open(directory.path()).unwrap();
    let mut folded = FoldedState::default();
    for record in history(count) {
        for record in journal.append(&[record]).unwrap() {
            folded.apply(&record).unwrap();
            if snapshots.contains(&record.seq) {
                journal.save_snapshot(record.at, &folded).unwrap();
            }
        }
    }
    directory
}

fn execute(directory: &Path, sql: &str) {
    Connection::open(file(directory)).unwrap().execute_batch(sql).unwrap();
}
