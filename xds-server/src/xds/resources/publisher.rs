//! The publisher: state in, snapshots out to every stream.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::build::build;
use super::{FleetSnapshot, Name, Resource, SnapshotSet};
use crate::config::Mesh;
use crate::delivery::state::State;
use crate::xds::kind::Kind;

/// Turns each state into snapshots, and hands them to every stream. There is always a snapshot:
/// a sidecar that reconnects to a control plane that knows nothing would lose everything it has.
#[derive(Debug)]
pub struct Publisher {
    mesh: Mesh,
    sender: watch::Sender<Arc<SnapshotSet>>,
    /// Every resource of the newest snapshots, to be shared by the next.
    known: HashMap<(Kind, Name, Box<str>), Arc<Resource>>,
}

impl Publisher {
    /// A publisher that has published its first state.
    #[must_use]
    pub fn new(mesh: Mesh, state: &State) -> Self {
        let mut publisher = Self {
            mesh,
            sender: watch::Sender::new(Arc::new(SnapshotSet::new(0, []))),
            known: HashMap::new(),
        };
        publisher.publish(state);
        publisher
    }

    /// Another mesh, from the next publication on. Returns the one before. The streams of a fleet
    /// that goes with it are ended; its sidecars keep what they have.
    pub fn rewire(&mut self, mesh: Mesh) -> Mesh {
        std::mem::replace(&mut self.mesh, mesh)
    }

    /// Publishes a state. Returns the serial that a sidecar which has all of it will have reached;
    /// it is the one before if the state makes no difference to any sidecar.
    pub fn publish(&mut self, state: &State) -> u64 {
        let previous = Arc::clone(&self.sender.borrow());
        let serial = previous.serial() + 1;
        let mut known = HashMap::new();
        let mut snapshots = Vec::with_capacity(self.mesh.fleets.len());
        for fleet in &self.mesh.fleets {
            let (resources, config) = build(&self.mesh, fleet, state, |resource| {
                share(&self.known, &mut known, resource)
            });
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
        let all_there = previous.len() == snapshots.len();
        if previous.serial() > 0 && all_there && snapshots.iter().all(is_same) {
            return previous.serial();
        }
        self.sender.send_replace(Arc::new(SnapshotSet::new(serial, snapshots)));
        serial
    }

    /// The newest snapshots, now and whenever they change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<SnapshotSet>> {
        self.sender.subscribe()
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
