//! A journal that is only read: beside a running server, or of a copy. It needs no lock, writes
//! nothing, and believes nothing but the chain.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::super::chain::Head;
use super::super::fold::Folded;
use super::super::{JournalError, JournalReader, Record};
use super::{DATABASE, row, schema};

/// Records that are read at a time.
const PAGE: usize = 1000;

/// The journal of a data directory, as it is when it is asked.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens the journal in a directory.
    ///
    /// # Errors
    /// When there is none, or none that this version knows.
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

    /// The records after one, in order, at most `limit`, fewer if they are large.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        row::page(&self.connection, after, limit)
    }

    /// Verifies and folds the journal from its first record to `last`, or to its end if that is
    /// nearer. Snapshots are not looked at.
    ///
    /// # Errors
    /// When the chain does not hold, or does not fold.
    pub fn fold(&self, last: u64) -> Result<(Head, Folded), JournalError> {
        let mut head = Head::genesis();
        let mut folded = Folded::default();
        while head.seq < last {
            let left = usize::try_from(last - head.seq).unwrap_or(usize::MAX);
            let page = self.read(head.seq, left.min(PAGE))?;
            if page.is_empty() {
                break;
            }
            for record in page {
                head = record.verify(&head)?;
                folded.take(&record)?;
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
