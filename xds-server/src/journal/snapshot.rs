//! Snapshots: the state after one record, so that a start replays only the records after it.
//!
//! A snapshot is derived data and may be deleted at any time. It contains the number and hash of its record, the version of
//! Tidegate that wrote it, and the hash of its content; a start skips a snapshot in which one of these does not match. The
//! records before it are folded again in the background, see [`super::scrub`].

use super::chain::{Hash, Head};
use super::fold::FoldedState;
use tidegate_delivery::units::Timestamp;

/// The version that may read a snapshot, because another version may fold the same records to another state. The number
/// after the slash is raised when the fold changes within one version.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "/2");

/// The state after one record.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The record.
    pub head: Head,
    /// Its journal time.
    pub at: Timestamp,
    /// The state after it.
    pub folded: FoldedState,
    /// Hash of the stored snapshot.
    pub digest: Hash,
}

/// A snapshot as stored.
#[derive(Debug)]
pub(super) struct StoredSnapshot {
    pub(super) head: Head,
    pub(super) at: Timestamp,
    pub(super) version: String,
    pub(super) digest: Hash,
    /// As JSON.
    pub(super) content: String,
}

/// A snapshot cannot be used. The replay starts earlier then.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error("version {0} of tidegate wrote it, and this is {VERSION}")]
    Version(String),
    #[error("its content does not match its hash")]
    Damaged,
    #[error(
        "its record is not in the journal: it belongs to another journal, or records are missing"
    )]
    Foreign,
    #[error("its content cannot be parsed: {0}")]
    Parse(#[from] serde_json::Error),
}

impl StoredSnapshot {
    pub(super) fn of(
        head: Head,
        at: Timestamp,
        folded: &FoldedState,
    ) -> Result<Self, serde_json::Error> {
        let content = serde_json::to_string(folded)?;
        let version = VERSION.to_owned();
        let digest = digest(&head, at, &version, &content);
        Ok(Self { head, at, version, digest, content })
    }

    pub(super) fn read(self) -> Result<Snapshot, SnapshotError> {
        if self.version != VERSION {
            return Err(SnapshotError::Version(self.version));
        }
        if self.digest != digest(&self.head, self.at, &self.version, &self.content) {
            return Err(SnapshotError::Damaged);
        }
        let folded = serde_json::from_str(&self.content)?;
        Ok(Snapshot { head: self.head, at: self.at, folded, digest: self.digest })
    }
}

fn digest(head: &Head, at: Timestamp, version: &str, content: &str) -> Hash {
    let Head { seq, hash } = head;
    Hash::of(format!("{seq} {hash} {} {version} {content}", at.0).as_bytes())
}
