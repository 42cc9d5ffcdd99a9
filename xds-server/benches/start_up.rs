//! How long a start takes after a million decisions, with a snapshot and without: opening,
//! verifying and replaying the journal, until the state is there.
#![expect(clippy::print_stdout, reason = "its output is the result")]

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use tidegate::config::Config;
use tidegate::journal::{FoldedState, Journal, NewRecord, Sqlite, resume};
use tidegate_delivery::model::command::{Command, CommandContext, ReleaseCommand};
use tidegate_delivery::model::configuration::{Source, Version};
use tidegate_delivery::model::flag::FlagChange;
use tidegate_delivery::names::{ReleaseId, ServiceName};
use tidegate_delivery::reducer::decide_command;
use tidegate_delivery::units::Timestamp;

/// Records unless an argument says otherwise.
const RECORDS: u64 = 1_000_000;
/// The most that a start replays behind a snapshot, as the controller keeps them.
const BEHIND: u64 = 10_000;
/// Starts of each kind, in turn.
const STARTS: usize = 5;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let records = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(RECORDS);
    let directory = tempfile::tempdir()?;
    let at_most = write(directory.path(), records)?;
    let mut with = Vec::new();
    for _ in 0..STARTS {
        with.push(start(directory.path(), at_most)?);
    }
    rusqlite::Connection::open(directory.path().join("journal.db"))?
        .execute_batch("DELETE FROM snapshots")?;
    let mut without = Vec::new();
    for _ in 0..STARTS {
        without.push(start(directory.path(), 0)?);
    }
    let size = std::fs::metadata(directory.path().join("journal.db"))?.len() >> 20;
    println!("start-up after {records} records ({size} MiB), {STARTS} starts each");
    println!("  from a snapshot with {} records behind it: {}", records - at_most, spread(with));
    println!("  from nothing, verifying and replaying all:  {}", spread(without));
    Ok(())
}

/// Releases that are rolled back, flags that change, and a snapshot that is as old as possible.
fn write(directory: &Path, records: u64) -> Outcome<u64> {
    let mut journal = Sqlite::open(directory)?;
    let mut folded = FoldedState::default();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy/tidegate.yaml");
    let Config { hash, services, freeze_windows, mesh, .. } = tidegate::config::load(&example)?;
    let version = Version { hash, source: Source::File };
    let (fleets, allow) = (mesh.fleets, BTreeSet::new());
    let mut commands =
        vec![Command::ApplyConfiguration { version, fleets, services, freeze_windows, allow }];
    let order: ServiceName = "order".parse()?;
    let (mut seq, mut number, mut kept) = (0, 0, 0);
    while seq < records {
        let mut batch = Vec::new();
        while batch.len() < 1000 {
            for command in commands.drain(..) {
                let at = Timestamp((seq + batch.len() as u64) * 1000);
                let command_context = CommandContext { actor: "bench", reason: None, at, wall: at };
                let (events, _) = decide_command(&folded.state, &command_context, &command)?;
                for event in events {
                    let at = Timestamp((seq + batch.len() as u64) * 1000);
                    folded.state.apply(at, &event)?;
                    folded.figures.take(at, &event);
                    batch.push(NewRecord { at, actor: "bench".to_owned(), reason: None, event });
                }
            }
            number += 1;
            commands = cycle(&order, number)?;
        }
        seq = journal.append(&batch)?.last().map_or(seq, |last| last.seq);
        if kept == 0 && seq + BEHIND >= records {
            journal.save_snapshot(Timestamp(seq * 1000), &folded)?;
            kept = seq;
        }
    }
    Ok(kept)
}

fn cycle(service: &ServiceName, number: u64) -> Outcome<Vec<Command>> {
    let id = ReleaseId::of(service, number)?;
    Ok(vec![
        Command::StartRelease {
            service: service.clone(),
            version: "v2".parse()?,
            plan: None,
            commit: None,
        },
        Command::Release(id.clone(), ReleaseCommand::Promote { all: true }),
        Command::Release(id, ReleaseCommand::Rollback),
        Command::from(FlagChange::Set {
            key: format!("flag-{}", number % 100),
            definition: serde_json::json!({
                "state": "ENABLED", "variants": {"on": true, "off": false},
                "defaultVariant": "off", "number": number,
            }),
        }),
    ])
}

fn start(directory: &Path, snapshot: u64) -> Outcome<Duration> {
    let begun = Instant::now();
    let replayed = resume(&mut Sqlite::open(directory)?)?;
    let took = begun.elapsed();
    if replayed.snapshot != snapshot {
        return Err(format!("it began at {}, not {snapshot}", replayed.snapshot).into());
    }
    Ok(took)
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let ms = |time: Option<&Duration>| time.map_or(0, Duration::as_millis);
    format!("{} ms at best, {} ms median", ms(times.first()), ms(times.get(times.len() / 2)))
}
