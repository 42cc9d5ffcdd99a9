//! Proves in the background what a start took from a snapshot on trust: that the chain up to it
//! holds, and that the records fold to exactly what it says. So every start is fast, and after every
//! start the whole journal is verified all the same.
//!
//! Damage that is found does not stop the server: a rollback must not wait for a restored backup.
//! It is told in the log, in `/readyz` and in the metrics, until somebody has seen to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::chain::{Hash, Head};
use super::snapshot::{Kept, Snapshot};
use super::{JournalError, Reader};
use tidegate_delivery::units::Timestamp;

/// What a start took on trust.
#[derive(Debug, Clone, Copy)]
pub struct Trusted {
    head: Head,
    at: Timestamp,
    digest: Hash,
}

/// What a background verification found; shared with whoever tells of it.
#[derive(Debug, Clone, Default)]
pub struct Scrub(Arc<OnceLock<Result<u64, Damage>>>);

/// Why the part of the journal before the snapshot cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It cannot be read, or the chain does not hold.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The snapshot says something else than the records.
    #[error(
        "the snapshot at record {0} is not what the records before it say: stop the server, delete \
         the rows of the table `snapshots`, and start again"
    )]
    Snapshot(u64),
}

impl From<&Snapshot> for Trusted {
    fn from(snapshot: &Snapshot) -> Self {
        Self { head: snapshot.head, at: snapshot.at, digest: snapshot.digest }
    }
}

impl Scrub {
    /// Begins to verify the journal in a directory, in a thread of its own. With nothing taken on
    /// trust there is nothing to do.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn begin(data_dir: PathBuf, trusted: Option<Trusted>) -> std::io::Result<Self> {
        let scrub = Self::default();
        let Some(trusted) = trusted else {
            return Ok(scrub);
        };
        let told = scrub.clone();
        std::thread::Builder::new().name("scrub".to_owned()).spawn(move || {
            let found = trusted.prove(&data_dir);
            match &found {
                Ok(seq) => tracing::info!(seq, "the journal behind the snapshot is verified"),
                Err(damage) => tracing::error!(%damage, "the journal is damaged; it still works"),
            }
            // It runs once, so nothing was told before.
            told.0.set(found).ok();
        })?;
        Ok(scrub)
    }

    /// The damage that was found, if any was.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.0.get()?.as_ref().err()
    }
}

impl Trusted {
    pub(super) fn prove(&self, data_dir: &Path) -> Result<u64, Damage> {
        let seq = self.head.seq;
        let (head, folded) = Reader::open(data_dir)?.fold(seq)?;
        let kept = Kept::of(head, self.at, &folded).map_err(JournalError::Encode)?;
        if head == self.head && kept.digest == self.digest {
            Ok(seq)
        } else {
            Err(Damage::Snapshot(seq))
        }
    }
}
