//! Durability of the file, and the errors of damaged ones.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::row::PAGE_BYTES;
use super::*;
use tidegate_delivery::model::event::Event;

fn record(key: &str) -> NewRecord {
    NewRecord {
        at: Timestamp(7),
        actor: "anne".to_owned(),
        reason: (key == "why").then(|| key.to_owned()),
        event: Event::FlagDeleted { key: key.to_owned() },
    }
}

/// A journal of three records, and its directory.
fn three() -> (tempfile::TempDir, Sqlite) {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Sqlite::open(directory.path()).unwrap();
    journal.append(&[record("a"), record("why")]).unwrap();
    journal.append(&[record("c")]).unwrap();
    (directory, journal)
}

#[test]
fn appended_records_are_read_after_a_restart() {
    let (directory, journal) = three();
    let before = journal.read(0, 10).unwrap();
    drop(journal);
    let mut journal = Sqlite::open(directory.path()).unwrap();
    assert_eq!(journal.read(0, 10).unwrap(), before);
    assert_eq!(journal.read(1, 1).unwrap(), before[1..2]);
    assert_eq!(journal.read(3, 10).unwrap(), []);
    assert_eq!(journal.read(u64::MAX, usize::MAX).unwrap(), []);
    assert_eq!(journal.append(&[record("d")]).unwrap()[0].seq, 4);

    let mut head = Head::genesis();
    for record in journal.read(0, 10).unwrap() {
        head = record.verify(&head).unwrap();
    }
    assert_eq!(head, journal.head);
}

#[test]
fn appends_are_synchronous() {
    let (_directory, journal) = three();
    let pragma = |name| journal.connection.pragma_query_value(None, name, |row| row.get(0));
    assert_eq!(pragma("journal_mode"), Ok("wal".to_owned()));
    let full = journal.connection.pragma_query_value(None, "synchronous", |row| row.get(0));
    assert_eq!(full, Ok(2));
}

#[test]
fn large_records_shorten_a_page() {
    let (_directory, mut journal) = three();
    let large = record(&"x".repeat(PAGE_BYTES));
    journal.append(&[large, record("e")]).unwrap();
    assert_eq!(journal.read(2, 10).unwrap().len(), 2);
    assert_eq!(journal.read(4, 10).unwrap().len(), 1);
}

#[test]
fn two_servers_cannot_write_one_journal() {
    let (directory, journal) = three();
    let second = Sqlite::open(directory.path()).unwrap_err();
    assert!(matches!(second, JournalError::InUse(_)), "{second}");
    drop(journal);
    Sqlite::open(directory.path()).unwrap();
}

#[test]
fn a_changed_record_is_named() {
    for (sql, expected) in [
        ("UPDATE events SET actor = 'eve' WHERE seq = 2", "record 2 was changed"),
        ("UPDATE events SET event = '{}' WHERE seq = 3", "record 3 was changed"),
        ("UPDATE events SET hash = 'x' WHERE seq = 1", "record 1 was changed"),
        ("DELETE FROM events WHERE seq = 2", "record 2 is missing"),
        ("UPDATE events SET previous = hash WHERE seq = 2", "record 2 does not follow"),
    ] {
        let (directory, journal) = three();
        journal.connection.execute_batch(sql).unwrap();
        drop(journal);
        let error = Sqlite::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("from a backup"), "{error}");
    }
}

#[test]
fn unknown_formats_and_other_files_are_errors() {
    let (directory, journal) = three();
    journal.connection.pragma_update(None, "user_version", 9).unwrap();
    drop(journal);
    let error = Sqlite::open(directory.path()).unwrap_err();
    assert!(matches!(error, JournalError::Format { found: 9, .. }), "{error}");

    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(DATABASE), "no database".repeat(100)).unwrap();
    let error = Sqlite::open(directory.path()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged(_)), "{error}");
    assert!(error.to_string().contains("from a backup"), "{error}");

    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Sqlite::open(file.path()).unwrap_err();
    assert!(matches!(error, JournalError::Open { .. }), "{error}");
}

#[test]
fn a_full_disk_is_an_error_and_leaves_the_journal_as_it_was() {
    let (directory, mut journal) = three();
    let pages: i64 =
        journal.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    journal.limit_pages(pages);
    let too_much = record(&"x".repeat(100_000));
    let error = journal.append(&[record("d"), too_much]).unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(journal.read(0, 10).unwrap().len(), 3);

    journal.limit_pages(1_000_000);
    assert_eq!(journal.append(&[record("d")]).unwrap()[0].seq, 4);
    drop(journal);
    Sqlite::open(directory.path()).unwrap();
}

#[test]
fn a_read_only_disk_is_an_error() {
    let (_directory, mut journal) = three();
    journal.connection.pragma_update(None, "query_only", true).unwrap();
    let error = journal.append(&[record("d")]).unwrap_err();
    assert!(matches!(error, JournalError::Database(_)), "{error}");
}

#[test]
fn an_append_after_another_writer_is_an_error() {
    let (_directory, mut journal) = three();
    journal.connection.execute_batch("DELETE FROM events WHERE seq = 3").unwrap();
    let error = journal.append(&[record("d")]).unwrap_err();
    assert!(matches!(error, JournalError::Corrupt(_)), "{error}");
}

/// Environment variable with the journal directory of the killed child process.
const CHILD: &str = "TIDEGATE_TEST_JOURNAL";
const THIS_TEST: &str = "journal::sqlite::tests::appended_records_survive_kill_9";

#[test]
fn appended_records_survive_kill_9() {
    if let Some(directory) = std::env::var_os(CHILD) {
        append_for_ever(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    for min_appends in [1, 5, 20] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", THIS_TEST, "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut last = 0;
        let mut appends = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some((_, seq)) = line.split_once("appended ") else {
                continue;
            };
            last = seq.parse().unwrap();
            appends += 1;
            if appends == min_appends {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(appends >= min_appends, "the child exited before it was killed");
        let journal = Sqlite::open(directory.path()).unwrap();
        assert!(journal.head.seq >= last, "{:?} < {last}", journal.head);
        assert_eq!(journal.head.seq % 2, 0, "a transaction is incomplete");
    }
}

fn append_for_ever(directory: &Path) -> ! {
    let mut journal = Sqlite::open(directory).unwrap();
    loop {
        let written = journal.append(&[record("a"), record("b")]).unwrap();
        println!("appended {}", written[1].seq);
    }
}
