//! Silent sidecars: they have the filter and do not report, so their requests are not judged.

use tidegate_delivery::model::progress::{Convergence, MAX_NAMED};

use super::ack_tracker::one_line;

/// Intervals without a report after which a sidecar, or an instance of its filter, no longer reports.
pub const MISSED_INTERVALS: u32 = 3;

/// The silent sidecars of one fleet.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct SilentSidecars {
    pub(super) count: u32,
    /// The first ones, at most [`MAX_NAMED`].
    pub(super) nodes: Vec<String>,
}

impl SilentSidecars {
    /// Adds their number and names.
    pub(super) fn add_to(&self, convergence: &mut Convergence) {
        convergence.silent += self.count;
        convergence.silent_nodes.extend(self.nodes.iter().cloned());
        convergence.silent_nodes.truncate(MAX_NAMED);
    }
}

/// Of the sidecars with these names.
impl<'a> FromIterator<&'a str> for SilentSidecars {
    fn from_iter<T: IntoIterator<Item = &'a str>>(all: T) -> Self {
        let mut silent = Self::default();
        for node in all {
            silent.count += 1;
            if silent.nodes.len() < MAX_NAMED {
                silent.nodes.push(one_line(node));
            }
        }
        silent
    }
}
