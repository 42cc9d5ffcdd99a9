//! State and mesh in, versioned snapshots out.

use std::collections::HashMap;
use std::sync::Arc;

use super::build::build;
use super::{FleetSnapshot, Name, Resource, SnapshotSet};
use crate::kind::Kind;
use crate::mesh::Mesh;
use tidegate_delivery::model::state::State;

/// Builds the snapshot of each state and shares with it every resource whose content has not changed.
///
/// The cache holds a snapshot from its creation on: a sidecar that reconnects to a control plane without one would lose
/// all of its resources.
#[derive(Debug)]
pub struct SnapshotCache {
    latest: Arc<SnapshotSet>,
    /// Every resource of the latest snapshots, shared with the next.
    known: HashMap<(Kind, Name, Box<str>), Arc<Resource>>,
}

impl SnapshotCache {
    /// A cache that holds the snapshot of a first state.
    #[must_use]
    pub fn new(mesh: &Mesh, state: &State) -> Self {
        let latest = Arc::new(SnapshotSet::new(0, []));
        let mut cache = Self { latest, known: HashMap::new() };
        cache.update(mesh, state);
        cache
    }

    /// The latest snapshots.
    #[must_use]
    pub const fn latest(&self) -> &Arc<SnapshotSet> {
        &self.latest
    }

    /// Builds the snapshots of a state. Returns whether they differ from the latest; if not, those stay, with their
    /// serial.
    pub fn update(&mut self, mesh: &Mesh, state: &State) -> bool {
        let previous = Arc::clone(&self.latest);
        let serial = previous.serial() + 1;
        let mut known = HashMap::new();
        let mut snapshots = Vec::with_capacity(mesh.fleets.len());
        for fleet in &mesh.fleets {
            let (resources, config) =
                build(mesh, fleet, state, |resource| share(&self.known, &mut known, resource));
            let before = previous.fleet(fleet.name.as_str()).map(|before| &**before);
            let snapshot = FleetSnapshot::new(fleet.name.clone(), serial, &resources, before);
            snapshots.push(snapshot.with_filter_config(config));
        }
        self.known = known;
        let is_same = |snapshot: &FleetSnapshot| {
            previous
                .fleet(snapshot.fleet().as_str())
                .is_some_and(|before| snapshot.shares_all_with(before))
        };
        let same_fleets = previous.len() == snapshots.len();
        if previous.serial() > 0 && same_fleets && snapshots.iter().all(is_same) {
            return false;
        }
        self.latest = Arc::new(SnapshotSet::new(serial, snapshots));
        true
    }
}

/// The resource itself, or the one with the same content that is known already.
fn share(
    before: &HashMap<(Kind, Name, Box<str>), Arc<Resource>>,
    now: &mut HashMap<(Kind, Name, Box<str>), Arc<Resource>>,
    resource: Resource,
) -> Arc<Resource> {
    let key = (resource.kind(), Arc::clone(resource.name()), resource.version().into());
    let shared = before.get(&key).cloned();
    let entry = now.entry(key);
    Arc::clone(entry.or_insert_with(|| shared.unwrap_or_else(|| Arc::new(resource))))
}
