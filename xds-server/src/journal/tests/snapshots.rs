//! A usable snapshot shortens the replay; its result is the same.

use std::sync::Arc;

use super::super::scrub::Damage;
use super::*;

/// The record at which the replay started, and its result.
fn start(directory: &Path) -> (u64, FoldedState) {
    let mut journal = Sqlite::open(directory).unwrap();
    let replayed = resume(&mut journal).unwrap();
    (replayed.snapshot, replayed.folded)
}

fn full_fold(directory: &Path) -> FoldedState {
    Reader::open(directory).unwrap().fold(u64::MAX).unwrap().1
}

#[test]
fn the_replay_starts_from_the_newest_snapshot() {
    let directory = written(20, &[5, 10, 15]);
    assert_eq!(start(directory.path()), (15, full_fold(directory.path())));
    assert_eq!(replay(directory.path()).unwrap(), full_fold(directory.path()).state);
    let replayed = resume(&mut Sqlite::open(directory.path()).unwrap()).unwrap();
    assert_eq!((replayed.seq, replayed.at), (20, Timestamp(20)));
}

#[test]
fn a_snapshot_of_the_last_record_leaves_nothing_to_replay() {
    let directory = written(10, &[10]);
    let mut journal = Sqlite::open(directory.path()).unwrap();
    let replayed = resume(&mut journal).unwrap();
    assert_eq!((replayed.snapshot, replayed.seq, replayed.at), (10, 10, Timestamp(10)));
    let next = journal.append(&[new(11, flag(1))]).unwrap();
    assert_eq!(next[0].seq, 11);
    drop(journal);
    assert_eq!(start(directory.path()), (10, full_fold(directory.path())));
}

#[test]
fn the_two_newest_snapshots_remain() {
    let directory = written(20, &[5, 10, 15]);
    let connection = Connection::open(file(directory.path())).unwrap();
    let left: u64 =
        connection.query_row("SELECT count(*) FROM snapshots", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 2);
}

#[test]
fn an_unusable_snapshot_is_skipped() {
    for corruption in [
        "UPDATE snapshots SET content = replace(content, 'flag-1', 'flag-x') WHERE seq = 15",
        "UPDATE snapshots SET hash = (SELECT hash FROM events WHERE seq = 14) WHERE seq = 15",
        "UPDATE snapshots SET hash = 'x' WHERE seq = 15",
        "UPDATE snapshots SET digest = 'x' WHERE seq = 15",
        "UPDATE snapshots SET version = '0.0.1/1' WHERE seq = 15",
        "UPDATE snapshots SET at = 1 WHERE seq = 15",
        "UPDATE snapshots SET seq = 999 WHERE seq = 15",
    ] {
        let directory = written(20, &[10, 15]);
        execute(directory.path(), corruption);
        assert_eq!(start(directory.path()), (10, full_fold(directory.path())), "{corruption}");
        execute(directory.path(), "UPDATE snapshots SET content = '{}'");
        assert_eq!(start(directory.path()), (0, full_fold(directory.path())), "{corruption}");
    }
}

/// The background verification.
fn verify_prefix(directory: &Path) -> Result<u64, Damage> {
    let journal = Sqlite::open(directory).unwrap();
    journal.unverified_prefix().unwrap().verify_prefix(directory)
}

#[test]
fn a_changed_record_before_the_snapshot_is_found_in_the_background() {
    let directory = written(20, &[15]);
    assert_eq!(verify_prefix(directory.path()).unwrap(), 15);
    execute(directory.path(), "UPDATE events SET actor = 'eve' WHERE seq = 7");
    let error = verify_prefix(directory.path()).unwrap_err().to_string();
    assert!(error.contains("record 7 was changed"), "{error}");

    let directory = written(20, &[15]);
    execute(directory.path(), "UPDATE events SET actor = 'eve' WHERE seq = 17");
    let error = Sqlite::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("record 17 was changed"), "{error}");
}

#[test]
fn a_forged_snapshot_is_found_in_the_background() {
    let directory = written(20, &[]);
    let mut journal = Sqlite::open(directory.path()).unwrap();
    let (_, mut folded) = Reader::open(directory.path()).unwrap().fold(u64::MAX).unwrap();
    Arc::make_mut(&mut folded.state.flags).clear();
    journal.save_snapshot(Timestamp(20), &folded).unwrap();
    drop(journal);
    let error = verify_prefix(directory.path()).unwrap_err();
    assert!(matches!(error, Damage::Snapshot(20)), "{error}");
}

#[test]
fn a_full_disk_loses_the_snapshot_only() {
    let directory = written(10, &[]);
    let mut journal = Sqlite::open(directory.path()).unwrap();
    let expected = full_fold(directory.path());
    let mut large = expected.clone();
    Arc::make_mut(&mut large.state.flags).insert("large".to_owned(), "x".repeat(100_000).into());
    journal.limit_pages(15);
    let error = journal.save_snapshot(Timestamp(10), &large).unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(journal.append(&[new(11, flag(4))]).unwrap()[0].seq, 11);
    drop(journal);
    execute(directory.path(), "DELETE FROM events WHERE seq = 11");
    assert_eq!(start(directory.path()), (0, expected));
}
