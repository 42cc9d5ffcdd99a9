//! Golden transcripts of the reducer and the judge, in the manner of the `datadriven` tests of etcd raft.
//!
//! Each `*.txt` file beside this one is a scenario. A block has a command, optional input lines, `----`, and the output of
//! the command: the events with their time since the start of the scenario, then for each running release its phase,
//! weight, verdict, counts and blockers. [`command`] and [`world`] document the commands,
//! [`configuration`] the input of `configure`.
//!
//! `TIDEGATE_REWRITE=1 cargo test -p tidegate-delivery --test transcripts` rewrites the outputs. The difference to the
//! committed files is then the change in behaviour, and belongs into the review.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: a panic is a failed test, with its line"
)]

mod command;
mod configuration;
mod render;
mod script;
mod sidecars;
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use self::world::World;

/// Runs a scenario in a new world. Returns the scenario with its current outputs, and the world at its end.
fn run(text: &str) -> (String, World) {
    let mut world = World::new();
    let text = script::rewrite(text, |command, input| world.execute(command, input));
    (text, world)
}

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut scenarios: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|it| it == "txt")).collect();
    scenarios.sort();
    scenarios
}

/// The first line in which two texts differ, with both versions of it.
fn first_difference(expected: &str, actual: &str) -> String {
    let lines = expected.lines().chain([""; 1]).zip(actual.lines().chain([""; 1]));
    let different = (1..).zip(lines).find(|(_, (expected, actual))| expected != actual);
    different.map_or_else(
        || "the number of lines".to_owned(),
        |(line, (expected, actual))| format!("line {line}:\n  - {expected}\n  + {actual}"),
    )
}

#[test]
fn scenarios_have_the_recorded_output() {
    let rewrite = std::env::var_os("TIDEGATE_REWRITE").is_some();
    let mut changed = Vec::new();
    for path in scenarios() {
        let recorded = fs::read_to_string(&path).unwrap();
        let (current, _) = run(&recorded);
        if current == recorded {
            continue;
        }
        if rewrite {
            fs::write(&path, current).unwrap();
        } else {
            let name = path.file_name().unwrap().display();
            changed.push(format!("{name}, {}", first_difference(&recorded, &current)));
        }
    }
    assert!(
        changed.is_empty(),
        "{}\nIf the change is intended: TIDEGATE_REWRITE=1 cargo test -p tidegate-delivery --test transcripts",
        changed.join("\n")
    );
}

#[test]
fn every_kind_of_event_occurs_in_a_scenario() {
    let mut missing = world::event_kinds();
    for path in scenarios() {
        let (_, world) = run(&fs::read_to_string(path).unwrap());
        for recorded in world.log() {
            missing.remove(recorded.event.kind());
        }
    }
    assert_eq!(missing, BTreeSet::new());
}
