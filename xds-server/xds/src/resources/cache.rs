//! The cache that builds snapshots incrementally from the state and the mesh.
//!
//! It stores the resources of each service with the `Arc` of the state from which they were built. An update rebuilds the
//! services whose `Arc` differs, and in each fleet only the kinds of resources that changed. The rest is shared, so the cost
//! of a publication depends on the number of changed services, not on the size of the mesh.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::service::{Changes, ServiceResources};
use super::snapshot::Collection;
use super::{
    EncodedConfig, FleetSnapshot, Resource, SnapshotSet, extension, listener, names, preview, route,
};
use crate::kind::Kind;
use crate::mesh::{Fleet, Mesh, Purpose};
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::ServiceName;

/// Builds the snapshots of successive states. Unchanged resources are shared between them.
///
/// The cache contains a snapshot from its creation on. Without one, a sidecar that reconnects would lose all its resources.
#[derive(Debug)]
pub struct SnapshotCache {
    latest: Arc<SnapshotSet>,
    mesh: Mesh,
    services: BTreeMap<ServiceName, ServiceResources>,
    /// The flags of the latest state.
    flags: Arc<BTreeMap<String, Value>>,
    evaluators: Arc<serde_json::Map<String, Value>>,
    /// Number of service builds since the cache was created.
    #[cfg(test)]
    pub(super) built: usize,
}

/// The differences between a state and the latest snapshots.
struct Difference {
    /// The mesh changed: nothing is shared.
    mesh: bool,
    flags: bool,
    services: BTreeMap<ServiceName, Changes>,
}

impl SnapshotCache {
    /// A cache with the snapshots of a first state.
    #[must_use]
    pub fn new(mesh: &Mesh, state: &State) -> Self {
        let mut cache = Self {
            latest: Arc::new(SnapshotSet::new(0, [])),
            mesh: Mesh::new(String::new(), Vec::new()),
            services: BTreeMap::new(),
            flags: Arc::default(),
            evaluators: Arc::default(),
            #[cfg(test)]
            built: 0,
        };
        cache.update(mesh, state);
        cache
    }

    /// The latest snapshots.
    #[must_use]
    pub const fn latest(&self) -> &Arc<SnapshotSet> {
        &self.latest
    }

    /// Builds the snapshots of a state. Returns false if nothing changed: then the latest snapshots and their serial are
    /// kept.
    pub fn update(&mut self, mesh: &Mesh, state: &State) -> bool {
        let difference = self.difference(mesh, state);
        let first = self.latest.serial() == 0;
        if !first && !difference.mesh && !difference.flags && difference.services.is_empty() {
            return false;
        }
        let serial = self.latest.serial() + 1;
        let previous = Arc::clone(&self.latest);
        let snapshots: Vec<_> = mesh
            .fleets
            .iter()
            .map(|fleet| {
                let before = previous.fleet(fleet.name.as_str()).map(|before| &**before);
                self.fleet(fleet, state, serial, before, &difference)
            })
            .collect();
        let is_same = |snapshot: &FleetSnapshot| {
            previous
                .fleet(snapshot.fleet().as_str())
                .is_some_and(|before| snapshot.shares_all_with(before))
        };
        let same_fleets = previous.len() == snapshots.len();
        if !first && same_fleets && snapshots.iter().all(is_same) {
            return false;
        }
        self.latest = Arc::new(SnapshotSet::new(serial, snapshots));
        true
    }

    /// Stores the inputs, rebuilds the changed services, and returns the differences.
    fn difference(&mut self, mesh: &Mesh, state: &State) -> Difference {
        let mesh_changed = self.mesh != *mesh;
        if mesh_changed {
            self.mesh = mesh.clone();
        }
        let flags = self.flags != state.flags || self.evaluators != state.evaluators;
        if flags {
            self.flags.clone_from(&state.flags);
            self.evaluators.clone_from(&state.evaluators);
        }
        let mut services = BTreeMap::new();
        let gone: Vec<_> =
            self.services.keys().filter(|it| !state.services.contains_key(*it)).cloned().collect();
        for name in gone {
            self.services.remove(&name);
            services.insert(name, Changes::ALL);
        }
        for (name, service) in &state.services {
            let before = self.services.get(name);
            if before.is_some_and(|it| Arc::ptr_eq(&it.state, service)) && !mesh_changed {
                continue;
            }
            #[cfg(test)]
            {
                self.built += 1;
            }
            let built = ServiceResources::build(name, service, mesh, before);
            let changes = before.map_or(Changes::ALL, |before| built.changes_since(before));
            if changes != Changes::default() {
                services.insert(name.clone(), changes);
            }
            self.services.insert(name.clone(), built);
        }
        Difference { mesh: mesh_changed, flags, services }
    }

