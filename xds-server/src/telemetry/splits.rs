//! The requests of a release by sidecar, for the comparison of each with the weight.
//!
//! Memory is bounded: at most [`MAX_SIDECARS`] of each running release are counted, further ones are not.

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_delivery::model::sample_ratio::Split;

/// Most sidecars that are counted for each running release.
pub const MAX_SIDECARS: usize = 20_000;

/// Requests by `node.id`.
pub type SidecarSplits = HashMap<Arc<str>, Split>;

/// Adds the requests that a sidecar reports.
pub(super) fn add(splits: &mut SidecarSplits, node: &str, requests: Split) {
    if let Some(split) = splits.get_mut(node) {
        *split = split.plus(requests);
    } else if splits.len() < MAX_SIDECARS {
        splits.insert(node.into(), requests);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sidecars_are_summed_and_bounded() {
        let mut splits = SidecarSplits::new();
        let one = Split { candidate: 1, requests: 2 };
        for number in 0..=MAX_SIDECARS {
            add(&mut splits, &number.to_string(), one);
        }
        add(&mut splits, "7", one);
        assert_eq!(splits.len(), MAX_SIDECARS);
        assert_eq!(splits["7"], one.plus(one));
    }
}
