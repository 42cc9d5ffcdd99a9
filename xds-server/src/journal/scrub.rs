//! Background verification of the records before a snapshot, which a start does not read: verifies their chain, and
//! that they fold to the content of the snapshot. It runs once after each start, so starts are fast and the whole journal is
//! verified nevertheless.
//!
//! Damage does not stop the server, because a rollback must not wait for a restored backup. The log, `/readyz` and the
//! metric `tidegate_journal_damaged` report it until the next start.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::chain::{Hash, Head};
use super::snapshot::{Snapshot, StoredSnapshot};
use super::{JournalError, Reader};
use tidegate_delivery::units::Timestamp;

/// The records before a snapshot, which are not verified yet.
#[derive(Debug, Clone, Copy)]
pub struct UnverifiedPrefix {
    head: Head,
    at: Timestamp,
    digest: Hash,
}

/// The result of the background verification. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Scrub(Arc<OnceLock<Result<u64, Damage>>>);

/// The records before the snapshot do not verify.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// They cannot be read, verified or folded.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// They fold to another state than the snapshot's.
    #[error(
        "the snapshot at record {0} differs from the state of the records before it: stop the server, delete \
         the rows of the table `snapshots`, and start again"
    )]
    Snapshot(u64),
}

impl From<&Snapshot> for UnverifiedPrefix {
    fn from(snapshot: &Snapshot) -> Self {
        Self { head: snapshot.head, at: snapshot.at, digest: snapshot.digest }
    }
}

impl Scrub {
    /// Starts the verification on its own thread. Without a snapshot the start has verified the whole journal, and nothing
    /// is left to do.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(
        data_dir: PathBuf,
        unverified_prefix: Option<UnverifiedPrefix>,
    ) -> std::io::Result<Self> {
        let scrub = Self::default();
        let Some(unverified_prefix) = unverified_prefix else {
            return Ok(scrub);
        };
        let result = scrub.clone();
        std::thread::Builder::new().name("scrub".to_owned()).spawn(move || {
            let found = unverified_prefix.verify_prefix(&data_dir);
            match &found {
                Ok(seq) => tracing::info!(seq, "the records before the snapshot are verified"),
                Err(damage) => tracing::error!(%damage, "the records before the snapshot are damaged; the server continues"),
            }
            // It runs once, so the cell is empty.
            result.0.set(found).ok();
        })?;
        Ok(scrub)
    }

    /// The damage, once found.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.0.get()?.as_ref().err()
    }
}

impl UnverifiedPrefix {
    pub(super) fn verify_prefix(&self, data_dir: &Path) -> Result<u64, Damage> {
        let seq = self.head.seq;
        let (head, folded) = Reader::open(data_dir)?.fold(seq)?;
        let kept = StoredSnapshot::of(head, self.at, &folded).map_err(JournalError::Encode)?;
        if head == self.head && kept.digest == self.digest {
            Ok(seq)
        } else {
            Err(Damage::Snapshot(seq))
        }
    }
}
