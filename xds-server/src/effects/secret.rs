//! Secrets, read where they are used, each time anew: a rotated one needs no restart.

use std::env;
use std::io;

use crate::config::{FileError, read_text};
use tidegate_delivery::model::hook::SecretRef;

/// Longest secret, in bytes.
const MAX: u64 = 4096;

/// Why there is no secret. None of these repeats what was read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    /// Not there, or not readable.
    #[error("cannot read the secret in {place}: {source}")]
    Read { place: String, source: io::Error },
    /// The variable is not set.
    #[error("there is no secret: {0} is not set")]
    Unset(String),
    /// There is nothing to sign with.
    #[error("the secret in {0} is empty, longer than {MAX} bytes, not text, or not a regular file")]
    Unusable(String),
}

/// The secret, without the line's end.
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
    fn is_read_without_its_line_end_and_never_repeated() {
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
