//! Journals that earlier versions wrote are opened, verified and folded as they were meant.

use super::*;
use tidegate_delivery::figures::{Bucket, Window};
use tidegate_delivery::model::release::{Phase, RollbackCause};

/// Written by the first tidegate, with releases, rollbacks and flags.
const FORMAT_1: &str = include_str!("../../../testdata/journal-1.sql");
const LAST: &str = "fba8cbbec0a033b1cdd93146df7cbc58d9c1f5d1ea6d9b10fcb3a1a659e10418";

fn format_1() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    execute(directory.path(), FORMAT_1);
    directory
}

fn format_of(directory: &Path) -> i64 {
    let connection = Connection::open(file(directory)).unwrap();
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[test]
fn a_journal_of_format_1_is_brought_up_to_date() {
    let directory = format_1();
    let mut journal = Sqlite::open(directory.path()).unwrap();
    let Replayed { folded, seq, snapshot, .. } = resume(&mut journal).unwrap();
    assert_eq!((seq, snapshot), (23, 0));
    let state = &folded.state;
    let product = &state.services["product"];
    assert_eq!((&product.stable, product.releases), (&name("v1"), 2));
    let at = Timestamp(1_795_426_063_508);
    let cause = RollbackCause::Operator;
    assert_eq!(product.release.as_ref().unwrap().phase, Phase::RolledBack { at, cause });
    let order = state.services["order"].running().unwrap();
    assert_eq!((&order.id, order.weight()), (&name("order.2"), Ppm::percent(5)));
    assert_eq!(order.paused_at, Some(Timestamp(1_795_426_064_051)));
    assert_eq!(state.flags.keys().collect::<Vec<_>>(), ["new-checkout"]);

    let report = folded.figures.report(Window::days_before(1, at), Bucket::Day, None);
    let told: Vec<_> =
        report.services.iter().map(|it| (it.all.deployments, it.all.failures)).collect();
    assert_eq!(told, [(2, 1), (2, 2)], "{report:?}");

    journal.keep(Timestamp(0), &folded).unwrap();
    drop(journal);
    assert_eq!(format_of(directory.path()), 2);
    let mut journal = Sqlite::open(directory.path()).unwrap();
    assert_eq!(resume(&mut journal).unwrap().snapshot, 23);
}

#[test]
fn one_that_is_only_read_stays_as_it_is() {
    let directory = format_1();
    let (head, _) = Reader::open(directory.path()).unwrap().fold(u64::MAX).unwrap();
    assert_eq!((head.seq, head.hash.to_string().as_str()), (23, LAST));
    assert_eq!(format_of(directory.path()), 1);
}

#[test]
fn one_of_a_later_version_is_neither_opened_nor_read() {
    let directory = written(3, &[]);
    execute(directory.path(), "PRAGMA user_version = 3");
    for error in [
        Sqlite::open(directory.path()).map(drop).unwrap_err(),
        Reader::open(directory.path()).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, JournalError::Format { found: 3, known: 2 }), "{error}");
        assert!(error.to_string().contains("use a newer one"), "{error}");
    }
}

#[test]
fn where_there_is_none_a_reader_says_so_and_makes_none() {
    let directory = tempfile::tempdir().unwrap();
    let error = Reader::open(directory.path()).unwrap_err();
    assert!(matches!(error, JournalError::Open { .. }), "{error}");
    assert!(!file(directory.path()).exists());
    std::fs::write(file(directory.path()), "").unwrap();
    let error = Reader::open(directory.path()).unwrap_err();
    assert!(matches!(error, JournalError::Empty(_)), "{error}");
}
