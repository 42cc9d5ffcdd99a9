//! The journal in one SQLite file: WAL, which allows reads during an append, and `synchronous=FULL`, so appended records
//! survive a power failure.

mod reader;
mod row;
mod schema;
mod snapshots;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Instant;

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

pub use self::reader::Reader;
use super::chain::Head;
use super::fold::FoldedState;
use super::scrub::UnverifiedPrefix;
use super::snapshot::{Snapshot, StoredSnapshot};
use super::{ChainError, Journal, JournalError, JournalReader, NewRecord, Record};
use tidegate_delivery::units::Timestamp;

/// File name of the database in the data directory.
const DATABASE: &str = "journal.db";
/// File that the server holds locked while it runs. The operating system releases the lock when the process ends.
const LOCK: &str = "journal.lock";

/// A journal in a data directory.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    head: Head,
    /// Start of the replay, until [`Journal::take_snapshot`].
    snapshot: Option<Snapshot>,
    directory: PathBuf,
    append_times: AppendTimes,
    _lock: File,
}

/// How long appends took, with the wait for the disk. Clones share the values.
#[derive(Debug, Clone)]
pub struct AppendTimes(Histogram);

impl AppendTimes {
    fn new() -> Self {
        // From 100 µs to 6.6 s.
        Self(Histogram::new(exponential_buckets(1e-4, 4.0, 9)))
    }

    /// Adds the metric to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Time to append the events of a decision to the journal";
        registry.register("journal_append_seconds", help, self.0.clone());
    }
}

impl Sqlite {
    /// Opens or creates the journal in a data directory, and verifies the chain after the newest usable snapshot.
    ///
    /// # Errors
    /// If the journal is in use, cannot be opened, or does not verify.
    pub fn open(data_dir: &Path) -> Result<Self, JournalError> {
        let lock = lock(data_dir)?;
        let connection = Connection::open(data_dir.join(DATABASE))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        schema::initialize(&connection)?;
        let snapshot = snapshots::newest(&connection)?;
        let from = snapshot.as_ref().map_or_else(Head::genesis, |snapshot| snapshot.head);
        let head = row::verify(&connection, from)?;
        let directory = data_dir.to_owned();
        let append_times = AppendTimes::new();
        Ok(Self { connection, head, snapshot, directory, append_times, _lock: lock })
    }

    /// Number and hash of the newest record.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// How long appends take.
    #[must_use]
    pub fn append_times(&self) -> AppendTimes {
        self.append_times.clone()
    }

    /// The records before the snapshot, for [`Scrub`](super::Scrub). `None` after [`Journal::take_snapshot`].
    #[must_use]
    pub fn unverified_prefix(&self) -> Option<UnverifiedPrefix> {
        self.snapshot.as_ref().map(UnverifiedPrefix::from)
    }

    /// Simulates a full disk: the file cannot exceed so many pages.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: i64) {
        let set = format!("PRAGMA max_page_count = {pages}");
        self.connection.query_row(&set, [], |_| Ok(())).unwrap();
    }
}

impl Journal for Sqlite {
    fn append(&mut self, records: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        let started = Instant::now();
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut head = self.head;
        // Another process may have written, or an earlier append may have failed half-way.
        if newest_hash(&transaction)?.as_deref() != expected_hash(&head).as_deref() {
            return Err(ChainError::Unlinked(head.seq.saturating_add(1)).into());
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
        self.append_times.0.observe(started.elapsed().as_secs_f64());
        self.head = head;
        Ok(written)
    }

    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        row::page(&self.connection, after, limit)
    }

    fn reader(&self) -> Result<Box<dyn JournalReader>, JournalError> {
        Ok(Box::new(Reader::open(&self.directory)?))
    }

    fn take_snapshot(&mut self) -> Option<Snapshot> {
        self.snapshot.take()
    }

    fn save_snapshot(&mut self, at: Timestamp, folded: &FoldedState) -> Result<(), JournalError> {
        let snapshot = StoredSnapshot::of(self.head, at, folded).map_err(JournalError::Encode)?;
        snapshots::insert(&mut self.connection, &snapshot)
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

/// Hash of the newest record in the database.
fn newest_hash(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT hash FROM events ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()
}

/// The hash that [`newest_hash`] must return.
fn expected_hash(head: &Head) -> Option<String> {
    (head.seq > 0).then(|| head.hash.to_string())
}

#[cfg(test)]
mod tests;
