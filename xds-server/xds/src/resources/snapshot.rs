//! Snapshots: the resources of one fleet, and of all fleets, as of one publication.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_core::config::FilterConfig;

use super::resource::{Name, Resource, version_of};
use crate::kind::Kind;
use tidegate_delivery::names::FleetName;

/// All resources of one kind, by name.
#[derive(Debug)]
pub struct Collection {
    version: Box<str>,
    by_name: BTreeMap<Name, Arc<Resource>>,
}

impl Collection {
    /// A collection that shares each unchanged resource with `previous`. Returns `previous` itself if none changed.
    pub(super) fn next(
        previous: Option<&Arc<Self>>,
        resources: impl Iterator<Item = Arc<Resource>>,
    ) -> Arc<Self> {
        let known = |resource: &Arc<Resource>| {
            let known = previous?.get(resource.name())?;
            (known.version() == resource.version()).then(|| Arc::clone(known))
        };
        let collection = Self::new(resources.map(|it| known(&it).unwrap_or(it)));
        let same = previous.filter(|previous| previous.version == collection.version);
        same.map_or_else(|| Arc::new(collection), Arc::clone)
    }

    fn new(resources: impl Iterator<Item = Arc<Resource>>) -> Self {
        let by_name: BTreeMap<_, _> =
            resources.map(|resource| (Arc::clone(resource.name()), resource)).collect();
        let version = version_of(by_name.values().map(|resource| &**resource));
        Self { version, by_name }
    }

    /// Hash of the names and versions of all resources.
    #[must_use]
    pub const fn version(&self) -> &str {
        &self.version
    }

    /// The resource with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        self.by_name.get(name)
    }

    /// The name as shared string of the resource, if it exists. Thousands of streams share its bytes.
    #[must_use]
    pub fn intern(&self, name: &str) -> Name {
        self.by_name.get_key_value(name).map_or_else(|| name.into(), |(known, _)| Arc::clone(known))
    }

    /// All names, ascending.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.by_name.keys()
    }

    /// True if it contains no resource.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// The JSON of a filter's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedConfig {
    /// [`FilterConfig::version`].
    pub version: String,
    /// The whole of it.
    pub json: String,
}

/// The resources of one fleet, as of one publication.
#[derive(Debug, Clone)]
pub struct FleetSnapshot {
    fleet: FleetName,
    serial: u64,
    clusters: Arc<Collection>,
    endpoints: Arc<Collection>,
    listeners: Arc<Collection>,
    extensions: Arc<Collection>,
    routes: Arc<Collection>,
    /// For the kinds without resources.
    empty: Arc<Collection>,
    filter_config: Option<Arc<FilterConfig>>,
    /// The same, for sidecars that receive it in the response to a report.
    encoded_config: Option<Arc<EncodedConfig>>,
    foreign: bool,
}

impl FleetSnapshot {
    /// A snapshot of these resources. Unchanged collections are shared with `previous`, so streams compare pointers to
    /// detect changes.
    #[must_use]
    pub fn new(
        fleet: FleetName,
        serial: u64,
        resources: &[Arc<Resource>],
        previous: Option<&Self>,
    ) -> Self {
        let collect = |kind: Kind| {
            let of_kind = resources.iter().filter(|resource| resource.kind() == kind);
            Collection::next(previous.map(|it| it.collection(kind)), of_kind.cloned())
        };
        Self {
            fleet,
            serial,
            clusters: collect(Kind::Cluster),
            endpoints: collect(Kind::Endpoint),
            listeners: collect(Kind::Listener),
            extensions: collect(Kind::Extension),
            routes: collect(Kind::Route),
            empty: collect(Kind::ScopedRoute),
            filter_config: None,
            encoded_config: None,
            foreign: false,
        }
    }

    /// The same resources, as of another publication.
    pub(super) fn at_serial(&self, serial: u64) -> Self {
        Self { serial, ..self.clone() }
    }

