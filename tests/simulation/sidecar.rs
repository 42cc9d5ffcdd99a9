//! A simulated Envoy: it subscribes as Envoy does, warms clusters before it accepts them, and keeps its configuration when
//! its stream ends.
//!
//! [`Sidecar::deliver`] applies what has arrived and checks make-before-break on each resource that it applies. A sidecar
//! that NACKs rejects whole responses of one type; a server does not send rejected content again on the same stream, so
//! such a fault ends with a reconnect.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tidegate_core::config::FilterConfig;
use tidegate_xds::kind::{Kind, Mode};
use tidegate_xds::protocol::Response;
use tidegate_xds::resources::{FleetSnapshot, Resource};

use super::configuration::SERVICES;
use super::routes::{Host, decode};
use super::stream::{ClientRequest, Stream};
use super::traffic::filter_config;

const KINDS: [Kind; 5] =
    [Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Extension, Kind::Route];

pub(crate) struct Sidecar {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) stream: Option<Stream>,
    pub(crate) connected_at: u64,
    /// The type that it NACKs.
    pub(crate) nacks: Option<Kind>,
    held: BTreeMap<Kind, BTreeMap<String, Arc<Resource>>>,
    /// Names that it subscribed to, of the types that are not wildcards.
    names: BTreeMap<Kind, BTreeSet<String>>,
    nonces: BTreeMap<Kind, String>,
    /// Clusters that have endpoints.
    warm: BTreeSet<String>,
    /// Clusters that changed and have not been sent endpoints since.
    warming: BTreeSet<String>,
    /// Clusters of which it rejected a version.
    rejected_clusters: BTreeSet<String>,
    /// The CDS response that is accepted when no cluster is warming.
    accepts_later: Option<String>,
    /// Types of which something was applied on this stream.
    applied: BTreeSet<Kind>,
    pub(crate) filter: Option<Arc<FilterConfig>>,
    /// By listener's route configuration, then by service.
    pub(crate) routes: BTreeMap<String, BTreeMap<String, Host>>,
}

/// A service's split changed in the routes of a sidecar.
pub(crate) struct Moved {
    pub(crate) route: String,
    pub(crate) service: String,
    pub(crate) host: Host,
}

impl Sidecar {
    pub(crate) fn new(name: String, mode: Mode) -> Self {
        Self {
            name,
            mode,
            stream: None,
            connected_at: 0,
            nacks: None,
            held: BTreeMap::new(),
            names: BTreeMap::new(),
            nonces: BTreeMap::new(),
            warm: BTreeSet::new(),
            warming: BTreeSet::new(),
            rejected_clusters: BTreeSet::new(),
            accepts_later: None,
            applied: BTreeSet::new(),
            filter: None,
            routes: BTreeMap::new(),
        }
    }

    /// Opens a stream and subscribes to every type again. Messages of an earlier stream are lost.
    pub(crate) fn connect(&mut self, mut stream: Stream, now: u64, delay: u64) {
        self.connected_at = now;
        self.nonces.clear();
        self.applied.clear();
        self.accepts_later = None;
        for kind in KINDS {
            let names: Vec<String> = self.names.get(&kind).into_iter().flatten().cloned().collect();
            if names.is_empty() && !is_wildcard(kind) {
                continue;
            }
            let held = self.held.get(&kind).into_iter().flatten();
            let held: HashMap<_, _> =
                held.map(|(name, it)| (name.clone(), it.version().to_owned())).collect();
            let request =
                ClientRequest { all: names.clone(), subscribe: names, held, ..empty_request(kind) };
            stream.send(now + delay, request);
        }
        self.stream = Some(stream);
    }

