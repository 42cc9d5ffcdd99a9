//! The fold of the journal, and the replay at the start: from the newest usable snapshot, or from the first record.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::chain::Hash;
use super::{Journal, JournalError, Reader, Record};
use tidegate_delivery::figures::Figures;
use tidegate_delivery::model::state::State;
use tidegate_delivery::units::Timestamp;

/// Records per read of a replay.
const PAGE: usize = 1000;

/// Everything derived from the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FoldedState {
    /// Services, releases, flags, freezes.
    pub state: State,
    /// Delivery figures and rollback counts.
    pub figures: Figures,
}

/// The result of a replay.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The state after the newest record.
    pub folded: FoldedState,
    /// The newest record's number; zero for an empty journal.
    pub seq: u64,
    /// Journal time of the newest record.
    pub at: Timestamp,
    /// The record at which the replay started from a snapshot; zero without one.
    pub snapshot: u64,
}

impl FoldedState {
    /// Applies the next record.
    ///
    /// # Errors
    /// If its event contradicts the state.
    pub fn apply(&mut self, record: &Record) -> Result<(), JournalError> {
        let event = record.event.event();
        self.state
            .apply(record.at, event)
            .map_err(|source| JournalError::Fold { seq: record.seq, source })?;
        self.figures.take(record.at, event);
        Ok(())
    }
}

/// The state at the end of the journal in a data directory, from its records without snapshots.
///
/// # Errors
/// If the journal cannot be read, verified or folded.
pub fn replay(data_dir: &Path) -> Result<State, JournalError> {
    let (_, folded) = Reader::open(data_dir)?.fold(u64::MAX)?;
    Ok(folded.state)
}

/// SHA-256 of a state's JSON, whose maps are all ordered.
///
/// # Errors
/// If the state cannot be written as JSON.
pub fn digest(state: &State) -> Result<Hash, JournalError> {
    let json = serde_json::to_vec(state).map_err(JournalError::Encode)?;
    Ok(Hash::of(&json))
}

/// Replays the records after the newest usable snapshot.
///
/// # Errors
/// If the journal cannot be read or folded.
pub fn resume(journal: &mut dyn Journal) -> Result<Replayed, JournalError> {
    let mut replayed =
        journal.take_snapshot().map_or_else(Replayed::default, |snapshot| Replayed {
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
        page.iter().try_for_each(|record| replayed.folded.apply(record))?;
    }
}