    /// Replaces the collection of a kind.
    pub(super) fn with(mut self, kind: Kind, collection: Arc<Collection>) -> Self {
        match kind {
            Kind::Cluster => self.clusters = collection,
            Kind::Endpoint => self.endpoints = collection,
            Kind::Listener => self.listeners = collection,
            Kind::Extension => self.extensions = collection,
            Kind::Route => self.routes = collection,
            Kind::ScopedRoute | Kind::VirtualHost | Kind::Secret | Kind::Runtime => {}
        }
        self
    }

    /// Sets the configuration in the extension.
    #[must_use]
    pub(super) fn with_filter_config(self, config: Arc<FilterConfig>) -> Self {
        Self { filter_config: Some(config), ..self }
    }

    pub(super) fn with_encoded_config(self, config: Arc<EncodedConfig>) -> Self {
        Self { encoded_config: Some(config), ..self }
    }

    /// The snapshot of a fleet whose resources another control plane sends.
    #[must_use]
    pub fn foreign(self) -> Self {
        Self { foreign: true, ..self }
    }

    /// Whether another control plane sends the resources of the fleet: then only the configuration of its filters is here.
    #[must_use]
    pub const fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// The configuration of the fleet's filters.
    #[must_use]
    pub const fn filter_config(&self) -> Option<&Arc<FilterConfig>> {
        self.filter_config.as_ref()
    }

    /// The configuration of the filters of a fleet whose resources another control plane sends.
    #[must_use]
    pub const fn encoded_config(&self) -> Option<&Arc<EncodedConfig>> {
        self.encoded_config.as_ref()
    }

    /// The fleet.
    #[must_use]
    pub const fn fleet(&self) -> &FleetName {
        &self.fleet
    }

    /// Serial of the publication.
    #[must_use]
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// All resources of one kind.
    #[must_use]
    pub const fn collection(&self, kind: Kind) -> &Arc<Collection> {
        match kind {
            Kind::Cluster => &self.clusters,
            Kind::Endpoint => &self.endpoints,
            Kind::Listener => &self.listeners,
            Kind::Extension => &self.extensions,
            Kind::Route => &self.routes,
            Kind::ScopedRoute | Kind::VirtualHost | Kind::Secret | Kind::Runtime => &self.empty,
        }
    }

    /// True if all collections and the configuration of the filters are shared. For two successive snapshots this means that they have the same content.
    #[must_use]
    pub fn shares_all_with(&self, other: &Self) -> bool {
        let same_config = match (&self.filter_config, &other.filter_config) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let same = |kind| Arc::ptr_eq(self.collection(kind), other.collection(kind));
        same_config && self.foreign == other.foreign && Kind::ALL.into_iter().all(same)
    }
}

/// The snapshots of all fleets, as of one publication.
#[derive(Debug)]
pub struct SnapshotSet {
    serial: u64,
    fleets: BTreeMap<FleetName, Arc<FleetSnapshot>>,
}

impl SnapshotSet {
    /// The snapshots of the publication `serial`.
    #[must_use]
    pub fn new(serial: u64, snapshots: impl IntoIterator<Item = FleetSnapshot>) -> Self {
        let fleets = snapshots
            .into_iter()
            .map(|snapshot| (snapshot.fleet.clone(), Arc::new(snapshot)))
            .collect();
        Self { serial, fleets }
    }

    /// Serial of the publication. It increases by one whenever any content changed.
    #[must_use]
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// Whether another control plane sends the resources of a fleet.
    #[must_use]
    pub fn has_foreign(&self) -> bool {
        self.fleets.values().any(|fleet| fleet.is_foreign())
    }

    /// Number of fleets.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.fleets.len()
    }

    /// The snapshot of the fleet with this name, which Envoy sends as `node.cluster`.
    #[must_use]
    pub fn fleet(&self, name: &str) -> Option<&Arc<FleetSnapshot>> {
        self.fleets.get(name)
    }
}
