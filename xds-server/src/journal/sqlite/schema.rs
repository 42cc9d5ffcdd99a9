//! The tables, format by format. A journal of an older format is brought up to date when a server
//! opens it, one step after the other, each in a transaction: a crash leaves it at one of them. The
//! records themselves never change, for their hashes must hold.

use rusqlite::Connection;

use super::super::JournalError;

/// What leads from each format to the next; the first begins with an empty file.
const STEPS: [&str; 2] = [
    "CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        reason TEXT,
        event TEXT NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT",
    "CREATE TABLE snapshots (
        seq INTEGER PRIMARY KEY,
        hash TEXT NOT NULL,
        at INTEGER NOT NULL,
        version TEXT NOT NULL,
        digest TEXT NOT NULL,
        content TEXT NOT NULL
    ) STRICT",
];
/// The newest format.
const FORMAT: usize = STEPS.len();

/// The format of a journal, in `PRAGMA user_version`; zero of an empty file.
pub(super) fn format(connection: &Connection) -> Result<usize, JournalError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match usize::try_from(found) {
        Ok(format) if format <= FORMAT => Ok(format),
        _ => Err(JournalError::Format { found, known: FORMAT }),
    }
}

/// Brings a journal to the newest format.
pub(super) fn migrate(connection: &Connection) -> Result<(), JournalError> {
    let found = format(connection)?;
    for (format, step) in (1..).zip(STEPS).skip(found) {
        connection
            .execute_batch(&format!("BEGIN; {step}; PRAGMA user_version = {format}; COMMIT"))?;
        if found > 0 {
            tracing::info!(from = format - 1, to = format, "the journal has a newer format now");
        }
    }
    Ok(())
}
