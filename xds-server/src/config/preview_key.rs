//! The secret that opens preview listeners: the control plane sends it, and sidecars compare it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tidegate_xds::mesh::PreviewKey;

/// Where it is kept, in the data directory: it must outlive a restart, or every sidecar's routes
/// would change with it.
const FILE: &str = "preview.key";
/// Bytes of randomness.
const LENGTH: usize = 32;

/// Reads the key of a data directory, or creates it.
///
/// # Errors
/// When it can be neither read nor written, or when the file holds something else.
pub fn load_or_create(data_dir: &Path) -> io::Result<PreviewKey> {
    let path = data_dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(key) if is_key(key.trim()) => Ok(PreviewKey::new(key.trim().to_owned())),
        Ok(_) => Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("{} holds no key: remove it, and a new one is created", path.display()),
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => create(data_dir, &path),
        Err(error) => Err(error),
    }
}

fn create(data_dir: &Path, path: &Path) -> io::Result<PreviewKey> {
    fs::create_dir_all(data_dir)?;
    let random: [u8; LENGTH] = rand::random();
    let key = hex::encode(random);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    Ok(PreviewKey::new(key))
}

fn is_key(text: &str) -> bool {
    text.len() == 2 * LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_by_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let key = load_or_create(dir.path()).unwrap();
        assert_eq!(load_or_create(dir.path()).unwrap(), key);
        assert!(is_key(key.secret()));
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
        assert!(!format!("{key:?}").contains(key.secret()));
        let other = tempfile::tempdir().unwrap();
        assert_ne!(load_or_create(other.path()).unwrap(), key);
    }

    #[test]
    fn a_file_that_holds_no_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "short").unwrap();
        let error = load_or_create(dir.path()).unwrap_err().to_string();
        assert!(error.contains("preview.key") && error.contains("remove it"), "{error}");
    }
}
