//! A recorded journal of format 1: every later version must read it, verify it, and fold it to the same state.
//!
//! `golden/journal.jsonl` is an export as of `tidegate audit export`, with every kind of event; `golden/state.json` is the
//! state that it folds to. `TIDEGATE_REWRITE=1 cargo test -p tidegate --test journal golden` records both again, from the
//! scenario `every-event` of the delivery crate. Only a new journal format justifies a new `journal.jsonl`.

#[path = "../../delivery/tests/transcripts/command.rs"]
mod command;
#[path = "../../delivery/tests/transcripts/configuration.rs"]
mod configuration;
#[path = "../../delivery/tests/transcripts/render.rs"]
mod render;
#[path = "../../delivery/tests/transcripts/script.rs"]
mod script;
#[path = "../../delivery/tests/transcripts/sidecars.rs"]
mod sidecars;
#[path = "../../delivery/tests/transcripts/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tidegate::journal::{Head, NewRecord, Record, digest};
use tidegate_delivery::model::state::State;

use self::world::World;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal/golden").join(name)
}

/// Verifies the chain of an export, and folds it.
fn fold(records: &[Record]) -> State {
    let (mut head, mut state) = (Head::genesis(), State::default());
    for record in records {
        head = record.verify(&head).unwrap();
        state.apply(record.at, record.event.event()).unwrap();
    }
    state
}

fn record() {
    let scenario = "delivery/tests/transcripts/every-event.txt";
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join(scenario);
    let mut world = World::new();
    script::rewrite(&fs::read_to_string(scenario).unwrap(), |line, input| {
        world.execute(line, input)
    });
    let (mut head, mut records, mut lines) = (Head::genesis(), Vec::new(), String::new());
    for world::Recorded { at, actor, reason, event } in world.log() {
        let (actor, reason, event) = (actor.clone(), reason.clone(), event.clone());
        let record = Record::link(&head, NewRecord { at: *at, actor, reason, event }).unwrap();
        head = record.verify(&head).unwrap();
        lines.push_str(&serde_json::to_string(&record).unwrap());
        lines.push('\n');
        records.push(record);
    }
    fs::create_dir_all(file("")).unwrap();
    fs::write(file("journal.jsonl"), lines).unwrap();
    let state = serde_json::to_string_pretty(&fold(&records)).unwrap();
    fs::write(file("state.json"), state + "\n").unwrap();
}

#[test]
fn the_golden_journal_folds_to_its_state() {
    if std::env::var_os("TIDEGATE_REWRITE").is_some() {
        record();
    }
    let export = fs::read_to_string(file("journal.jsonl")).unwrap();
    let records: Vec<Record> =
        export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let state = fold(&records);
    let expected: State =
        serde_json::from_str(&fs::read_to_string(file("state.json")).unwrap()).unwrap();
    assert_eq!(
        digest(&state).unwrap(),
        digest(&expected).unwrap(),
        "the golden journal folds to another state than golden/state.json; for the differences, and to record both \
         again: TIDEGATE_REWRITE=1 cargo test -p tidegate --test journal golden; git diff"
    );
    let kinds: BTreeSet<_> =
        records.iter().map(|record| record.event.event().kind().to_owned()).collect();
    assert_eq!(kinds, world::event_kinds());
    // An event is written as it was read: nothing of the recorded JSON is unknown to this version.
    for record in &records {
        let written = serde_json::to_string(record.event.event()).unwrap();
        assert_eq!(written, record.event.json(), "record {}", record.seq);
    }
}
