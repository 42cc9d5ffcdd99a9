//! Reads of the journal for the API, event streams and notifications.
//!
//! Each read runs on a blocking thread, with one of a fixed number of readers. A caller waits for a free reader, never
//! for the controller's thread, so a listing delays other reads by at most one page, and no command.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::handle::CommandError;
use crate::journal::{Journal, JournalError, JournalReader, Record};

/// Reads at a time.
const READERS: usize = 2;

/// The readers of one journal.
#[derive(Clone)]
pub(super) struct Reads {
    /// One permit per idle reader.
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Box<dyn JournalReader>>>>,
}

impl std::fmt::Debug for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reads").finish_non_exhaustive()
    }
}

impl Reads {
    pub(super) fn new(journal: &dyn Journal) -> Result<Self, JournalError> {
        let idle = (0..READERS).map(|_| journal.reader()).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { permits: Arc::new(Semaphore::new(READERS)), idle: Arc::new(Mutex::new(idle)) })
    }

    /// As [`Journal::read`].
    pub(super) async fn page(&self, after: u64, limit: usize) -> Result<Vec<Record>, CommandError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| CommandError::Stopped)?;
        let idle = Arc::clone(&self.idle);
        let read = spawn_blocking(move || {
            let reader = idle.lock().pop();
            let page = reader.as_ref().map(|reader| reader.read(after, limit));
            idle.lock().extend(reader);
            drop(permit);
            page
        });
        match read.await {
            Ok(Some(page)) => Ok(page?),
            // The runtime is shutting down.
            Ok(None) | Err(_) => Err(CommandError::Stopped),
        }
    }
}
