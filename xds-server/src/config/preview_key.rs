//! The key of preview listeners: the control plane sends it in a header, sidecars compare it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tidegate_xds::mesh::PreviewKey;

/// File in the data directory. The key survives a restart, because the routes of all sidecars
/// contain it.
const FILE: &str = "preview.key";
/// Bytes of randomness.
const LENGTH: usize = 32;

/// Reads the key of a data directory, or creates it.
///
/// # Errors
/// When the file can be neither read nor created, or is not a key.
pub fn load_or_create(data_dir: &Path) -> io::Result<PreviewKey> {
    match load(data_dir)? {
        Some(key) => Ok(key),
        None => create(data_dir, &data_dir.join(FILE)),
    }
}

/// Reads the key of a data directory, if it has one.
///
/// # Errors
/// When the file cannot be read, or is not a key.
pub fn load(data_dir: &Path) -> io::Result<Option<PreviewKey>> {
    let path = data_dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(key) if is_key(key.trim()) => Ok(Some(PreviewKey::new(key.trim().to_owned()))),
        Ok(_) => Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("{} is not a preview key; remove it to create a new one", path.display()),
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
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
    fn a_key_is_created_once_and_readable_by_its_owner_only() {
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
    fn a_file_that_is_not_a_key_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "short").unwrap();
        let error = load_or_create(dir.path()).unwrap_err().to_string();
        assert!(error.contains("preview.key") && error.contains("remove it"), "{error}");
    }
}
