//! The journal: the append-only, hash-chained log of all decisions. State is a fold over it.
//!
//! The controller appends a record before it acts on the decision. A start verifies the chain after the newest usable
//! snapshot and fails if it does not verify; [`Scrub`] verifies the records before the snapshot while the server runs.

pub mod chain;
mod fold;
mod record;
mod scrub;
mod snapshot;
mod sqlite;

use std::path::PathBuf;

use rusqlite::ErrorCode;

pub use self::chain::{ChainError, Hash, Head};
pub use self::fold::{FoldedState, Replayed, digest, replay, resume};
pub use self::record::{NewRecord, Record, RecordedEvent};
pub use self::scrub::{Damage, Scrub, UnverifiedPrefix};
pub use self::snapshot::Snapshot;
pub use self::sqlite::{AppendTimes, Reader, Sqlite};
use tidegate_delivery::model::fold_error::FoldError;
use tidegate_delivery::units::Timestamp;

#[cfg(test)]
mod tests;

/// Storage of the records. The controller is its only writer.
pub trait Journal: Send {
    /// Appends all records or none. The returned records are durable.
    ///
    /// # Errors
    /// If they could not be written. The journal is unchanged then.
    fn append(&mut self, records: &[NewRecord]) -> Result<Vec<Record>, JournalError>;

    /// The records after a sequence number, ascending: at most `limit`, fewer if they are large. An empty page is the end.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError>;

    /// A reader for use on another thread.
    ///
    /// # Errors
    /// If it cannot be opened.
    fn reader(&self) -> Result<Box<dyn JournalReader>, JournalError>;

    /// The snapshot from which the replay starts; `None` at the second call. Without one the replay starts at record 1.
    fn take_snapshot(&mut self) -> Option<Snapshot> {
        None
    }

    /// Saves the state after the newest record, whose journal time is `at`.
    ///
    /// # Errors
    /// If it could not be written. The next start replays more records then.
    fn save_snapshot(&mut self, _at: Timestamp, _folded: &FoldedState) -> Result<(), JournalError> {
        Ok(())
    }
}

/// Reads a journal while another thread appends to it. A read never waits for an append.
pub trait JournalReader: Send {
    /// As [`Journal::read`].
    ///
    /// # Errors
    /// If the records cannot be read.
    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError>;
}

/// The journal cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process holds the lock.
    #[error(
        "the journal in {0} is in use by another server: stop that one, or give this one another data_dir"
    )]
    InUse(PathBuf),
    /// The directory or file is missing or not accessible.
    #[error("cannot open the journal in {path}: {source}")]
    Open {
        /// The data directory or file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Written by another version of Tidegate.
    #[error(
        "the journal has format {found}, and this version of tidegate supports format {supported} only: \
         use the version of tidegate that wrote it, or another data_dir"
    )]
    Format { found: i64, supported: i64 },
    /// A database without tables.
    #[error("{0} contains no journal yet: start `tidegate serve` with this data_dir once")]
    Empty(PathBuf),
    /// The chain does not verify.
    #[error(
        "the journal is corrupt: {0}. Restore it from a backup, or move it away to start a new one: \
         traffic then goes to the stable versions of the configuration"
    )]
    Corrupt(#[from] ChainError),
    /// The record verifies, but its event does not parse.
    #[error(
        "record {seq} of the journal cannot be parsed ({source}): use the version of tidegate that wrote it"
    )]
    Unreadable {
        /// The record.
        seq: u64,
        /// The parse error.
        source: serde_json::Error,
    },
    /// The record's event contradicts the state.
    #[error(
        "record {seq} of the journal cannot be applied: {source}. Restore the journal from a backup, or move it away to \
         start a new one: traffic then goes to the stable versions of the configuration"
    )]
    Fold {
        /// The record.
        seq: u64,
        /// The contradiction.
        source: FoldError,
    },
    /// An event or a state cannot be written as JSON.
    #[error("cannot write an event or a state as JSON: {0}")]
    Encode(serde_json::Error),
    /// The file is not a SQLite database, or a damaged one.
    #[error(
        "the journal's file is damaged: {0}. Restore it from a backup, or move it away to start a new one: \
         traffic then goes to the stable versions of the configuration"
    )]
    Damaged(rusqlite::Error),
    /// The disk is full, read-only, or broken.
    #[error("the journal's database cannot be read or written: {0}")]
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error),
            _ => Self::Database(error),
        }
    }
}
