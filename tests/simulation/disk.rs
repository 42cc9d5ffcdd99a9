//! The journal in memory. It outlives the control plane, and can fail an append as a crash does: before the write, or
//! after the write and before the publication.

use std::sync::Arc;

use parking_lot::Mutex;
use tidegate::journal::{
    FoldedState, Head, Journal, JournalError, JournalReader, NewRecord, Record,
};
use tidegate_delivery::model::state::State;

/// What the crash does to the append in which it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    BeforeWrite,
    AfterWrite,
}

#[derive(Debug, Default)]
struct Content {
    records: Vec<Record>,
    folded: FoldedState,
    next: Option<Crash>,
    crashed: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Content>>);

impl Disk {
    pub(crate) fn crash_at_next_append(&self, crash: Crash) {
        self.0.lock().next = Some(crash);
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.0.lock().crashed
    }

    /// Must be called before the next control plane starts.
    pub(crate) fn restart(&self) {
        let mut content = self.0.lock();
        (content.next, content.crashed) = (None, false);
    }

    /// The fold of all records.
    pub(crate) fn state(&self) -> State {
        self.0.lock().folded.state.clone()
    }

    pub(crate) fn after(&self, seq: usize) -> Vec<Record> {
        self.0.lock().records[seq..].to_vec()
    }

    /// Folds all records again and verifies their hash chain.
    pub(crate) fn verify(&self) {
        let content = self.0.lock();
        let (mut head, mut folded) = (Head::genesis(), FoldedState::default());
        for record in &content.records {
            head = record.verify(&head).unwrap();
            folded.apply(record).unwrap();
        }
        assert!(folded == content.folded, "the journal folds to two states");
    }
}

impl Journal for Disk {
    fn append(&mut self, new: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        let mut content = self.0.lock();
        let crash = content.next.take();
        content.crashed |= crash.is_some();
        let mut written = Vec::new();
        if crash != Some(Crash::BeforeWrite) && (crash.is_some() || !content.crashed) {
            for new in new {
                let last = content.records.last();
                let head =
                    last.map_or_else(Head::genesis, |it| Head { seq: it.seq, hash: it.hash });
                let record = Record::link(&head, new.clone()).unwrap();
                content.folded.apply(&record)?;
                content.records.push(record.clone());
                written.push(record);
            }
        }
        if content.crashed {
            let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
            return Err(rusqlite::Error::SqliteFailure(full, None).into());
        }
        Ok(written)
    }

    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        let content = self.0.lock();
        let records = content.records.iter().filter(|it| it.seq > after);
        Ok(records.take(limit).cloned().collect())
    }

    fn reader(&self) -> Result<Box<dyn JournalReader>, JournalError> {
        Ok(Box::new(self.clone()))
    }
}

impl JournalReader for Disk {
    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        Journal::read(self, after, limit)
    }
}
