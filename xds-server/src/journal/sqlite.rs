//! The journal in one SQLite file. WAL, so that others may read while it is written; FULL
//! synchronous, so that what was appended survives a power cut.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::chain::{Content, Hash, Head};
use super::{Broken, Journal, JournalError, NewRecord, Record, Written};
use crate::delivery::units::Timestamp;

/// The database, in the data directory.
const DATABASE: &str = "journal.db";
/// Held as long as a server writes the journal; the system lets go of it however that ends.
const LOCK: &str = "journal.lock";
/// The format of the table below, in `PRAGMA user_version`.
const FORMAT: i64 = 1;
const TABLE: &str = "CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    event TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT";
const COLUMNS: &str = "seq, at, actor, reason, event, previous, hash";
/// A page of records ends early once their events have so many bytes: a flag document may have a million.
const PAGE_BYTES: usize = 4 << 20;

/// A journal in a data directory.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    head: Head,
    _lock: File,
}

impl Sqlite {
    /// Opens the journal in a directory, or begins one, and verifies the whole chain.
    ///
    /// # Errors
    /// When it is in use, cannot be opened, or does not verify.
    pub fn open(data_dir: &Path) -> Result<Self, JournalError> {
        let lock = lock(data_dir)?;
        let connection = Connection::open(data_dir.join(DATABASE))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        migrate(&connection)?;
        let head = verify(&connection)?;
        Ok(Self { connection, head, _lock: lock })
    }
}

impl Journal for Sqlite {
    fn append(&mut self, records: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut head = self.head;
        // Whatever an earlier failure left: we only ever go on from where we know to be.
        if on_disk(&transaction)?.as_deref() != shown(&head).as_deref() {
            return Err(Broken::Unlinked(head.seq.saturating_add(1)).into());
        }
        let mut written = Vec::with_capacity(records.len());
        {
            let insert = format!("INSERT INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)");
            let mut insert = transaction.prepare_cached(&insert)?;
            for new in records {
                let record = Record::link(&head, new.clone()).map_err(JournalError::Encode)?;
                insert.execute(params![
                    record.seq,
                    record.at.0,
                    record.actor,
                    record.reason,
                    record.event.json(),
                    record.previous.to_string(),
                    record.hash.to_string(),
                ])?;
                head = Head { seq: record.seq, hash: record.hash };
                written.push(record);
            }
        }
        transaction.commit()?;
        self.head = head;
        Ok(written)
    }

    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        let select = format!("SELECT {COLUMNS} FROM events WHERE seq > ? ORDER BY seq LIMIT ?");
        let mut select = self.connection.prepare_cached(&select)?;
        // Beyond SQLite's integers there are no records.
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = select.query(params![after, limit])?;
        let mut records = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let raw = Raw::of(row)?;
            bytes += raw.event.len();
            records.push(raw.understand()?);
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(records)
    }
}

fn lock(data_dir: &Path) -> Result<File, JournalError> {
    let failed = |source| JournalError::Open { path: data_dir.to_owned(), source };
    fs::create_dir_all(data_dir).map_err(failed)?;
    let mut options = File::options();
    let lock = options.create(true).truncate(false).write(true);
    let lock = lock.open(data_dir.join(LOCK)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn migrate(connection: &Connection) -> Result<(), JournalError> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        0 => {
            let create = format!("BEGIN; {TABLE}; PRAGMA user_version = {FORMAT}; COMMIT");
            Ok(connection.execute_batch(&create)?)
        }
        FORMAT => Ok(()),
        found => Err(JournalError::Format { found, known: FORMAT }),
    }
}

fn verify(connection: &Connection) -> Result<Head, JournalError> {
    let select = format!("SELECT {COLUMNS} FROM events ORDER BY seq");
    let mut select = connection.prepare(&select)?;
    let mut rows = select.query([])?;
    let mut head = Head::genesis();
    while let Some(row) = rows.next()? {
        let raw = Raw::of(row)?;
        let (previous, hash) = raw.hashes()?;
        let content = Content {
            at: Timestamp(raw.at),
            actor: &raw.actor,
            reason: raw.reason.as_deref(),
            event: &raw.event,
        };
        head = head.verify(raw.seq, previous, hash, &content)?;
    }
    Ok(head)
}

/// The newest record's hash.
fn on_disk(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT hash FROM events ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()
}

/// The hash that [`on_disk`] should find.
fn shown(head: &Head) -> Option<String> {
    (head.seq > 0).then(|| head.hash.to_string())
}

/// A row as it is, before anything in it is believed.
struct Raw {
    seq: u64,
    at: u64,
    actor: String,
    reason: Option<String>,
    event: String,
    previous: String,
    hash: String,
}

impl Raw {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get("seq")?,
            at: row.get("at")?,
            actor: row.get("actor")?,
            reason: row.get("reason")?,
            event: row.get("event")?,
            previous: row.get("previous")?,
            hash: row.get("hash")?,
        })
    }

    fn hashes(&self) -> Result<(Hash, Hash), Broken> {
        let hash = |text: &str| text.parse().map_err(|_| Broken::Altered(self.seq));
        Ok((hash(&self.previous)?, hash(&self.hash)?))
    }

    fn understand(self) -> Result<Record, JournalError> {
        let (previous, hash) = self.hashes()?;
        let seq = self.seq;
        let unreadable = |source| JournalError::Unreadable { seq, source };
        Ok(Record {
            seq,
            at: Timestamp(self.at),
            actor: self.actor,
            reason: self.reason,
            event: Written::parse(self.event).map_err(unreadable)?,
            previous,
            hash,
        })
    }
}

#[cfg(test)]
mod tests;
