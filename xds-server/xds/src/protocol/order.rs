//! What must wait for what, on one stream.
//!
//! - A route is sent when the client has answered every cluster that the route names: Envoy
//!   acknowledges CDS only when new clusters are warm, so that answer is the barrier. A route back
//!   to clusters that the client has already waits for nothing, not even for another service's
//!   clusters: until those are there, the client gets the other parts of the new routes.
//! - A cluster that is gone stays, with its endpoints, until no route that the client may be
//!   acting on names it.
//!
//! New clusters wait for nothing and refusals count as answers, so neither rule can wait for the
//! other and nothing gets stuck.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::ack::Entry;
use super::message::Scope;
use super::watch::Watch;
use crate::kind::Kind;
use crate::resources::{FleetSnapshot, Need, Resource};

/// What a client should have of one name now.
#[derive(Debug)]
pub(super) enum Want<'a> {
    /// This: the snapshot's, or one that was made for the time being.
    Have(Cow<'a, Arc<Resource>>),
    /// Nothing.
    Gone,
    /// Whatever it has, until another type moves on.
    Keep,
}

impl Want<'_> {
    /// True if it will be something else when another type moves on.
    pub(super) const fn is_for_now(&self) -> bool {
        matches!(self, Self::Keep | Self::Have(Cow::Owned(_)))
    }
}

/// One stream, seen across its types.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) scope: Scope,
    pub(super) snapshot: &'a FleetSnapshot,
    pub(super) watches: &'a BTreeMap<Kind, Watch>,
}

impl<'a> Order<'a> {
    /// What the client should have of one name now.
    pub(super) fn want(&self, kind: Kind, name: &str) -> Want<'a> {
        match (kind, self.snapshot.collection(kind).get(name)) {
            (Kind::Route, Some(route)) => self.want_route(name, route),
            (_, Some(resource)) => Want::Have(Cow::Borrowed(resource)),
            (Kind::Cluster, None) if self.holds_cluster(name) && self.is_routed_to(name) => {
                Want::Keep
            }
            (Kind::Endpoint, None) if self.keeps_cluster(name) => Want::Keep,
            (_, None) => Want::Gone,
        }
    }

    /// A route for a client that has yet to answer some of its clusters: those parts of it that
    /// it is ready for, beside what it has of the others. A client that has none, or comes back
    /// with what we do not know, waits until there is something for each part.
    fn want_route(&self, name: &str, route: &'a Arc<Resource>) -> Want<'a> {
        if self.has_all_clusters() || !route.needs().iter().any(|need| self.lacks(need)) {
            return Want::Have(Cow::Borrowed(route));
        }
        let routes = self.watches.get(&Kind::Route).and_then(|routes| routes.entries.get(name));
        let held = routes.and_then(Entry::accepted).map(|held| &**held);
        route
            .meanwhile(held, |need| !self.lacks(need))
            .map_or(Want::Keep, |mixed| Want::Have(Cow::Owned(Arc::new(mixed))))
    }

    /// True if there is no cluster that the client has yet to answer, as on nearly every push: then
    /// a route that names thousands of them need not look for each. Clusters are composed before
    /// routes, so whatever is new of them has been noticed.
    fn has_all_clusters(&self) -> bool {
        self.watches.get(&Kind::Cluster).is_none_or(Watch::is_settled)
    }

    /// True if the client has yet to answer a cluster. Clusters that it did not subscribe to are
    /// its own affair: it gets them elsewhere, or asks when it sees the route.
    fn lacks(&self, need: &Need) -> bool {
        let clusters = self.snapshot.collection(Kind::Cluster);
        need.kind == Kind::Cluster
            && clusters.get(&need.name).is_some()
            && self.watches.get(&Kind::Cluster).is_some_and(|watch| {
                let entry = watch.entries.get(&need.name);
                watch.subscription.covers(&need.name) && !entry.is_some_and(Entry::is_answered)
            })
    }

    /// Whether the client may be acting on a route that names this cluster.
    fn is_routed_to(&self, cluster: &str) -> bool {
        let Some(routes) = self.watches.get(&Kind::Route) else {
            return self.may_have_routes();
        };
        let need = Need { kind: Kind::Cluster, name: cluster.into() };
        let mut routes = routes.entries.values();
        routes.any(|entry| entry.may_act_on(&need))
    }

    /// Whether a client that has not asked for routes may hold some, from before this stream: until
    /// it has answered that it has no listener. Where there is no listener of ours it asks for what
    /// it has at once, so until it has answered something.
    fn may_have_routes(&self) -> bool {
        let has_none = |listeners: &Watch| {
            listeners.in_flight.is_none()
                && !listeners.owed
                && listeners.forced.is_empty()
                && listeners.entries.values().all(Entry::is_gone)
        };
        let has_answered = |clusters: &Watch| clusters.is_told() && clusters.in_flight.is_none();
        self.scope == Scope::Aggregated
            && !self.watches.get(&Kind::Listener).is_some_and(has_none)
            && (self.has_listeners() || !self.watches.get(&Kind::Cluster).is_some_and(has_answered))
    }

    /// Whether the client has a cluster, as far as is known.
    fn holds_cluster(&self, name: &str) -> bool {
        self.watches
            .get(&Kind::Cluster)
            .and_then(|clusters| clusters.entries.get(name))
            .is_some_and(|entry| !entry.is_gone())
    }

    /// Whether the client still has a cluster that is gone.
    fn keeps_cluster(&self, name: &str) -> bool {
        self.snapshot.collection(Kind::Cluster).get(name).is_none() && self.holds_cluster(name)
    }

    /// Whether the client is to have listeners of ours, and so routes. Those that need nothing are
    /// for who asks for them by name.
    fn has_listeners(&self) -> bool {
        let listeners = self.snapshot.collection(Kind::Listener);
        let needs = |name| listeners.get(name).is_some_and(|listener| !listener.needs().is_empty());
        self.scope == Scope::Aggregated && listeners.names().any(|name| needs(name))
    }

    /// Whether the client has asked for all that it will ask for. Envoy asks for routes and
    /// filters only when it sees a listener that names them.
    pub(super) fn is_fully_subscribed(&self) -> bool {
        if !self.has_listeners() {
            return true;
        }
        let Some(listeners) = self.watches.get(&Kind::Listener) else {
            // Whoever asks for routes has listeners: its own, or from another stream.
            return self.watches.contains_key(&Kind::Route);
        };
        let contents = listeners.entries.values().filter_map(Entry::accepted);
        contents.flat_map(|listener| listener.needs()).all(|need| {
            self.watches.get(&need.kind).is_some_and(|watch| watch.subscription.covers(&need.name))
        })
    }
}