    fn fleet(
        &self,
        fleet: &Fleet,
        state: &State,
        serial: u64,
        before: Option<&FleetSnapshot>,
        difference: &Difference,
    ) -> FleetSnapshot {
        let touched = difference.services.iter().filter(|(name, _)| fleet.serves(name));
        let touched = touched.fold(Changes::default(), |all, (_, changes)| all.or(*changes));
        let own = fleet.istio().is_none();
        let before = before.filter(|before| before.is_foreign() != own);
        let (before, changes) = match before {
            Some(before) if !difference.mesh => (before.at_serial(serial), touched),
            Some(before) => (before.at_serial(serial), Changes::ALL),
            None => {
                let empty = FleetSnapshot::new(fleet.name.clone(), serial, &[], None);
                (if own { empty } else { empty.foreign() }, Changes::ALL)
            }
        };
        let services: Vec<_> =
            self.services.iter().filter(|(name, _)| fleet.serves(name)).collect();
        let mut snapshot = before;
        let put = |snapshot: FleetSnapshot, kind, resources: Vec<Arc<Resource>>| {
            let next = Collection::next(Some(snapshot.collection(kind)), resources.into_iter());
            snapshot.with(kind, next)
        };
        if own && changes.clusters {
            let all = services.iter().flat_map(|(_, it)| &it.clusters).cloned().collect();
            snapshot = put(snapshot, Kind::Cluster, all);
        }
        if own && changes.endpoints {
            let all = services.iter().flat_map(|(_, it)| &it.endpoints).cloned().collect();
            snapshot = put(snapshot, Kind::Endpoint, all);
        }
        if own && changes.routes {
            snapshot = put(snapshot, Kind::Route, routes(fleet, &services));
        }
        // API listeners depend on the set of services.
        if own && (difference.mesh || changes == Changes::ALL) {
            snapshot = put(snapshot, Kind::Listener, listeners(fleet, &services));
        }
        let filter = changes.filter || (!own && changes.istio);
        if filter || difference.flags || snapshot.filter_config().is_none() {
            let known: BTreeSet<_> = services.iter().map(|(name, _)| name.as_str()).collect();
            let flags = extension::routing_flags(|service| known.contains(service), state);
            let of_services = services.iter().map(|(_, it)| it.filter.clone()).collect();
            let in_istio = services.iter().filter_map(|(_, it)| it.istio.clone()).collect();
            let mut config = extension::config(fleet, of_services, in_istio, flags);
            let same = snapshot.filter_config().is_some_and(|known| {
                config.version.clone_from(&known.version);
                config == **known
            });
            if own && (!same || difference.mesh) {
                let resource = Arc::new(extension::filter(&self.mesh, &mut config));
                snapshot = put(snapshot, Kind::Extension, vec![resource]);
            } else if !same {
                let json = extension::encode(&mut config);
                let version = config.version.clone();
                snapshot = snapshot.with_encoded_config(Arc::new(EncodedConfig { version, json }));
            }
            if !same {
                snapshot = snapshot.with_filter_config(Arc::new(config));
            }
        }
        snapshot
    }
}

type Service<'a> = (&'a ServiceName, &'a ServiceResources);

/// The route configurations of the fleet's listeners and services.
fn routes(fleet: &Fleet, services: &[Service<'_>]) -> Vec<Arc<Resource>> {
    let mut all = Vec::with_capacity(services.len() + fleet.listeners().len());
    for (_, service) in services {
        all.push(Arc::clone(&service.routes));
        // Only fleets without listeners have gRPC clients.
        if fleet.listeners().is_empty() {
            all.push(Arc::clone(&service.grpc_routes));
        }
    }
    for listener in fleet.listeners() {
        let included = services.iter().filter(|(name, _)| listener.services.include(name));
        let name = names::listener_routes(&fleet.name, &listener.name);
        all.push(Arc::new(match listener.purpose {
            Purpose::Traffic => {
                route::of_listener(&name, included.map(|(_, it)| it.virtual_host.clone()).collect())
            }
            Purpose::Preview => {
                preview::routes(&name, included.map(|(_, it)| it.preview.clone()).collect())
            }
        }));
    }
    all
}

/// The fleet's listeners; if it has none, an API listener for each service.
fn listeners(fleet: &Fleet, services: &[Service<'_>]) -> Vec<Arc<Resource>> {
    if fleet.listeners().is_empty() {
        return services.iter().map(|(_, service)| Arc::clone(&service.api_listener)).collect();
    }
    let own = fleet.listeners().iter().map(|it| Arc::new(listener::listener(&fleet.name, it)));
    own.collect()
}
