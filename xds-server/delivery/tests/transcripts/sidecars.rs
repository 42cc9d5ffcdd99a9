//! The sidecars of a scenario, as the controller sees them.

use std::collections::BTreeMap;

use tidegate_delivery::model::progress::{Convergence, MAX_NAMED, Nack};
use tidegate_delivery::names::ReleaseId;

#[derive(Default)]
pub(crate) struct Sidecars {
    pub(crate) connected: u32,
    pub(crate) acks_at_once: bool,
    /// Without `acks_at_once`: how many have the newest configuration of a release.
    pub(crate) acked: BTreeMap<ReleaseId, u32>,
    pub(crate) nacks: Vec<Nack>,
    pub(crate) silent: u32,
}

impl Sidecars {
    pub(crate) fn convergence(&self, id: &ReleaseId) -> Convergence {
        let nacked = u32::try_from(self.nacks.len()).unwrap();
        let able = self.connected.saturating_sub(nacked);
        let acked = if self.acks_at_once { able } else { self.acked.get(id).copied().unwrap_or(0) };
        let acked = acked.min(able);
        let nodes = (1..=self.connected).map(|number| format!("edge-{number}"));
        let lagging = nodes.filter(|node| self.nacks.iter().all(|nack| nack.node != *node));
        Convergence {
            acked,
            nacked,
            connected: self.connected,
            nacks: self.nacks.clone(),
            lagging: lagging.skip(acked as usize).take(MAX_NAMED).collect(),
            silent: self.silent,
            silent_nodes: (1..=self.silent)
                .map(|it| format!("edge-{it}"))
                .take(MAX_NAMED)
                .collect(),
            ..Convergence::default()
        }
    }
}
