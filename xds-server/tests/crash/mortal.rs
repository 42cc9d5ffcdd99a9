//! What the server's life hangs on: a journal that it dies of, and sidecars that remember what they
//! were sent, and what was on the disk by then.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tidegate::controller::Sidecars;
use tidegate::journal::{
    FoldedState, Hash, Journal, JournalError, JournalReader, NewRecord, Record, Snapshot, Sqlite,
    digest,
};
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::model::state::State;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::mesh::Mesh;

use super::fuse::{Fate, Fuse};

/// What sidecars were sent, in all lives.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The newest record on the disk.
    newest: AtomicU64,
    /// Each state, and the newest record when it was sent.
    states: Mutex<Vec<(u64, Hash)>>,
}

impl Sent {
    pub(crate) fn states(&self) -> Vec<(u64, Hash)> {
        self.states.lock().clone()
    }

    fn is_on_disk(&self, records: &[Record]) {
        let newest = records.last().map_or(0, |it| it.seq);
        self.newest.fetch_max(newest, Ordering::SeqCst);
    }
}

/// The journal on disk.
pub(crate) struct Mortal {
    /// None once it has died.
    journal: Option<Sqlite>,
    fuse: Arc<Fuse>,
    sent: Arc<Sent>,
}

impl Mortal {
    pub(crate) fn open(data: &Path, fuse: &Arc<Fuse>, sent: &Arc<Sent>) -> Self {
        let journal = Some(Sqlite::open(data).unwrap());
        Self { journal, fuse: Arc::clone(fuse), sent: Arc::clone(sent) }
    }

    fn journal(&mut self) -> &mut Sqlite {
        self.journal.as_mut().unwrap()
    }

    fn write(&mut self, records: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        let written = self.journal().append(records)?;
        self.sent.is_on_disk(&written);
        Ok(written)
    }

    /// The writer's thread ends where it stands. The lock goes first, as a dead process' would.
    fn die(&mut self) -> ! {
        self.journal = None;
        self.fuse.die();
        resume_unwind(Box::new("killed"))
    }
}

impl Journal for Mortal {
    fn append(&mut self, records: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        match self.fuse.append() {
            Fate::Written => self.write(records),
            Fate::Lost => self.die(),
            Fate::Last => {
                self.write(records)?;
                self.die()
            }
        }
    }

    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        let records = self.journal.as_ref().unwrap().read(after, limit)?;
        self.sent.is_on_disk(&records);
        Ok(records)
    }

    fn reader(&self) -> Result<Box<dyn JournalReader>, JournalError> {
        self.journal.as_ref().unwrap().reader()
    }

    fn take_snapshot(&mut self) -> Option<Snapshot> {
        self.journal().take_snapshot()
    }

    fn save_snapshot(&mut self, at: Timestamp, folded: &FoldedState) -> Result<(), JournalError> {
        self.journal().save_snapshot(at, folded)
    }
}

/// Two sidecars that accept whatever they are sent.
pub(crate) struct Willing(pub(crate) Arc<Sent>);

impl Sidecars for Willing {
    fn publish(&mut self, _: &Mesh, state: &State) -> u64 {
        let newest = self.0.newest.load(Ordering::SeqCst);
        let mut states = self.0.states.lock();
        states.push((newest, digest(state).unwrap()));
        states.len() as u64
    }

    fn convergence(&self, _: u64) -> Convergence {
        Convergence { acked: 2, connected: 2, ..Convergence::default() }
    }
}
