//! The journal: the append-only, hash-chained log of everything decided. It is the truth, and
//! all state is its fold; so it is written before anything acts. A start verifies it from the newest
//! snapshot on and refuses one that is broken there; what is before the snapshot is verified while
//! the server runs.

pub mod chain;
mod fold;
mod record;
mod scrub;
mod snapshot;
mod sqlite;

use std::path::PathBuf;

use rusqlite::ErrorCode;

pub use self::chain::{Broken, Hash, Head};
pub use self::fold::{Folded, Replayed, digest, replay, resume};
pub use self::record::{NewRecord, Record, Written};
pub use self::scrub::{Damage, Scrub, Trusted};
pub use self::snapshot::Snapshot;
pub use self::sqlite::{Reader, Sqlite};
use tidegate_delivery::model::fold_error::FoldError;
use tidegate_delivery::units::Timestamp;

#[cfg(test)]
mod tests;

/// Where records are kept. It has one writer, the controller.
pub trait Journal: Send {
    /// Appends all of these or none. When it returns them, they are on disk.
    ///
    /// # Errors
    /// When they could not be written; the journal is as it was then.
    fn append(&mut self, records: &[NewRecord]) -> Result<Vec<Record>, JournalError>;

    /// The records after a sequence number, in order, at most `limit`; fewer if they are large.
    /// An empty page means that there are no more.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError>;

    /// A reader that works beside the writer, on threads of its own.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn reader(&self) -> Result<Box<dyn JournalReader>, JournalError>;

    /// What the replay may begin with, once. A journal that keeps none is replayed in full.
    fn snapshot(&mut self) -> Option<Snapshot> {
        None
    }

    /// Keeps what everything up to the newest record, written `at` that time, folds to.
    ///
    /// # Errors
    /// When it could not be written. Nothing is lost but time at the next start.
    fn keep(&mut self, _at: Timestamp, _folded: &Folded) -> Result<(), JournalError> {
        Ok(())
    }
}

/// Reads a journal that another thread appends to. A read never waits for an append.
pub trait JournalReader: Send {
    /// As [`Journal::read`].
    ///
    /// # Errors
    /// When the records cannot be read.
    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError>;
}

/// Why the journal cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Two writers would overwrite each other's decisions.
    #[error(
        "the journal in {0} is in use by another server: stop that one, or give this one another data_dir"
    )]
    InUse(PathBuf),
    /// No directory, or no right to it.
    #[error("cannot open the journal in {path}: {source}")]
    Open {
        /// The data directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Written by another version of tidegate.
    #[error(
        "the journal has format {found}, and this version of tidegate supports format {supported} only: \
         use the version of tidegate that wrote it, or another data_dir"
    )]
    Format { found: i64, supported: i64 },
    /// A database that nothing was ever written to.
    #[error("there is no journal in {0} yet")]
    Empty(PathBuf),
    /// The chain does not hold, so nothing in it after that can be believed.
    #[error(
        "the journal is corrupt: {0}. Restore it from a backup, or move it away to begin a new one: \
         the stable versions of the configuration will serve then"
    )]
    Corrupt(#[from] Broken),
    /// A record whose chain holds, but that cannot be understood.
    #[error(
        "record {seq} of the journal cannot be read ({source}): was it written by a newer tidegate?"
    )]
    Unreadable {
        /// Its number.
        seq: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The journal holds what cannot have happened.
    #[error(
        "record {seq} of the journal: {source}. Restore it from a backup, or move it away to begin a new one: \
         the stable versions of the configuration will serve then"
    )]
    Misfit {
        /// The record.
        seq: u64,
        /// What does not fit.
        source: FoldError,
    },
    /// An event or a state that cannot be written as JSON.
    #[error("it cannot be written as JSON: {0}")]
    Encode(serde_json::Error),
    /// The file is no database, or no longer a whole one.
    #[error(
        "the journal's file is damaged: {0}. Restore it from a backup, or move it away to begin a new one: \
         the stable versions of the configuration will serve then"
    )]
    Damaged(rusqlite::Error),
    /// The disk is full, read-only, or broken.
    #[error("the journal's database: {0}")]
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
