//! A snapshot is used where it can be, and changes nothing but the time that a start takes.

use super::super::scrub::Damage;
use super::*;

/// Where the replay began, and what came out.
fn start(directory: &Path) -> (u64, Folded) {
    let mut journal = Sqlite::open(directory).unwrap();
    let replayed = resume(&mut journal).unwrap();
    (replayed.snapshot, replayed.folded)
}

fn truth(directory: &Path) -> Folded {
    Reader::open(directory).unwrap().fold(u64::MAX).unwrap().1
}

#[test]
fn a_start_goes_on_from_the_newest() {
    let directory = written(20, &[5, 10, 15]);
    assert_eq!(start(directory.path()), (15, truth(directory.path())));
    assert_eq!(replay(directory.path()).unwrap(), truth(directory.path()).state);
    let replayed = resume(&mut Sqlite::open(directory.path()).unwrap()).unwrap();
    assert_eq!((replayed.seq, replayed.at), (20, Timestamp(20)));
}

#[test]
fn of_a_journal_that_ends_with_it_there_is_nothing_to_replay() {
    let directory = written(10, &[10]);
    let mut journal = Sqlite::open(directory.path()).unwrap();
    let replayed = resume(&mut journal).unwrap();
    assert_eq!((replayed.snapshot, replayed.seq, replayed.at), (10, 10, Timestamp(10)));
    let next = journal.append(&[new(11, flag(1))]).unwrap();
    assert_eq!(next[0].seq, 11);
    drop(journal);
    assert_eq!(start(directory.path()), (10, truth(directory.path())));
}

#[test]
fn two_are_left() {
    let directory = written(20, &[5, 10, 15]);
    let connection = Connection::open(file(directory.path())).unwrap();
    let left: u64 =
        connection.query_row("SELECT count(*) FROM snapshots", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 2);
}

#[test]
fn one_that_does_not_fit_is_left_aside() {
    for spoil in [
        "UPDATE snapshots SET content = replace(content, 'flag-1', 'flag-x') WHERE seq = 15",
        "UPDATE snapshots SET hash = (SELECT hash FROM events WHERE seq = 14) WHERE seq = 15",
        "UPDATE snapshots SET hash = 'x' WHERE seq = 15",
        "UPDATE snapshots SET digest = 'x' WHERE seq = 15",
        "UPDATE snapshots SET version = '0.0.1/1' WHERE seq = 15",
        "UPDATE snapshots SET at = 1 WHERE seq = 15",
        "UPDATE snapshots SET seq = 999 WHERE seq = 15",
    ] {
        let directory = written(20, &[10, 15]);
        execute(directory.path(), spoil);
        assert_eq!(start(directory.path()), (10, truth(directory.path())), "{spoil}");
        execute(directory.path(), "UPDATE snapshots SET content = '{}'");
        assert_eq!(start(directory.path()), (0, truth(directory.path())), "{spoil}");
    }
}

/// What the start takes on trust is proven afterwards.
fn prove(directory: &Path) -> Result<u64, Damage> {
    let journal = Sqlite::open(directory).unwrap();
    journal.trusted().unwrap().prove(directory)
}

#[test]
fn what_was_tampered_with_before_it_is_found_while_the_server_runs() {
    let directory = written(20, &[15]);
    assert_eq!(prove(directory.path()).unwrap(), 15);
    execute(directory.path(), "UPDATE events SET actor = 'eve' WHERE seq = 7");
    let error = prove(directory.path()).unwrap_err().to_string();
    assert!(error.contains("record 7 was changed"), "{error}");

    let directory = written(20, &[15]);
    execute(directory.path(), "UPDATE events SET actor = 'eve' WHERE seq = 17");
    let error = Sqlite::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("record 17 was changed"), "{error}");
}

#[test]
fn a_forged_one_is_found_while_the_server_runs() {
    let directory = written(20, &[]);
    let mut journal = Sqlite::open(directory.path()).unwrap();
    let (_, mut folded) = Reader::open(directory.path()).unwrap().fold(u64::MAX).unwrap();
    folded.state.flags.clear();
    journal.keep(Timestamp(20), &folded).unwrap();
    drop(journal);
    let error = prove(directory.path()).unwrap_err();
    assert!(matches!(error, Damage::Snapshot(20)), "{error}");
}

#[test]
fn a_full_disk_costs_the_snapshot_and_nothing_else() {
    let directory = written(10, &[]);
    let mut journal = Sqlite::open(directory.path()).unwrap();
    let truth = truth(directory.path());
    let mut large = truth.clone();
    large.state.flags.insert("large".to_owned(), "x".repeat(100_000).into());
    journal.limit_pages(15);
    let error = journal.keep(Timestamp(10), &large).unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(journal.append(&[new(11, flag(4))]).unwrap()[0].seq, 11);
    drop(journal);
    execute(directory.path(), "DELETE FROM events WHERE seq = 11");
    assert_eq!(start(directory.path()), (0, truth));
}