    /// Applies the next response that has arrived and sends its ACK or NACK, which arrives at `at`.
    pub(crate) fn deliver(&mut self, now: u64, at: u64) -> Option<(Response, Vec<Moved>)> {
        let response = self.stream.as_mut()?.receive(now)?;
        let kind = response.kind;
        self.nonces.insert(kind, response.nonce.clone());
        if self.nacks == Some(kind) {
            if kind == Kind::Cluster {
                self.rejected_clusters
                    .extend(response.resources.iter().map(|it| it.name().to_string()));
            }
            let all = self.names.get(&kind).into_iter().flatten().cloned().collect();
            let nonce = response.nonce.clone();
            self.send(at, ClientRequest { nonce, nack: true, all, ..empty_request(kind) });
            if kind == Kind::Listener {
                self.remove_listeners(&response, at);
            }
            return Some((response, Vec::new()));
        }
        let moved = self.apply(&response);
        if kind == Kind::Cluster {
            self.subscribe_endpoints(at);
            self.accepts_later = Some(response.nonce.clone());
        } else {
            self.accept(kind, response.nonce.clone(), at);
        }
        if kind == Kind::Listener {
            self.subscribe_needs(Kind::Extension, at);
            self.subscribe_needs(Kind::Route, at);
        }
        if self.warming.is_empty()
            && let Some(nonce) = self.accepts_later.take()
        {
            self.accept(Kind::Cluster, nonce, at);
        }
        Some((response, moved))
    }

    /// Envoy removes listeners also if it rejects others of the same response.
    fn remove_listeners(&mut self, response: &Response, at: u64) {
        let held = self.held.entry(Kind::Listener).or_default();
        match self.mode {
            Mode::Sotw => {
                held.retain(|name, _| response.resources.iter().any(|it| **it.name() == **name));
            }
            Mode::Delta => response.removed.iter().for_each(|name| drop(held.remove(&**name))),
        }
        self.subscribe_needs(Kind::Extension, at);
        self.subscribe_needs(Kind::Route, at);
    }

    fn accept(&mut self, kind: Kind, nonce: String, at: u64) {
        let all = self.names.get(&kind).into_iter().flatten().cloned().collect();
        self.send(at, ClientRequest { nonce, all, ..empty_request(kind) });
    }

    fn send(&mut self, at: u64, request: ClientRequest) {
        if let Some(stream) = &mut self.stream {
            stream.send(at, request);
        }
    }

    fn apply(&mut self, response: &Response) -> Vec<Moved> {
        let kind = response.kind;
        let first = self.applied.insert(kind);
        let held = self.held.entry(kind).or_default();
        let before: BTreeSet<String> = held.keys().cloned().collect();
        if self.mode == Mode::Sotw && kind.is_full_set() {
            held.retain(|name, _| response.resources.iter().any(|it| **it.name() == **name));
        }
        for name in response.removed.iter().filter(|_| self.mode == Mode::Delta) {
            held.remove(&**name);
        }
        let mut changed = Vec::new();
        for resource in &response.resources {
            let name = resource.name().to_string();
            let wanted = is_wildcard(kind) || self.names[&kind].contains(&name);
            if wanted {
                let old = held.insert(name.clone(), Arc::clone(resource));
                if old.is_none_or(|old| old.version() != resource.version()) {
                    changed.push(name.clone());
                }
            }
        }
        let gone: Vec<String> =
            before.into_iter().filter(|name| !held.contains_key(name)).collect();
        match kind {
            Kind::Cluster => {
                self.warming.extend(changed);
                for name in gone {
                    self.remove_cluster(&name, first);
                }
            }
            Kind::Endpoint => {
                for resource in &response.resources {
                    let name = resource.name().to_string();
                    self.warming.remove(&name);
                    self.warm.insert(name);
                }
                // A cluster whose endpoints are removed is warm without endpoints.
                for name in response.removed.iter().map(ToString::to_string) {
                    if self.warming.remove(&name) {
                        self.warm.insert(name);
                    }
                }
            }
            Kind::Extension => {
                self.filter =
                    self.held[&kind].values().next().map(|it| Arc::new(filter_config(it)));
            }
            Kind::Route => return self.apply_routes(&response.resources),
            _ => {}
        }
        Vec::new()
    }

    /// With state of the world the server has no information about the clusters from an earlier stream before the client's
    /// first ACK, so the first set of a stream is exempt.
    fn remove_cluster(&mut self, name: &str, first: bool) {
        self.warm.remove(name);
        self.warming.remove(name);
        if first && self.mode == Mode::Sotw {
            return;
        }
        for (route, hosts) in &self.routes {
            let named = hosts.values().flat_map(Host::clusters).any(|it| it == name);
            assert!(!named, "{}: cluster {name} is removed while {route} names it", self.name);
        }
    }

