//! Delivery state of a receiver: its position in the journal, on disk. The file is replaced atomically.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::suppression::Suppression;
use tidegate_delivery::names::ReceiverName;

/// Delivery state of a receiver.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct DeliveryState {
    /// The last record that was delivered or needs no delivery.
    pub(super) seq: u64,
    pub(super) suppression: Suppression,
}

/// The file with a receiver's delivery state.
#[derive(Debug, Clone)]
pub(super) struct DeliveryStateFile(PathBuf);

impl DeliveryStateFile {
    pub(super) fn new(directory: &Path, receiver: &ReceiverName) -> Self {
        Self(directory.join(format!("{receiver}.json")))
    }

    /// `None` if the file does not exist.
    pub(super) fn read(&self) -> io::Result<Option<DeliveryState>> {
        match fs::read(&self.0) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, state: &DeliveryState) -> io::Result<()> {
        if let Some(directory) = self.0.parent() {
            fs::create_dir_all(directory)?;
        }
        let new = self.0.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(state)?)?;
        file.sync_all()?;
        fs::rename(new, &self.0)
    }
}
