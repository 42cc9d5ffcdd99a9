//! How far a receiver came, on disk: replaced as a whole, so that a crash leaves the old or the new.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::quiet::Quiet;
use tidegate_delivery::names::ReceiverName;

/// How far a receiver came.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// The last record that it was told of, or that was not for it.
    pub(super) seq: u64,
    /// What it was told lately.
    pub(super) quiet: Quiet,
}

/// Where a receiver's cursor is.
#[derive(Debug, Clone)]
pub(super) struct CursorFile(PathBuf);

impl CursorFile {
    pub(super) fn new(directory: &Path, receiver: &ReceiverName) -> Self {
        Self(directory.join(format!("{receiver}.json")))
    }

    /// None if there was none yet.
    pub(super) fn read(&self) -> io::Result<Option<Cursor>> {
        match fs::read(&self.0) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, cursor: &Cursor) -> io::Result<()> {
        if let Some(directory) = self.0.parent() {
            fs::create_dir_all(directory)?;
        }
        let new = self.0.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(cursor)?)?;
        file.sync_all()?;
        fs::rename(new, &self.0)
    }
}
