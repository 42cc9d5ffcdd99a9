//! How many sidecars stand where, counted as they move: the controller asks many times during each
//! push, and must not walk through thousands of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Where a connected sidecar stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It refuses something that it is meant to have.
    Refuses,
    /// It has this publication, and all before it.
    Has(u64),
}

/// How many sidecars stand where.
#[derive(Debug, Default)]
pub(super) struct Tally {
    refusing: u32,
    has: BTreeMap<u64, u32>,
}

/// The tally, seen from one publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) acked: u32,
    pub(super) refusing: u32,
    pub(super) connected: u32,
}

impl Tally {
    /// Notes that a sidecar went from one standing to another, came, or left.
    pub(super) fn moved(&mut self, from: Option<Standing>, to: Option<Standing>) {
        if from == to {
            return;
        }
        match from {
            Some(Standing::Refuses) => self.refusing = self.refusing.saturating_sub(1),
            Some(Standing::Has(serial)) => self.leave(serial),
            None => {}
        }
        match to {
            Some(Standing::Refuses) => self.refusing += 1,
            Some(Standing::Has(serial)) => *self.has.entry(serial).or_default() += 1,
            None => {}
        }
    }

    fn leave(&mut self, serial: u64) {
        if let Entry::Occupied(mut sidecars) = self.has.entry(serial) {
            *sidecars.get_mut() -= 1;
            if *sidecars.get() == 0 {
                sidecars.remove();
            }
        }
    }

    /// How many have a publication.
    pub(super) fn at(&self, serial: u64) -> Counts {
        Counts {
            acked: self.has.range(serial..).map(|(_, sidecars)| sidecars).sum(),
            refusing: self.refusing,
            connected: self.has.values().sum::<u32>() + self.refusing,
        }
    }

    /// True if nobody is counted.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.refusing == 0 && self.has.is_empty()
    }
}
