//! The secret that opens preview listeners: the control plane sends it, and sidecars compare it.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Where it is kept, in the data directory: it must outlive a restart, or every sidecar's routes
/// would change with it.
const FILE: &str = "preview.key";
/// Bytes of randomness.
const LENGTH: usize = 32;

/// A secret of this installation; none opens nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PreviewKey(String);

impl PreviewKey {
    /// The key of a data directory, made if there is none yet.
    ///
    /// # Errors
    /// When it can be neither read nor written.
    pub fn of(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(FILE);
        match fs::read_to_string(&path) {
            Ok(key) if is_key(key.trim()) => Ok(Self(key.trim().to_owned())),
            Ok(_) => Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("{} holds no key: remove it, and a new one is made", path.display()),
            )),
            Err(error) if error.kind() == ErrorKind::NotFound => Self::make(data_dir, &path),
            Err(error) => Err(error),
        }
    }

    fn make(data_dir: &Path, path: &Path) -> io::Result<Self> {
        fs::create_dir_all(data_dir)?;
        let random: [u8; LENGTH] = rand::random();
        let key = super::hex(&random);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(key.as_bytes())?;
        file.sync_all()?;
        Ok(Self(key))
    }

    /// The secret itself.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

fn is_key(text: &str) -> bool {
    text.len() == 2 * LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Keeps the secret out of logs.
impl fmt::Debug for PreviewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreviewKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_by_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let key = PreviewKey::of(dir.path()).unwrap();
        assert_eq!(PreviewKey::of(dir.path()).unwrap(), key);
        assert!(is_key(key.secret()));
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
        assert!(!format!("{key:?}").contains(key.secret()));
        let other = tempfile::tempdir().unwrap();
        assert_ne!(PreviewKey::of(other.path()).unwrap(), key);
    }

    #[test]
    fn a_file_that_holds_no_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "short").unwrap();
        let error = PreviewKey::of(dir.path()).unwrap_err().to_string();
        assert!(error.contains("preview.key") && error.contains("remove it"), "{error}");
    }
}
