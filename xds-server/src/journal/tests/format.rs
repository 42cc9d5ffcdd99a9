//! Only format 1 is opened.

use super::*;

#[test]
fn an_unknown_format_is_refused_by_writer_and_reader() {
    for format in [-1, 2, 99] {
        let directory = written(3, &[]);
        execute(directory.path(), &format!("PRAGMA user_version = {format}"));
        for error in [
            Sqlite::open(directory.path()).map(drop).unwrap_err(),
            Reader::open(directory.path()).map(drop).unwrap_err(),
        ] {
            assert!(
                matches!(error, JournalError::Format { found, supported: 1 } if found == format),
                "{error}"
            );
            let expected = format!("the journal has format {format}");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }
}

#[test]
fn a_new_journal_has_format_1() {
    let directory = written(3, &[]);
    let connection = Connection::open(file(directory.path())).unwrap();
    let format: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(format, 1);
    drop(Sqlite::open(directory.path()).unwrap());
}

#[test]
fn a_reader_does_not_create_a_journal() {
    let directory = tempfile::tempdir().unwrap();
    let error = Reader::open(directory.path()).unwrap_err();
    assert!(matches!(error, JournalError::Open { .. }), "{error}");
    assert!(!file(directory.path()).exists());
    std::fs::write(file(directory.path()), "").unwrap();
    let error = Reader::open(directory.path()).unwrap_err();
    assert!(matches!(error, JournalError::Empty(_)), "{error}");
}
