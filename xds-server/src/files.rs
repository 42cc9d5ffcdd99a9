//! The reader of every file that an operator names: configuration, flags, certificates, secrets,
//! documents of CLI commands.
//!
//! A path may come over the network, so a file must be regular (reading a pipe or a device may never
//! end) and has a size limit. A UTF-8 byte order mark at its start is removed.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Largest configuration, flag document, certificate bundle or CLI document, in bytes: a thousand
/// services take less.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// The UTF-8 byte order mark.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It does not exist or is not readable.
    #[error("cannot read {}: {source}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// It is a directory, a pipe, a socket or a device.
    #[error("{} is not a regular file; write its content to one", .0.display())]
    NotRegular(PathBuf),
    /// It exceeds the limit.
    #[error("{} is larger than {limit} bytes; check that it is the right file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// It is not text.
    #[error("{} is not UTF-8 text; save it in UTF-8", .0.display())]
    NotUtf8(PathBuf),
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// When it is unreadable, not regular or too large.
pub fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let fail = |source| FileError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(fail)?.is_file() {
        return Err(FileError::NotRegular(path.to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(limit + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), limit });
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

/// Reads a text file of at most `limit` bytes.
///
/// # Errors
/// As [`read_bytes`]; also when it is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String, FileError> {
    String::from_utf8(read_bytes(path, limit)?).map_err(|_| FileError::NotUtf8(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (bytes, text) in [
            (&b"\xef\xbb\xbflisten: {}"[..], "listen: {}"),
            (b"listen: {}", "listen: {}"),
            (b"\xef\xbb\xbf", ""),
        ] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(read_text(&path, 100).unwrap(), text);
        }
    }

    #[test]
    fn only_regular_files_up_to_the_limit_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(matches!(read_bytes(&path, 4), Err(FileError::Read { .. })));
        assert!(matches!(read_bytes(dir.path(), 4), Err(FileError::NotRegular(_))));
        assert!(matches!(read_bytes(Path::new("/dev/zero"), 4), Err(FileError::NotRegular(_))));
        fs::write(&path, b"\xff\xfe\xfd\xfc").unwrap();
        assert_eq!(read_bytes(&path, 4).unwrap().len(), 4);
        assert!(matches!(read_text(&path, 4), Err(FileError::NotUtf8(_))));
        assert!(matches!(read_bytes(&path, 3), Err(FileError::TooLarge { limit: 3, .. })));
    }
}
