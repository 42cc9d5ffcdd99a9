//! The number of sidecars of a fleet in each state of synchronization, updated as they change. The controller reads it many
//! times during each push, and must not iterate over thousands of sidecars.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The state of a connected sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeState {
    pub(super) sync: Sync,
    /// Whether it has ACKed the filter, so that it must report.
    pub(super) has_filter: bool,
}

/// The synchronization of a connected sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// It has NACKed a resource that is still configured.
    Nacked,
    /// It has ACKed this publication, and with it all before.
    Acked(u64),
}

/// The number of sidecars by state.
#[derive(Debug, Default)]
pub(super) struct SyncCounts {
    nacked: u32,
    acked: BTreeMap<u64, u32>,
    with_filter: u32,
}

/// The number of sidecars for one publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PublicationCounts {
    pub(super) acked: u32,
    pub(super) nacked: u32,
    pub(super) connected: u32,
}

impl SyncCounts {
    /// Records a change of one sidecar. `None` is a sidecar without a stream.
    pub(super) fn moved(&mut self, from: Option<NodeState>, to: Option<NodeState>) {
        if from == to {
            return;
        }
        if let Some(from) = from {
            match from.sync {
                Sync::Nacked => self.nacked = self.nacked.saturating_sub(1),
                Sync::Acked(serial) => self.remove(serial),
            }
            self.with_filter = self.with_filter.saturating_sub(from.has_filter.into());
        }
        if let Some(to) = to {
            match to.sync {
                Sync::Nacked => self.nacked += 1,
                Sync::Acked(serial) => *self.acked.entry(serial).or_default() += 1,
            }
            self.with_filter += u32::from(to.has_filter);
        }
    }

    fn remove(&mut self, serial: u64) {
        if let Entry::Occupied(mut sidecars) = self.acked.entry(serial) {
            *sidecars.get_mut() -= 1;
            if *sidecars.get() == 0 {
                sidecars.remove();
            }
        }
    }

    /// The counts for one publication.
    pub(super) fn at(&self, serial: u64) -> PublicationCounts {
        PublicationCounts {
            acked: self.acked.range(serial..).map(|(_, sidecars)| sidecars).sum(),
            nacked: self.nacked,
            connected: self.acked.values().sum::<u32>() + self.nacked,
        }
    }

    /// Sidecars that have ACKed the filter.
    pub(super) const fn with_filter(&self) -> u32 {
        self.with_filter
    }

    /// Whether no sidecar is connected.
    pub(super) fn is_empty(&self) -> bool {
        self.nacked == 0 && self.acked.is_empty()
    }
}
