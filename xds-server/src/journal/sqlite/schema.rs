//! The tables, and the format number in `PRAGMA user_version`.

use rusqlite::Connection;

use super::super::JournalError;

/// The only format that this version reads and writes. An empty file has format 0.
pub(super) const FORMAT: i64 = 1;

const TABLES: &str = "CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        reason TEXT,
        event TEXT NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;
    CREATE TABLE snapshots (
        seq INTEGER PRIMARY KEY,
        hash TEXT NOT NULL,
        at INTEGER NOT NULL,
        version TEXT NOT NULL,
        digest TEXT NOT NULL,
        content TEXT NOT NULL
    ) STRICT";

/// Whether the database has tables.
///
/// # Errors
/// When its format is not [`FORMAT`].
pub(super) fn is_initialized(connection: &Connection) -> Result<bool, JournalError> {
    match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
        0 => Ok(false),
        FORMAT => Ok(true),
        found => Err(JournalError::Format { found, supported: FORMAT }),
    }
}

/// Creates the tables of an empty database, in one transaction.
pub(super) fn initialize(connection: &Connection) -> Result<(), JournalError> {
    if !is_initialized(connection)? {
        connection
            .execute_batch(&format!("BEGIN; {TABLES}; PRAGMA user_version = {FORMAT}; COMMIT"))?;
    }
    Ok(())
}
