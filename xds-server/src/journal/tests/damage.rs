//! Disks that lie, and files that were hit: nothing is lost without a word, nothing half is believed.

use std::fs;

use super::*;

/// A journal whose records are all in the write-ahead log still, as a crash leaves it: two records a
/// transaction.
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
        assert_eq!(seq % 2, 0, "half a transaction, at {length}");
        journal
            .append(&[new(99, Event::FlagsReplaced { flags: serde_json::json!({"flags": {}}) })])
            .unwrap();
        seen.push(seq);
    }
    assert!(seen.is_sorted_by(|before, after| before >= after), "{seen:?}");
    assert_eq!((seen.first(), seen.last()), (Some(&20), Some(&0)), "{seen:?}");
}

#[test]
fn a_cut_off_end_is_told_by_the_snapshot_behind_it() {
    let directory = written(20, &[10, 20]);
    execute(directory.path(), "DELETE FROM events WHERE seq > 15");
    let mut journal = Sqlite::open(directory.path()).unwrap();
    let replayed = resume(&mut journal).unwrap();
    assert_eq!((replayed.snapshot, replayed.seq), (10, 15), "the one at 20 is foreign, and logged");
}

/// Every page is hit in turn, in the middle: what is opened all the same is what was written.
#[test]
fn a_hit_page_is_found_or_held_nothing() {
    let directory = written(60, &[]);
    let whole = fs::read(file(directory.path())).unwrap();
    let truth = replay(directory.path()).unwrap();
    let mut refused = 0;
    for page in 0..whole.len() / 4096 {
        let mut hit = whole.clone();
        let middle = page * 4096 + 2048;
        hit[middle..middle + 1024].iter_mut().for_each(|byte| *byte ^= 0x55);
        let directory = tempfile::tempdir().unwrap();
        fs::write(file(directory.path()), hit).unwrap();
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
fn a_hit_page_is_an_error_to_a_reader_and_not_a_guess() {
    let directory = written(60, &[]);
    let mut hit = fs::read(file(directory.path())).unwrap();
    // The type of the table's root page.
    hit[4096] = 0xff;
    fs::write(file(directory.path()), hit).unwrap();
    let reader = Reader::open(directory.path()).unwrap();
    let error = reader.read(0, 10).unwrap_err();
    assert!(matches!(error, JournalError::Damaged(_)), "{error}");
}