    fn apply_routes(&mut self, resources: &[Arc<Resource>]) -> Vec<Moved> {
        let mut moved = Vec::new();
        for resource in resources {
            let route = resource.name().to_string();
            let hosts = decode(resource);
            for service in SERVICES {
                assert!(hosts.contains_key(service), "{}: {route} lost {service}", self.name);
            }
            for (service, host) in &hosts {
                for cluster in host.clusters() {
                    let ready =
                        self.warm.contains(cluster) || self.rejected_clusters.contains(cluster);
                    assert!(ready, "{}: {route} names {cluster}, which is not warm", self.name);
                }
                let (route, service) = (route.clone(), service.clone());
                moved.push(Moved { route, service, host: host.clone() });
            }
            self.routes.insert(route, hosts);
        }
        moved
    }

    fn subscribe_endpoints(&mut self, at: u64) {
        let clusters = self.held[&Kind::Cluster].keys().cloned().collect();
        self.subscribe(Kind::Endpoint, clusters, at);
    }

    /// Subscribes to what the listeners need of a type.
    fn subscribe_needs(&mut self, kind: Kind, at: u64) {
        let listeners = self.held[&Kind::Listener].values();
        let needs = listeners.flat_map(|it| it.references()).filter(|need| need.kind == kind);
        let names = needs.map(|need| need.name.to_string()).collect();
        self.subscribe(kind, names, at);
    }

    fn subscribe(&mut self, kind: Kind, names: BTreeSet<String>, at: u64) {
        let old = self.names.insert(kind, names.clone()).unwrap_or_default();
        if old == names {
            return;
        }
        self.held.entry(kind).or_default().retain(|name, _| names.contains(name));
        if kind == Kind::Route {
            self.routes.retain(|name, _| names.contains(name));
        }
        let nonce = match self.mode {
            Mode::Sotw => self.nonces.get(&kind).cloned().unwrap_or_default(),
            Mode::Delta => String::new(),
        };
        let subscribe = names.difference(&old).cloned().collect();
        let unsubscribe = old.difference(&names).cloned().collect();
        let all = names.into_iter().collect();
        self.send(at, ClientRequest { nonce, subscribe, unsubscribe, all, ..empty_request(kind) });
    }

    /// Whether it has ever rejected a cluster, or NACKs a type now.
    pub(crate) fn has_nacked(&self) -> bool {
        self.nacks.is_some() || !self.rejected_clusters.is_empty()
    }

    /// Ends the fault. A reconnect must follow.
    pub(crate) fn stop_nacking(&mut self) {
        self.nacks = None;
        self.stream = None;
    }

    /// What differs from a snapshot; `None` if nothing does.
    pub(crate) fn difference(&self, snapshot: &FleetSnapshot) -> Option<String> {
        for kind in KINDS {
            let collection = snapshot.collection(kind);
            let wanted = |name: &&str| {
                is_wildcard(kind) || self.names.get(&kind).is_some_and(|all| all.contains(*name))
            };
            let names = collection.names().map(|name| &**name).filter(wanted);
            let expected: BTreeMap<&str, &str> =
                names.map(|name| (name, collection.get(name).unwrap().version())).collect();
            let held = self.held.get(&kind).into_iter().flatten();
            let held: BTreeMap<&str, &str> =
                held.map(|(name, it)| (name.as_str(), it.version())).collect();
            if held != expected {
                return Some(format!("{} {kind}: {held:?} instead of {expected:?}", self.name));
            }
        }
        let cold = self.warming.first().map(|name| format!("{}: {name} stays warming", self.name));
        cold.or_else(|| self.routes.is_empty().then(|| format!("{}: no routes", self.name)))
    }
}

fn empty_request(kind: Kind) -> ClientRequest {
    ClientRequest {
        kind,
        nonce: String::new(),
        nack: false,
        all: Vec::new(),
        subscribe: Vec::new(),
        unsubscribe: Vec::new(),
        held: HashMap::new(),
    }
}

const fn is_wildcard(kind: Kind) -> bool {
    matches!(kind, Kind::Cluster | Kind::Listener)
}
