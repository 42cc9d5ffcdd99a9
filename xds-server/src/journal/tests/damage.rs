//! Torn and corrupt files: every loss is detected, and no transaction is read in part.

use std::fs;

use super::*;

/// A journal as a crash leaves it: all records in the write-ahead log, two per transaction.
fn crashed() -> (tempfile::TempDir, tempfile::TempDir) {
    let live = tempfile::tempdir().unwrap();
    let mut journal = Sqlite::open(live.path()).unwrap();
    for pair in history(20).chunks(2) {
        journal.append(pair).unwrap();
    }
    let crashed = tempfile::tempdir().unwrap();
    for name in ["journal.db", "journal.db-wal"] {
        fs::copy(live.path().join(name), crashed.path().join(name)).unwrap();
    }
    (live, crashed)
}

#[test]
fn a_torn_write_ahead_log_loses_whole_transactions_from_its_end() {
    let (_live, source) = crashed();
    let wal = fs::read(source.path().join("journal.db-wal")).unwrap();
    let mut seen = Vec::new();
    for length in (0..=wal.len()).rev().step_by(1777) {
        let directory = tempfile::tempdir().unwrap();
        fs::copy(file(source.path()), file(directory.path())).unwrap();
        fs::write(directory.path().join("journal.db-wal"), &wal[..length]).unwrap();
        let mut journal = Sqlite::open(directory.path()).unwrap();
        let seq = resume(&mut journal).unwrap().seq;
        assert_eq!(seq % 2, 0, "a transaction is incomplete at length {length}");
        journal
            .append(&[new(99, Event::FlagsReplaced { flags: serde_json::json!({"flags": {}}) })])
            .unwrap();
        seen.push(seq);
    }
    assert!(seen.is_sorted_by(|before, after| before >= after), "{seen:?}");
    assert_eq!((seen.first(), seen.last()), (Some(&20), Some(&0)), "{seen:?}");
}

#[test]
fn a_snapshot_after_the_end_of_the_records_is_skipped() {
    let directory = written(20, &[10, 20]);
    execute(directory.path(), "DELETE FROM events WHERE seq > 15");
    let mut journal = Sqlite::open(directory.path()).unwrap();
    let replayed = resume(&mut journal).unwrap();
    assert_eq!((replayed.snapshot, replayed.seq), (10, 15), "the snapshot at 20 has no record");
}

/// Corrupts the middle of each page in turn: a journal that opens nevertheless has the original state.
#[test]
fn a_corrupt_page_is_an_error_or_unused() {
    let directory = written(60, &[]);
    let whole = fs::read(file(directory.path())).unwrap();
    let truth = replay(directory.path()).unwrap();
    let mut refused = 0;
    for page in 0..whole.len() / 4096 {
        let mut corrupt = whole.clone();
        let middle = page * 4096 + 2048;
        corrupt[middle..middle + 1024].iter_mut().for_each(|byte| *byte ^= 0x55);
        let directory = tempfile::tempdir().unwrap();
        fs::write(file(directory.path()), corrupt).unwrap();
        let opened = Sqlite::open(directory.path()).and_then(|mut journal| resume(&mut journal));
        match opened {
            Ok(replayed) => assert_eq!(replayed.folded.state, truth, "page {page}"),
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(refused >= 3, "{refused} of the pages with records");
}

#[test]
fn a_corrupt_page_is_an_error_of_a_reader() {
    let directory = written(60, &[]);
    let mut corrupt = fs::read(file(directory.path())).unwrap();
    // The type of the table's root page.
    corrupt[4096] = 0xff;
    fs::write(file(directory.path()), corrupt).unwrap();
    let reader = Reader::open(directory.path()).unwrap();
    let error = reader.read(0, 10).unwrap_err();
    assert!(matches!(error, JournalError::Damaged(_)), "{error}");
}
