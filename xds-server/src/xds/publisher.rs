//! Publication of snapshots to the streams.

use std::sync::Arc;

use tidegate_delivery::model::state::State;
use tidegate_xds::mesh::Mesh;
use tidegate_xds::resources::{SnapshotCache, SnapshotSet};
use tokio::sync::watch;

/// A [`SnapshotCache`] whose latest snapshots every stream watches.
#[derive(Debug)]
pub struct Publisher {
    cache: SnapshotCache,
    sender: watch::Sender<Arc<SnapshotSet>>,
}

impl Publisher {
    /// Publishes a first state.
    #[must_use]
    pub fn new(mesh: &Mesh, state: &State) -> Self {
        let cache = SnapshotCache::new(mesh, state);
        let sender = watch::Sender::new(Arc::clone(cache.latest()));
        Self { cache, sender }
    }

    /// Publishes a state. Returns the serial that a sidecar has reached once it has all of it: that of the previous
    /// publication if no resource differs.
    ///
    /// The streams of a fleet that the mesh no longer has are ended; its sidecars keep their configuration.
    pub fn publish(&mut self, mesh: &Mesh, state: &State) -> u64 {
        if self.cache.update(mesh, state) {
            self.sender.send_replace(Arc::clone(self.cache.latest()));
        }
        self.cache.latest().serial()
    }

    /// The latest snapshots, now and whenever they change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<SnapshotSet>> {
        self.sender.subscribe()
    }
}
