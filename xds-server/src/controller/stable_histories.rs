//! The histories of stable versions for readers: the previews of releases.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_delivery::judge::history::StableHistory;
use tidegate_delivery::names::ServiceName;

/// The history of each service's stable version, as of the last block. The lock is held for one lookup.
#[derive(Debug, Clone, Default)]
pub struct StableHistories(Arc<Mutex<BTreeMap<ServiceName, Arc<StableHistory>>>>);

impl StableHistories {
    /// The history of a service; empty before its first block.
    #[must_use]
    pub fn of(&self, service: &ServiceName) -> Arc<StableHistory> {
        self.0.lock().get(service).cloned().unwrap_or_default()
    }

    pub(super) fn set(&self, service: &ServiceName, history: &StableHistory) {
        let history = Arc::new(history.clone());
        self.0.lock().insert(service.clone(), history);
    }

    pub(super) fn retain(&self, is_known: impl Fn(&ServiceName) -> bool) {
        self.0.lock().retain(|service, _| is_known(service));
    }
}
