//! A snapshot: what the journal folds to up to one record, so that a start need not replay it all.
//!
//! It is a copy that may be thrown away at any time, never the truth. It names the record it
//! belongs to by number and hash, the version of this program that made it, and the hash of its
//! own content; whatever does not fit is left aside. What a start took from it on trust is folded
//! once more in the background, see [`super::scrub`].

use super::chain::{Hash, Head};
use super::fold::Folded;
use tidegate_delivery::units::Timestamp;

/// The version that may read it. Another version may fold the same records to another state, and
/// the second number is raised when it does so without a version of its own.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "/1");

/// What the journal folds to up to one record.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// That record.
    pub head: Head,
    /// When it was written.
    pub at: Timestamp,
    /// What it folds to.
    pub folded: Folded,
    /// The snapshot's own hash.
    pub digest: Hash,
}

/// A snapshot as it is stored.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) head: Head,
    pub(super) at: Timestamp,
    pub(super) version: String,
    pub(super) digest: Hash,
    /// As JSON.
    pub(super) content: String,
}

/// Why a snapshot cannot be used. The records can.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it was made by version {0} of tidegate, and this is {VERSION}")]
    Version(String),
    #[error("it is damaged")]
    Damaged,
    #[error(
        "the journal does not have the record that it was made at: it belongs to another, or records are missing"
    )]
    Foreign,
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

impl Kept {
    pub(super) fn of(
        head: Head,
        at: Timestamp,
        folded: &Folded,
    ) -> Result<Self, serde_json::Error> {
        let content = serde_json::to_string(folded)?;
        let version = VERSION.to_owned();
        let digest = digest(&head, at, &version, &content);
        Ok(Self { head, at, version, digest, content })
    }

    pub(super) fn read(self) -> Result<Snapshot, Unusable> {
        if self.version != VERSION {
            return Err(Unusable::Version(self.version));
        }
        if self.digest != digest(&self.head, self.at, &self.version, &self.content) {
            return Err(Unusable::Damaged);
        }
        let folded = serde_json::from_str(&self.content)?;
        Ok(Snapshot { head: self.head, at: self.at, folded, digest: self.digest })
    }
}

fn digest(head: &Head, at: Timestamp, version: &str, content: &str) -> Hash {
    let Head { seq, hash } = head;
    Hash::of(format!("{seq} {hash} {} {version} {content}", at.0).as_bytes())
}
