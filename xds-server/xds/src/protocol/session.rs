//! One stream's side of the conversation.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use super::ack::{InFlight, Told};
use super::dialect::{Content, Dialect, Draft, View};
use super::holding::{Holding, holdings};
use super::message::{Event, Refusal, Request, Response, Scope};
use super::order::Order;
use super::watch::Watch;
use crate::kind::Kind;
use crate::resources::{FleetSnapshot, Need};

/// One stream's side of the conversation: what one client wants, has, and is sent next.
#[derive(Debug)]
pub struct Session<D> {
    scope: Scope,
    snapshot: Arc<FleetSnapshot>,
    watches: BTreeMap<Kind, Watch>,
    nonces: u64,
    events: Vec<Event>,
    synced: u64,
    dialect: PhantomData<D>,
}

impl<D: Dialect> Session<D> {
    /// A session for one stream, whose client belongs to the snapshot's fleet.
    #[must_use]
    pub const fn new(scope: Scope, snapshot: Arc<FleetSnapshot>) -> Self {
        Self {
            scope,
            snapshot,
            watches: BTreeMap::new(),
            nonces: 0,
            events: Vec::new(),
            synced: 0,
            dialect: PhantomData,
        }
    }

    /// Takes a request. Afterwards there may be a response, and events.
    ///
    /// # Errors
    /// When the stream must be ended.
    pub fn on_request(&mut self, request: Request<D::Names>) -> Result<(), Refusal> {
        let kind = request.kind;
        let opening = !self.watches.contains_key(&kind);
        let watch = self.watches.entry(kind).or_default();
        let collection = self.snapshot.collection(kind);
        let event = D::take(watch, request, collection, opening)?;
        self.events.extend(event);
        self.wake_waiting();
        Ok(())
    }

    /// Takes a newer snapshot.
    pub fn on_snapshot(&mut self, snapshot: Arc<FleetSnapshot>) {
        for (kind, watch) in &mut self.watches {
            let same = Arc::ptr_eq(snapshot.collection(*kind), self.snapshot.collection(*kind));
            watch.dirty |= !same;
        }
        self.snapshot = snapshot;
        self.wake_waiting();
    }

    /// The next response; to be asked until there is none.
    pub fn next_response(&mut self) -> Option<Response> {
        for kind in Kind::ALL {
            let Some(watch) = self.watches.get_mut(&kind) else {
                continue;
            };
            if !watch.dirty || watch.in_flight.is_some() {
                continue;
            }
            let draft = self.draft(kind)?;
            let watch = self.watches.get_mut(&kind)?;
            watch.waiting = draft.waiting;
            if let Some(content) = draft.content {
                return Some(self.commit(kind, content));
            }
            watch.dirty = false;
            watch.owed = false;
            self.events.extend(watch.clear(kind));
        }
        if self.is_settled() {
            self.synced = self.snapshot.serial();
        }
        None
    }

    /// What became known of the client since the last call.
    pub fn drain_events(&mut self) -> impl Iterator<Item = Event> {
        self.events.drain(..)
    }

    /// The newest publication that the client has answered in full; 0 if none.
    #[must_use]
    pub const fn synced(&self) -> u64 {
        self.synced
    }

    /// True if nothing is under way: no response waits for its answer, and none is due.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.watches.values().all(Watch::is_settled)
    }

    /// What the client holds of everything that it wants, for whoever asks.
    #[must_use]
    pub fn holdings(&self) -> BTreeMap<Kind, Vec<Holding>> {
        holdings(&self.watches, &self.snapshot)
    }

    fn order(&self) -> Order<'_> {
        Order { scope: self.scope, snapshot: &self.snapshot, watches: &self.watches }
    }

    fn draft(&self, kind: Kind) -> Option<Draft> {
        Some(D::compose(View {
            kind,
            watch: self.watches.get(&kind)?,
            collection: self.snapshot.collection(kind),
            order: self.order(),
        }))
    }

    /// Any request or snapshot may end what something waits for.
    fn wake_waiting(&mut self) {
        for watch in self.watches.values_mut() {
            watch.dirty |= watch.waiting;
        }
    }

    fn is_settled(&self) -> bool {
        !self.watches.is_empty() && self.is_quiet() && self.order().is_fully_subscribed()
    }

    /// Notes that a response is under way, and makes it.
    fn commit(&mut self, kind: Kind, content: Content) -> Response {
        self.nonces += 1;
        let nonce = self.nonces.to_string();
        let watch = self.watches.entry(kind).or_default();
        let mut news = Vec::new();
        let mut warming = Vec::new();
        for resource in &content.resources {
            let name = resource.name();
            let entry = watch.entries.get(name);
            let asked = watch.forced.remove(name) || watch.owed;
            if !entry.is_some_and(|entry| entry.has_accepted(resource.version())) {
                if kind == Kind::Cluster {
                    warming.extend_from_slice(resource.needs());
                }
            } else if !asked {
                // A full set repeats what the client has: no news, and nothing to refuse.
                continue;
            }
            news.push((Arc::clone(name), Told::Content(Arc::clone(resource))));
        }
        for name in &content.removed {
            watch.forced.remove(name);
            news.push((Arc::clone(name), Told::Gone));
        }
        let names = watch.tell(news);
        if !D::takes_parts(kind) {
            // Whoever is missing from a full set has been answered by that.
            watch.forced.clear();
        }
        watch.owed = false;
        watch.last_nonce.clone_from(&nonce);
        watch.in_flight =
            Some(InFlight { nonce: nonce.clone(), version: content.version.clone(), names });
        self.warm(&warming);
        Response {
            kind,
            version: content.version,
            nonce,
            resources: content.resources,
            removed: content.removed,
        }
    }

    /// A cluster that changed stays warming until it is told its endpoints, even if it was told
    /// the same ones before.
    fn warm(&mut self, needs: &[Need]) {
        let Some(endpoints) = self.watches.get_mut(&Kind::Endpoint) else {
            return;
        };
        for need in needs {
            if need.kind == Kind::Endpoint && endpoints.subscription.covers(&need.name) {
                endpoints.forced.insert(Arc::clone(&need.name));
                endpoints.dirty = true;
            }
        }
    }
}
