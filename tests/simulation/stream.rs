//! One ADS stream between a sidecar and the control plane: the session, its entry in the ACK tracker, and the messages in
//! both directions, which arrive in order and delayed.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use tidegate::xds::fleet::Connection;
use tidegate_delivery::fixtures::name;
use tidegate_xds::kind::{Kind, Mode};
use tidegate_xds::protocol::{
    Delta, DeltaNames, Event, Request, Response, Scope, Session, Sotw, SotwNames,
};
use tidegate_xds::resources::FleetSnapshot;

use super::configuration::FLEET;
use super::control_plane::ControlPlane;

/// A request of the client, in a form for both dialects.
#[derive(Debug, Clone)]
pub(crate) struct ClientRequest {
    pub(crate) kind: Kind,
    pub(crate) nonce: String,
    pub(crate) nack: bool,
    pub(crate) all: Vec<String>,
    pub(crate) subscribe: Vec<String>,
    pub(crate) unsubscribe: Vec<String>,
    pub(crate) held: HashMap<String, String>,
}

enum Dialect {
    Sotw(Session<Sotw>),
    Delta(Session<Delta>),
}

pub(crate) struct Stream {
    session: Dialect,
    connection: Connection,
    snapshot: Arc<FleetSnapshot>,
    requests: VecDeque<(u64, ClientRequest)>,
    responses: VecDeque<(u64, Response)>,
    in_flight: BTreeSet<Kind>,
}

impl Stream {
    pub(crate) fn open(control_plane: &ControlPlane, node: &str, mode: Mode) -> Self {
        let snapshot = latest(control_plane);
        let first = Arc::clone(&snapshot);
        Self {
            session: match mode {
                Mode::Sotw => Dialect::Sotw(Session::new(Scope::Aggregated, first)),
                Mode::Delta => Dialect::Delta(Session::new(Scope::Aggregated, first)),
            },
            connection: control_plane.ack_tracker.connect(name(FLEET), node, mode),
            snapshot,
            requests: VecDeque::new(),
            responses: VecDeque::new(),
            in_flight: BTreeSet::new(),
        }
    }

    pub(crate) fn send(&mut self, at: u64, request: ClientRequest) {
        let at = self.requests.back().map_or(at, |(last, _)| at.max(*last));
        self.requests.push_back((at, request));
    }

    /// The next response that has arrived at the sidecar.
    pub(crate) fn receive(&mut self, now: u64) -> Option<Response> {
        let (at, _) = self.responses.front()?;
        if *at > now {
            return None;
        }
        self.responses.pop_front().map(|(_, response)| response)
    }

    /// Runs the server's side: passes the newest snapshot and the requests that have arrived to the session.
    pub(crate) fn serve(&mut self, control_plane: &ControlPlane, now: u64, delay: u64) {
        let newest = latest(control_plane);
        if !Arc::ptr_eq(&newest, &self.snapshot) {
            match &mut self.session {
                Dialect::Sotw(session) => session.on_snapshot(Arc::clone(&newest)),
                Dialect::Delta(session) => session.on_snapshot(Arc::clone(&newest)),
            }
            self.snapshot = newest;
        }
        self.respond(now, delay);
        while self.requests.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, request)) = self.requests.pop_front() else { return };
            self.pass_to_session(request);
            self.respond(now, delay);
        }
    }

    fn pass_to_session(&mut self, request: ClientRequest) {
        let error = request.nack.then(|| "rejected by the simulation".to_owned());
        let ClientRequest { kind, nonce, all, subscribe, unsubscribe, held, .. } = request;
        match &mut self.session {
            Dialect::Sotw(session) => {
                let names = SotwNames { names: all, has_version_info: !held.is_empty() };
                session.on_request(Request { kind, nonce, error, names }).unwrap();
            }
            Dialect::Delta(session) => {
                let names = DeltaNames { subscribe, unsubscribe, initial_resource_versions: held };
                session.on_request(Request { kind, nonce, error, names }).unwrap();
            }
        }
        self.record();
    }

    fn respond(&mut self, now: u64, delay: u64) {
        loop {
            let next = match &mut self.session {
                Dialect::Sotw(session) => session.next_response(),
                Dialect::Delta(session) => session.next_response(),
            };
            let Some(response) = next else { break };
            let kind = response.kind;
            assert!(self.in_flight.insert(kind), "two {kind} responses in flight on one stream");
            let at = self.responses.back().map_or(now + delay, |(at, _)| (now + delay).max(*at));
            self.responses.push_back((at, response));
        }
        self.record();
    }

    fn record(&mut self) {
        let synced = self.synced();
        let events: Vec<Event> = match &mut self.session {
            Dialect::Sotw(session) => session.drain_events().collect(),
            Dialect::Delta(session) => session.drain_events().collect(),
        };
        for event in &events {
            if let Event::Acked { kind, .. } | Event::Nacked { kind, .. } = event {
                assert!(self.in_flight.remove(kind), "an ACK or NACK without a {kind} response");
            }
        }
        self.connection.record(events.into_iter(), synced);
    }

    const fn synced(&self) -> u64 {
        match &self.session {
            Dialect::Sotw(session) => session.synced(),
            Dialect::Delta(session) => session.synced(),
        }
    }

    /// Whether the sidecar has ACKed or NACKed the whole newest publication.
    pub(crate) fn has_newest(&self, control_plane: &ControlPlane) -> bool {
        self.synced() == latest(control_plane).serial()
    }
}

pub(crate) fn latest(control_plane: &ControlPlane) -> Arc<FleetSnapshot> {
    Arc::clone(control_plane.snapshots.borrow().fleet(FLEET).unwrap())
}
