//! Read-only access: beside a running server, or to a copy. Needs no lock.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::super::chain::Head;
use super::super::fold::FoldedState;
use super::super::{JournalError, JournalReader, Record};
use super::{DATABASE, row, schema};

/// Records per read of a fold.
const PAGE: usize = 1000;

/// A read-only connection. Each read sees the newest records.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens the journal in a data directory.
    ///
    /// # Errors
    /// If there is no journal, or one of another format.
    pub fn open(data_dir: &Path) -> Result<Self, JournalError> {
        let path = data_dir.join(DATABASE);
        std::fs::metadata(&path)
            .map_err(|source| JournalError::Open { path: path.clone(), source })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        if !schema::is_initialized(&connection)? {
            return Err(JournalError::Empty(path));
        }
        Ok(Self { connection })
    }

    /// As [`super::Journal::read`].
    ///
    /// # Errors
    /// If the records cannot be read.
    pub fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        row::page(&self.connection, after, limit)
    }

    /// Verifies and folds the records from the first to `last`, or to the end if that is earlier. Ignores snapshots.
    ///
    /// # Errors
    /// If the records cannot be read, verified or folded.
    pub fn fold(&self, last: u64) -> Result<(Head, FoldedState), JournalError> {
        let mut head = Head::genesis();
        let mut folded = FoldedState::default();
        while head.seq < last {
            let left = usize::try_from(last - head.seq).unwrap_or(usize::MAX);
            let page = self.read(head.seq, left.min(PAGE))?;
            if page.is_empty() {
                break;
            }
            for record in page {
                head = record.verify(&head)?;
                folded.apply(&record)?;
            }
        }
        Ok((head, folded))
    }
}

impl JournalReader for Reader {
    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        Self::read(self, after, limit)
    }
}
