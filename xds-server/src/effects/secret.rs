//! Secrets of webhooks and DNS updates. They are read at each use, so a rotated secret needs no restart.

use std::env;
use std::io;

use crate::files::{FileError, read_text};
use tidegate_delivery::model::hook::SecretRef;

/// Limit of a secret, in bytes.
const MAX: u64 = 4096;

/// Why a secret cannot be used. No variant contains what was read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    #[error("cannot read the secret in {place}: {source}")]
    Read { place: String, source: io::Error },
    #[error("no secret: {0} is not set")]
    Unset(String),
    #[error(
        "the secret in {0} is empty, longer than {MAX} bytes, not UTF-8, or not a regular file"
    )]
    Unusable(String),
}

/// Reads a secret, without surrounding whitespace.
pub(super) fn read(secret: &SecretRef) -> Result<String, SecretError> {
    let place = secret.to_string();
    let text = match secret {
        SecretRef::Env(name) => match env::var(name) {
            Ok(text) => Some(text),
            Err(env::VarError::NotPresent) => return Err(SecretError::Unset(place)),
            Err(env::VarError::NotUnicode(_)) => None,
        },
        SecretRef::File(path) => match read_text(path, MAX) {
            Ok(text) => Some(text),
            Err(FileError::Read { source, .. }) => {
                return Err(SecretError::Read { place, source });
            }
            Err(_) => None,
        },
    };
    let text = text.filter(|text| text.len() as u64 <= MAX);
    let secret = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    secret.ok_or(SecretError::Unusable(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_trimmed_and_never_part_of_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let secret = SecretRef::File(path.clone());
        assert!(matches!(read(&secret), Err(SecretError::Read { .. })));
        std::fs::write(&path, "s3cret\n").unwrap();
        assert_eq!(read(&secret).unwrap(), "s3cret");
        for unusable in [" \n".to_owned(), "s3cret".repeat(1000)] {
            std::fs::write(&path, unusable).unwrap();
            let error = read(&secret).unwrap_err();
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
        let unset = SecretRef::Env("TIDEGATE_TEST_IS_NOT_SET".to_owned());
        assert!(matches!(read(&unset), Err(SecretError::Unset(_))));
    }
}
