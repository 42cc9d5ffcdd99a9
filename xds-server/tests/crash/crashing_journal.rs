//! A journal that crashes the server, and sidecars that record each published state with the newest record on disk.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate::controller::Sidecars;
use tidegate::journal::{
    FoldedState, Hash, Journal, JournalError, JournalReader, NewRecord, Record, Snapshot, Sqlite,
    digest,
};
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::ServiceName;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::mesh::Mesh;

use super::crash_trigger::{AppendFate, CrashTrigger};

/// The publications to the sidecars, over all restarts.
#[derive(Debug, Default)]
pub(crate) struct Publications {
    /// The newest record on the disk.
    newest: AtomicU64,
    /// The digest of each published state, and the newest record on disk at its publication.
    states: Mutex<Vec<(u64, Hash)>>,
}

impl Publications {
    pub(crate) fn states(&self) -> Vec<(u64, Hash)> {
        self.states.lock().clone()
    }

    fn note_records(&self, records: &[Record]) {
        let newest = records.last().map_or(0, |it| it.seq);
        self.newest.fetch_max(newest, Ordering::SeqCst);
    }
}

/// A journal on disk that crashes at the point of the trigger.
pub(crate) struct CrashingJournal {
    /// `None` after the crash.
    journal: Option<Sqlite>,
    crash_trigger: Arc<CrashTrigger>,
    publications: Arc<Publications>,
}

impl CrashingJournal {
    pub(crate) fn open(
        data: &Path,
        crash_trigger: &Arc<CrashTrigger>,
        publications: &Arc<Publications>,
    ) -> Self {
        let journal = Some(Sqlite::open(data).unwrap());
        Self {
            journal,
            crash_trigger: Arc::clone(crash_trigger),
            publications: Arc::clone(publications),
        }
    }

    fn journal(&mut self) -> &mut Sqlite {
        self.journal.as_mut().unwrap()
    }

    fn write(&mut self, records: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        let written = self.journal().append(records)?;
        self.publications.note_records(&written);
        Ok(written)
    }

    /// Releases the lock of the file, as the end of a process does, and ends the thread of the writer.
    fn crash(&mut self) -> ! {
        self.journal = None;
        self.crash_trigger.crash();
        resume_unwind(Box::new("crashed"))
    }
}

impl Journal for CrashingJournal {
    fn append(&mut self, records: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        match self.crash_trigger.append() {
            AppendFate::Write => self.write(records),
            AppendFate::Crash => self.crash(),
            AppendFate::WriteAndCrash => {
                self.write(records)?;
                self.crash()
            }
        }
    }

    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        let records = self.journal.as_ref().unwrap().read(after, limit)?;
        self.publications.note_records(&records);
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

/// Two sidecars that ACK everything at once.
pub(crate) struct AckingSidecars(pub(crate) Arc<Publications>);

impl Sidecars for AckingSidecars {
    fn publish(&mut self, _: &Mesh, state: &State) -> u64 {
        let newest = self.0.newest.load(Ordering::SeqCst);
        let mut states = self.0.states.lock();
        states.push((newest, digest(state).unwrap()));
        states.len() as u64
    }

    fn convergence(&self, _: u64, _: &ServiceName) -> Convergence {
        Convergence { acked: 2, connected: 2, ..Convergence::default() }
    }

    fn time_since_gap(&self, _: &ServiceName) -> Duration {
        Duration::MAX
    }
}
