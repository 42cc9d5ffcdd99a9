//! The server side of one stream.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use super::entry::{ClientContent, InFlight};
use super::message::{Event, ProtocolError, Request, Response, Scope};
use super::resource_status::{ResourceStatus, resource_statuses};
use super::sequencing::Sequencing;
use super::type_state::TypeState;
use super::variant::{Draft, ResponseBody, TypeView, Variant};
use crate::kind::Kind;
use crate::resources::{FleetSnapshot, ResourceRef};

/// The server side of one stream. The [module](super) describes the order of calls.
#[derive(Debug)]
pub struct Session<V> {
    scope: Scope,
    snapshot: Arc<FleetSnapshot>,
    types: BTreeMap<Kind, TypeState>,
    /// Number of responses; the last nonce.
    responses: u64,
    events: Vec<Event>,
    synced: u64,
    variant: PhantomData<V>,
}

impl<V: Variant> Session<V> {
    /// A session for one stream, whose client belongs to the snapshot's fleet.
    #[must_use]
    pub const fn new(scope: Scope, snapshot: Arc<FleetSnapshot>) -> Self {
        Self {
            scope,
            snapshot,
            types: BTreeMap::new(),
            responses: 0,
            events: Vec::new(),
            synced: 0,
            variant: PhantomData,
        }
    }

    /// Applies a request. Afterwards responses and events may be available.
    ///
    /// # Errors
    /// If the request violates the protocol or a limit. The stream must be ended.
    pub fn on_request(&mut self, request: Request<V::Names>) -> Result<(), ProtocolError> {
        let kind = request.kind;
        let is_first = !self.types.contains_key(&kind);
        let state = self.types.entry(kind).or_default();
        let collection = self.snapshot.collection(kind);
        let event = V::on_request(state, request, collection, is_first)?;
        if is_first && state.is_resumed {
            self.events.push(Event::Resumed { kind });
        }
        self.events.extend(event);
        self.unblock();
        Ok(())
    }

    /// Replaces the snapshot by a newer one of the same fleet.
    pub fn on_snapshot(&mut self, snapshot: Arc<FleetSnapshot>) {
        for (kind, state) in &mut self.types {
            let same = Arc::ptr_eq(snapshot.collection(*kind), self.snapshot.collection(*kind));
            state.is_dirty |= !same;
        }
        self.snapshot = snapshot;
        self.unblock();
    }

    /// The next response to send. Must be called until it returns `None`.
    pub fn next_response(&mut self) -> Option<Response> {
        for kind in Kind::ALL {
            let Some(state) = self.types.get_mut(&kind) else {
                continue;
            };
            if !state.is_dirty || state.in_flight.is_some() {
                continue;
            }
            let draft = self.draft(kind)?;
            let state = self.types.get_mut(&kind)?;
            state.is_blocked = draft.is_blocked;
            if let Some(body) = draft.body {
                return Some(self.commit(kind, body));
            }
            state.is_dirty = false;
            state.response_required = false;
            self.events.extend(state.take_cleared(kind));
        }
        if self.is_settled() {
            self.synced = self.snapshot.serial();
        }
        None
    }

    /// The events since the last call, in the order of the requests.
    pub fn drain_events(&mut self) -> impl Iterator<Item = Event> {
        self.events.drain(..)
    }

    /// Serial of the newest snapshot of which the client has answered every response, by ACK or NACK; 0 if none.
    #[must_use]
    pub const fn synced(&self) -> u64 {
        self.synced
    }

    /// True if no response is in flight and none is due.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.types.values().all(TypeState::is_settled)
    }

    /// The status of all resources that the client subscribes to, by kind. Computed by each call.
    #[must_use]
    pub fn resource_statuses(&self) -> BTreeMap<Kind, Vec<ResourceStatus>> {
        resource_statuses(&self.types, &self.snapshot)
    }

    fn sequencing(&self) -> Sequencing<'_> {
        Sequencing { scope: self.scope, snapshot: &self.snapshot, types: &self.types }
    }

    fn draft(&self, kind: Kind) -> Option<Draft> {
        Some(V::draft(TypeView {
            kind,
            state: self.types.get(&kind)?,
            collection: self.snapshot.collection(kind),
            sequencing: self.sequencing(),
        }))
    }

    /// Marks blocked types for another draft: any request or snapshot may have removed the cause.
    fn unblock(&mut self) {
        for state in self.types.values_mut() {
            state.is_dirty |= state.is_blocked;
        }
    }

    fn is_settled(&self) -> bool {
        !self.types.is_empty() && self.is_quiet() && self.sequencing().is_fully_subscribed()
    }

    /// Records a response as in flight, and returns it.
    fn commit(&mut self, kind: Kind, body: ResponseBody) -> Response {
        self.responses += 1;
        let nonce = self.responses.to_string();
        let state = self.types.entry(kind).or_default();
        let mut sent = Vec::new();
        let mut cluster_references = Vec::new();
        for resource in &body.resources {
            let name = resource.name();
            let entry = state.entries.get(name);
            let is_required = state.must_send.remove(name) || state.response_required;
            if !entry.is_some_and(|entry| entry.has_acked(resource.version())) {
                if kind == Kind::Cluster {
                    cluster_references.extend_from_slice(resource.references());
                }
            } else if !is_required {
                // A full set repeats content that the client has ACKed: its answer says nothing about this resource.
                continue;
            }
            sent.push((Arc::clone(name), ClientContent::Resource(Arc::clone(resource))));
        }
        for name in &body.removed {
            state.must_send.remove(name);
            sent.push((Arc::clone(name), ClientContent::Absent));
        }
        let names = state.record_sent(sent);
        if !V::allows_subset(kind) {
            // A full set also answers the names that it does not contain.
            state.must_send.clear();
        }
        state.response_required = false;
        state.last_nonce.clone_from(&nonce);
        state.in_flight =
            Some(InFlight { nonce: nonce.clone(), version: body.version.clone(), names });
        self.resend_endpoints(&cluster_references);
        Response {
            kind,
            version: body.version,
            nonce,
            resources: body.resources,
            removed: body.removed,
        }
    }

    /// Requires the endpoints of new and changed clusters to be sent: Envoy keeps such a cluster warming until it receives
    /// its endpoints, even unchanged ones.
    fn resend_endpoints(&mut self, references: &[ResourceRef]) {
        let Some(endpoints) = self.types.get_mut(&Kind::Endpoint) else {
            return;
        };
        for reference in references {
            if reference.kind == Kind::Endpoint && endpoints.subscription.covers(&reference.name) {
                endpoints.must_send.insert(Arc::clone(&reference.name));
                endpoints.is_dirty = true;
            }
        }
    }
}
