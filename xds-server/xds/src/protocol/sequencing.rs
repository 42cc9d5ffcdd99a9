//! The order of changes across the types of one stream: make before break.
//!
//! - A route is sent after the client has answered every cluster that the route references. Envoy withholds the ACK of a
//!   CDS response until the new clusters are warm, so that ACK is the barrier. (Clusters whose names Envoy resolves do not
//!   wait for DNS; see `resources::cluster`.) A route to clusters that the client holds waits for nothing, not even for new
//!   clusters of another service: until those are answered, the client receives the other parts of the route configuration.
//! - A removed cluster and its endpoints are kept until no route that the client may use references the cluster.
//!
//! New clusters wait for nothing, and a NACK counts as an answer. So the two rules cannot wait for each other.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::entry::Entry;
use super::message::Scope;
use super::type_state::TypeState;
use crate::kind::Kind;
use crate::resources::{FleetSnapshot, Resource, ResourceRef};

/// What a client should hold of one name now.
#[derive(Debug)]
pub(super) enum Target<'a> {
    /// This resource: borrowed from the snapshot, or owned if it is a provisional one.
    Resource(Cow<'a, Arc<Resource>>),
    /// No resource.
    Absent,
    /// What it holds, until another type progresses.
    Unchanged,
}

impl Target<'_> {
    /// True if the target changes when another type progresses.
    pub(super) const fn is_provisional(&self) -> bool {
        matches!(self, Self::Unchanged | Self::Resource(Cow::Owned(_)))
    }
}

/// One stream across its types.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequencing<'a> {
    pub(super) scope: Scope,
    pub(super) snapshot: &'a FleetSnapshot,
    pub(super) types: &'a BTreeMap<Kind, TypeState>,
}

impl<'a> Sequencing<'a> {
    /// What the client should hold of one name now.
    pub(super) fn target(&self, kind: Kind, name: &str) -> Target<'a> {
        match (kind, self.snapshot.collection(kind).get(name)) {
            (Kind::Route, Some(route)) => self.route_target(name, route),
            (_, Some(resource)) => Target::Resource(Cow::Borrowed(resource)),
            (Kind::Cluster, None) if self.has_cluster(name) && self.is_routed_to(name) => {
                Target::Unchanged
            }
            (Kind::Endpoint, None) if self.retains_removed_cluster(name) => Target::Unchanged,
            (_, None) => Target::Absent,
        }
    }

    /// The route configuration for a client that has not answered some of the referenced clusters: the new parts whose
    /// clusters it has answered, and the ACKed version of the others. A client without an ACKed version, or with one that
    /// the server does not have, waits until there is content for each part.
    fn route_target(&self, name: &str, route: &'a Arc<Resource>) -> Target<'a> {
        if self.are_clusters_settled()
            || !route.references().iter().any(|it| self.is_unanswered(it))
        {
            return Target::Resource(Cow::Borrowed(route));
        }
        let routes = self.types.get(&Kind::Route).and_then(|routes| routes.entries.get(name));
        let acked = routes.and_then(Entry::acked_resource).map(|acked| &**acked);
        route
            .partial_update(acked, |reference| !self.is_unanswered(reference))
            .map_or(Target::Unchanged, |provisional| {
                Target::Resource(Cow::Owned(Arc::new(provisional)))
            })
    }

    /// True if no cluster is unanswered, as in nearly every push: then a route that references thousands of clusters need
    /// not look up each. Clusters are drafted before routes, so new clusters are in flight already.
    fn are_clusters_settled(&self) -> bool {
        self.types.get(&Kind::Cluster).is_none_or(TypeState::is_settled)
    }

    /// True if the client has not answered a cluster to which it subscribes. Other clusters hold back no route: the client
    /// gets them elsewhere, or subscribes when it receives the route.
    fn is_unanswered(&self, reference: &ResourceRef) -> bool {
        let clusters = self.snapshot.collection(Kind::Cluster);
        reference.kind == Kind::Cluster
            && clusters.get(&reference.name).is_some()
            && self.types.get(&Kind::Cluster).is_some_and(|state| {
                let entry = state.entries.get(&reference.name);
                state.subscription.covers(&reference.name) && !entry.is_some_and(Entry::is_answered)
            })
    }

    /// Whether the client may use a route that references this cluster.
    fn is_routed_to(&self, cluster: &str) -> bool {
        let Some(routes) = self.types.get(&Kind::Route) else {
            return self.may_have_routes();
        };
        let reference = ResourceRef { kind: Kind::Cluster, name: cluster.into() };
        let mut routes = routes.entries.values();
        routes.any(|entry| entry.may_reference(&reference))
    }

    /// Whether a client that has not subscribed to routes may hold some from before this stream. If the fleet has listeners:
    /// until the client has ACKed that it has none. Otherwise the client subscribes to its routes at once: until it has
    /// answered a response of clusters.
    fn may_have_routes(&self) -> bool {
        let has_none = |listeners: &TypeState| {
            listeners.in_flight.is_none()
                && !listeners.response_required
                && listeners.must_send.is_empty()
                && listeners.entries.values().all(Entry::is_absent)
        };
        let has_answered =
            |clusters: &TypeState| clusters.has_responded() && clusters.in_flight.is_none();
        self.scope == Scope::Aggregated
            && !self.types.get(&Kind::Listener).is_some_and(has_none)
            && (self.has_listeners() || !self.types.get(&Kind::Cluster).is_some_and(has_answered))
    }

    /// Whether the client holds a cluster, or it is in flight.
    fn has_cluster(&self, name: &str) -> bool {
        self.types
            .get(&Kind::Cluster)
            .and_then(|clusters| clusters.entries.get(name))
            .is_some_and(|entry| !entry.is_absent())
    }

    /// Whether the client still holds a cluster that the snapshot does not contain.
    fn retains_removed_cluster(&self, name: &str) -> bool {
        self.snapshot.collection(Kind::Cluster).get(name).is_none() && self.has_cluster(name)
    }

    /// Whether the client must have listeners with routes. Listeners without references are for gRPC clients, which
    /// subscribe to them by name.
    fn has_listeners(&self) -> bool {
        let listeners = self.snapshot.collection(Kind::Listener);
        let has_references =
            |name| listeners.get(name).is_some_and(|listener| !listener.references().is_empty());
        self.scope == Scope::Aggregated && listeners.names().any(|name| has_references(name))
    }

    /// Whether the client has subscribed to everything that its listeners reference. Envoy subscribes to routes and filters
    /// when it receives a listener that references them.
    pub(super) fn is_fully_subscribed(&self) -> bool {
        if !self.has_listeners() {
            return true;
        }
        let Some(listeners) = self.types.get(&Kind::Listener) else {
            // A client that subscribes to routes has listeners: static ones, or from another stream.
            return self.types.contains_key(&Kind::Route);
        };
        let acked = listeners.entries.values().filter_map(Entry::acked_resource);
        acked.flat_map(|listener| listener.references()).all(|reference| {
            let subscribed = |state: &TypeState| state.subscription.covers(&reference.name);
            self.types.get(&reference.kind).is_some_and(subscribed)
        })
    }
}
