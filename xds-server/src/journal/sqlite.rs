//! The journal in one SQLite file. WAL, so that others may read while it is written; FULL
//! synchronous, so that what was appended survives a power cut.

mod reader;
mod row;
mod schema;
mod snapshots;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

pub use self::reader::Reader;
use super::chain::Head;
use super::fold::Folded;
use super::scrub::Trusted;
use super::snapshot::{Kept, Snapshot};
use super::{Broken, Journal, JournalError, JournalReader, NewRecord, Record};
use tidegate_delivery::units::Timestamp;

/// The database, in the data directory.
const DATABASE: &str = "journal.db";
/// Held as long as a server writes the journal; the system lets go of it however that ends.
const LOCK: &str = "journal.lock";

/// A journal in a data directory.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    head: Head,
    /// Where the replay is to begin, until it has.
    snapshot: Option<Snapshot>,
    directory: PathBuf,
    _lock: File,
}

impl Sqlite {
    /// Opens the journal in a directory, or begins one, and verifies the chain: from the newest
    /// snapshot that can be used, or the whole of it.
    ///
    /// # Errors
    /// When it is in use, cannot be opened, or does not verify.
    pub fn open(data_dir: &Path) -> Result<Self, JournalError> {
        let lock = lock(data_dir)?;
        let connection = Connection::open(data_dir.join(DATABASE))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        schema::initialize(&connection)?;
        let snapshot = snapshots::newest(&connection)?;
        let from = snapshot.as_ref().map_or_else(Head::genesis, |snapshot| snapshot.head);
        let head = row::verify(&connection, from)?;
        Ok(Self { connection, head, snapshot, directory: data_dir.to_owned(), _lock: lock })
    }

    /// The newest record.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// What the start took from a snapshot, and nobody has verified yet. To be asked before the
    /// snapshot is taken.
    #[must_use]
    pub fn trusted(&self) -> Option<Trusted> {
        self.snapshot.as_ref().map(Trusted::from)
    }

    /// As a disk that has no more room than so many pages, or than is in use.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: i64) {
        let set = format!("PRAGMA max_page_count = {pages}");
        self.connection.query_row(&set, [], |_| Ok(())).unwrap();
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
            let insert =
                format!("INSERT INTO events ({}) VALUES (?, ?, ?, ?, ?, ?, ?)", row::COLUMNS);
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
        row::page(&self.connection, after, limit)
    }

    fn reader(&self) -> Result<Box<dyn JournalReader>, JournalError> {
        Ok(Box::new(Reader::open(&self.directory)?))
    }

    fn snapshot(&mut self) -> Option<Snapshot> {
        self.snapshot.take()
    }

    fn keep(&mut self, at: Timestamp, folded: &Folded) -> Result<(), JournalError> {
        let kept = Kept::of(self.head, at, folded).map_err(JournalError::Encode)?;
        snapshots::keep(&mut self.connection, &kept)
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

#[cfg(test)]
mod tests;
