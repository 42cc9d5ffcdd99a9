//! What the journal folds to, and how a start gets there: from the newest snapshot, or from nothing.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::chain::Hash;
use super::{Journal, JournalError, Reader, Record};
use tidegate_delivery::figures::Figures;
use tidegate_delivery::model::state::State;
use tidegate_delivery::units::Timestamp;

/// Records that a replay reads at a time.
const PAGE: usize = 1000;

/// Everything that follows from the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Folded {
    /// What is so now.
    pub state: State,
    /// How delivery went.
    pub figures: Figures,
}

/// Where a replay came to.
#[derive(Debug, Default)]
pub struct Replayed {
    /// What it folded to.
    pub folded: Folded,
    /// The newest record's number; zero if there is none.
    pub seq: u64,
    /// When that was written.
    pub at: Timestamp,
    /// The record up to which a snapshot stood in for the replay; zero without one.
    pub snapshot: u64,
}

impl Folded {
    /// Takes in one record.
    ///
    /// # Errors
    /// When it does not fit what came before it.
    pub fn take(&mut self, record: &Record) -> Result<(), JournalError> {
        let event = record.event.event();
        self.state
            .apply(record.at, event)
            .map_err(|source| JournalError::Misfit { seq: record.seq, source })?;
        self.figures.take(record.at, event);
        Ok(())
    }
}

/// The state at the end of the journal in a directory, from its records alone.
///
/// # Errors
/// When it cannot be read, does not verify, or does not fold.
pub fn replay(data_dir: &Path) -> Result<State, JournalError> {
    let (_, folded) = Reader::open(data_dir)?.fold(u64::MAX)?;
    Ok(folded.state)
}

/// What names a state and no other: the hash of its JSON, whose maps are all in order.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn digest(state: &State) -> Result<Hash, JournalError> {
    let json = serde_json::to_vec(state).map_err(JournalError::Encode)?;
    Ok(Hash::of(&json))
}

/// Replays what the newest snapshot does not cover.
///
/// # Errors
/// When the journal cannot be read, or does not fold.
pub fn resume(journal: &mut dyn Journal) -> Result<Replayed, JournalError> {
    let mut replayed = journal.snapshot().map_or_else(Replayed::default, |snapshot| Replayed {
        folded: snapshot.folded,
        seq: snapshot.head.seq,
        at: snapshot.at,
        snapshot: snapshot.head.seq,
    });
    loop {
        let page = journal.read(replayed.seq, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(replayed);
        };
        (replayed.seq, replayed.at) = (last.seq, last.at);
        page.iter().try_for_each(|record| replayed.folded.take(record))?;
    }
}
