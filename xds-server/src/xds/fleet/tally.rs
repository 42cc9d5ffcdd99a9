//! The number of sidecars in each state of synchronization, updated as they change. The controller reads it many times
//! during each push, and must not iterate over thousands of sidecars.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The synchronization of a connected sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has NACKed a resource that is still configured.
    Refuses,
    /// It has ACKed this publication, and with it all before.
    Has(u64),
}

/// The number of sidecars by synchronization.
#[derive(Debug, Default)]
pub(super) struct Tally {
    refusing: u32,
    has: BTreeMap<u64, u32>,
}

/// The number of sidecars for one publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PublicationCounts {
    pub(super) acked: u32,
    pub(super) refusing: u32,
    pub(super) connected: u32,
}

impl Tally {
    /// Records a change of one sidecar. `None` is a sidecar without a stream.
    pub(super) fn moved(&mut self, from: Option<Standing>, to: Option<Standing>) {
        if from == to {
            return;
        }
        match from {
            Some(Standing::Refuses) => self.refusing = self.refusing.saturating_sub(1),
            Some(Standing::Has(serial)) => self.remove(serial),
            None => {}
        }
        match to {
            Some(Standing::Refuses) => self.refusing += 1,
            Some(Standing::Has(serial)) => *self.has.entry(serial).or_default() += 1,
            None => {}
        }
    }

    fn remove(&mut self, serial: u64) {
        if let Entry::Occupied(mut sidecars) = self.has.entry(serial) {
            *sidecars.get_mut() -= 1;
            if *sidecars.get() == 0 {
                sidecars.remove();
            }
        }
    }

    /// The counts for one publication.
    pub(super) fn at(&self, serial: u64) -> PublicationCounts {
        PublicationCounts {
            acked: self.has.range(serial..).map(|(_, sidecars)| sidecars).sum(),
            refusing: self.refusing,
            connected: self.has.values().sum::<u32>() + self.refusing,
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.refusing == 0 && self.has.is_empty()
    }
}
