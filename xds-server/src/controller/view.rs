//! What everybody else sees of the controller: one immutable value, replaced as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_delivery::figures::Figures;
use tidegate_delivery::model::progress::Progress;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::ReleaseId;

/// The state, and what is seen of what is under way.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// All that was decided.
    pub state: Arc<State>,
    /// How delivery went.
    pub figures: Arc<Figures>,
    /// The running releases, as they looked when the controller looked last.
    pub progress: BTreeMap<ReleaseId, Progress>,
    /// The newest record's number.
    pub seq: u64,
    /// The newest configuration that sidecars were given.
    pub serial: u64,
    /// Why nothing can be decided, if the last attempt to write the journal failed. Traffic stays as it is.
    pub halted: Option<String>,
}

impl View {
    /// Whether they look the same. State is compared by identity: it is replaced when it changes.
    pub(super) fn looks_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
            && self.progress == other.progress
            && self.seq == other.seq
            && self.serial == other.serial
            && self.halted == other.halted
    }
}
