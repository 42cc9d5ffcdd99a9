//! The journal: the append-only, hash-chained log of everything decided. It is the truth, and
//! all state is its fold; so it is written before anything acts, and a broken one stops the server.

pub mod chain;
mod record;
mod sqlite;

use std::path::PathBuf;

pub use self::chain::{Broken, Hash, Head};
pub use self::record::{NewRecord, Record, Written};
pub use self::sqlite::Sqlite;

/// Where records are kept. It has one writer, the controller.
pub trait Journal: Send {
    /// Appends all of these or none. When it returns them, they are on disk.
    ///
    /// # Errors
    /// When they could not be written; the journal is as it was then.
    fn append(&mut self, records: &[NewRecord]) -> Result<Vec<Record>, JournalError>;

    /// The records after a sequence number, in order, at most `limit`; fewer if they are large.
    /// None means that there are no more.
    ///
    /// # Errors
    /// When they cannot be read.
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
    /// Written by a later version of this program.
    #[error(
        "the journal has format {found}, and this version of tidegate knows {known}: use a newer one"
    )]
    Format {
        /// The journal's.
        found: i64,
        /// Ours.
        known: i64,
    },
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
    /// An event that cannot be written as JSON.
    #[error("an event cannot be written as JSON: {0}")]
    Encode(serde_json::Error),
    /// The disk is full, read-only, broken, or the file is no database.
    #[error("the journal's database: {0}")]
    Database(#[from] rusqlite::Error),
}
