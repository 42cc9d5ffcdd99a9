//! The commit that a release deploys. Lead time is measured from it.

use serde::{Deserialize, Serialize};

use crate::units::Timestamp;

/// Longest id of a commit, in bytes: SHA-256 in hexadecimal.
const MAX_ID: usize = 64;

/// A commit in version control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Its id, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The commit time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// An invalid commit id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a commit id: it must have 7 to {MAX_ID} hexadecimal digits")]
pub struct NoCommit(String);

impl Commit {
    /// Checks the id.
    ///
    /// # Errors
    /// When the id is not hexadecimal, or has another length.
    pub fn validate(&self) -> Result<(), NoCommit> {
        match &self.id {
            Some(id)
                if !(7..=MAX_ID).contains(&id.len())
                    || !id.bytes().all(|b| b.is_ascii_hexdigit()) =>
            {
                Err(NoCommit(id.chars().take(MAX_ID).collect()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_hexadecimal() {
        let commit = |id: &str| Commit { id: Some(id.to_owned()), at: None };
        for good in ["6c6eb22", &"0aF".repeat(21)] {
            assert_eq!(commit(good).validate(), Ok(()));
        }
        for bad in ["", "6c6eb2", "master1", "6c6eb22\n", &"a".repeat(65)] {
            assert!(commit(bad).validate().is_err(), "{bad}");
        }
    }
}
