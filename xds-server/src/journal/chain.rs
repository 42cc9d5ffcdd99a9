//! The hash chain. Each record's hash covers its content and the previous hash, so a changed, removed or inserted record
//! invalidates every later hash.
//!
//! SHA-256 alone is enough to verify it. The first record's `previous` is the SHA-256 of the
//! ASCII text `tidegate journal 1`. A record's hash is the SHA-256 of these bytes, in this order:
//!
//! | bytes | content |
//! |---|---|
//! | 32 | `previous`: the hash of the previous record |
//! | 8 | `seq`, big endian; the first is 1 |
//! | 8 | `at`: milliseconds since the Unix epoch, big endian |
//! | 8 + n | `actor`: length in bytes, big endian, then UTF-8 |
//! | 1, or 1 + 8 + n | `reason`: a zero byte without a reason; else a one, the length and UTF-8 |
//! | 8 + n | `event`: the length, then its JSON, exactly as stored and sent |

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use tidegate_delivery::units::Timestamp;

const GENESIS: &[u8] = b"tidegate journal 1";

/// A SHA-256, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash([u8; 32]);

/// Text that is not a [`struct@Hash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 64 lower-case hexadecimal digits")]
pub struct InvalidHash;

/// The newest record's number and hash: enough to extend the chain, or to verify what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Zero before the first record.
    pub seq: u64,
    /// [`Head::genesis`] before the first record.
    pub hash: Hash,
}

/// The part of a record that its hash covers, beside number and previous hash.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// Journal time of the decision.
    pub at: Timestamp,
    /// The person or component that requested it.
    pub actor: &'a str,
    /// The reason given, if any.
    pub reason: Option<&'a str>,
    /// The event's JSON, byte for byte.
    pub event: &'a str,
}

/// A record at which the chain does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The numbers have a gap.
    #[error("record {expected} is missing: record {found} is in its place")]
    Missing {
        /// The next number.
        expected: u64,
        /// The number in its place.
        found: u64,
    },
    /// The record was inserted, or its predecessor replaced.
    #[error("record {0} does not follow from the record before it")]
    Unlinked(u64),
    /// The record's content does not match its hash.
    #[error("record {0} was changed after it was written")]
    Altered(u64),
}

impl Hash {
    /// SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl Head {
    /// The head of an empty journal.
    #[must_use]
    pub fn genesis() -> Self {
        Self { seq: 0, hash: Hash::of(GENESIS) }
    }

    /// The head after one more record.
    #[must_use]
    pub fn extend(&self, content: &Content<'_>) -> Self {
        let seq = self.seq.saturating_add(1);
        let mut hasher = Sha256::new();
        hasher.update(self.hash.0);
        hasher.update(seq.to_be_bytes());
        hasher.update(content.at.0.to_be_bytes());
        update_with_length(&mut hasher, content.actor);
        match content.reason {
            None => hasher.update([0]),
            Some(reason) => {
                hasher.update([1]);
                update_with_length(&mut hasher, reason);
            }
        }
        update_with_length(&mut hasher, content.event);
        Self { seq, hash: Hash(hasher.finalize().into()) }
    }

    /// The head after a record with the number and hashes that are stored in it.
    ///
    /// # Errors
    /// If the record does not follow this head.
    pub fn verify(
        &self,
        seq: u64,
        previous: Hash,
        hash: Hash,
        content: &Content<'_>,
    ) -> Result<Self, ChainError> {
        let next = self.extend(content);
        if seq != next.seq {
            return Err(ChainError::Missing { expected: next.seq, found: seq });
        }
        if previous != self.hash {
            return Err(ChainError::Unlinked(seq));
        }
        if hash != next.hash {
            return Err(ChainError::Altered(seq));
        }
        Ok(next)
    }
}

/// Hashes a text after its length: different contents never hash the same bytes.
fn update_with_length(hasher: &mut Sha256, text: &str) {
    let length = text.len() as u64;
    hasher.update(length.to_be_bytes());
    hasher.update(text);
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| InvalidHash)?;
        // `hex` accepts upper case as well; a hash has one text only.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(InvalidHash);
        }
        Ok(Self(hash))
    }
}

impl TryFrom<String> for Hash {
    type Error = InvalidHash;

    fn try_from(text: String) -> Result<Self, InvalidHash> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: Content<'_> = Content {
        at: Timestamp(1_700_000_000_123),
        actor: "änne",
        reason: Some("why not"),
        event: r#"{"event":"flag_deleted","key":"k"}"#,
    };

    /// Computed with Python's hashlib from the table above.
    #[test]
    fn hashes_match_the_documented_format() {
        let genesis = Head::genesis();
        assert_eq!(
            genesis.hash.to_string(),
            "5b4737590d6c0d992f4e9c2935492b3e104b5ccce4d249bcf33c2467308a8568"
        );
        let first = genesis.extend(&CONTENT);
        assert_eq!(
            first.hash.to_string(),
            "9c147bb4d00c717eb43e189593d9a7a827755c0471f89ebd1ba5d151cc2dfcb3"
        );
        let silent = Content { reason: None, ..CONTENT };
        let second = first.extend(&silent);
        assert_eq!(
            second.hash.to_string(),
            "4b277a35dc414aa0d3f198436064c4c0663e76f70ed0b21eba51a8d919e780ec"
        );
        assert_eq!(second.seq, 2);
    }

    #[test]
    fn every_change_breaks_the_chain() {
        let head = Head::genesis();
        let next = head.extend(&CONTENT);
        assert_eq!(head.verify(1, head.hash, next.hash, &CONTENT), Ok(next));
        let changes = [
            Content { at: Timestamp(1), ..CONTENT },
            Content { actor: "anne", ..CONTENT },
            Content { reason: None, ..CONTENT },
            Content { event: "{}", ..CONTENT },
        ];
        for changed in &changes {
            let verdict = head.verify(1, head.hash, next.hash, changed);
            assert_eq!(verdict, Err(ChainError::Altered(1)), "{changed:?}");
        }
        assert_eq!(head.verify(1, next.hash, next.hash, &CONTENT), Err(ChainError::Unlinked(1)));
        assert_eq!(
            head.verify(3, head.hash, next.hash, &CONTENT),
            Err(ChainError::Missing { expected: 1, found: 3 })
        );
    }

    #[test]
    fn a_hash_parses_from_its_text() {
        let hash = Head::genesis().hash;
        assert_eq!(hash.to_string().parse(), Ok(hash));
        let text = hash.to_string();
        for bad in [
            "",
            &text[1..],
            &format!("{text}0"),
            &format!("{text}00"),
            &text.to_uppercase(),
            &text.replace('0', "g"),
        ] {
            assert_eq!(bad.parse::<Hash>(), Err(InvalidHash), "{bad}");
        }
    }
}
