//! A model of Envoy, for random exchanges with a session.
//!
//! In any order of snapshots, requests and responses, and whatever the client NACKs: the rules hold for every response,
//! nothing is held back forever, and in the end the client holds exactly the newest snapshot.

mod exchanges;
mod request;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use self::request::{ModelVariant, PendingRequest};
use super::support::*;
use crate::kind::Kind;
use crate::protocol::{Event, Request, Response, Scope, Session};
use crate::resources::{FleetSnapshot, Resource};

/// Content that the client NACKs.
const BAD: u32 = 0;

type View = BTreeMap<Kind, BTreeMap<String, Arc<Resource>>>;

/// The client, its stream, and the messages in flight.
struct World<D: ModelVariant> {
    session: Session<D>,
    snapshot: Arc<FleetSnapshot>,
    requests: VecDeque<(Kind, PendingRequest)>,
    responses: VecDeque<Response>,
    /// What the client has applied. It is kept across streams.
    view: View,
    /// The subscriptions by name.
    names: BTreeMap<Kind, BTreeSet<String>>,
    nonces: BTreeMap<Kind, String>,
    /// New and changed clusters that wait for their endpoints.
    warming: BTreeSet<String>,
    /// Clusters that it NACKed.
    refused: BTreeSet<String>,
    /// Whether it applies the valid part of a response that it NACKs.
    lenient: bool,
    /// Kinds with a response that is not answered.
    in_flight: BTreeSet<Kind>,
    /// ACKed versions, by kind and name.
    accepted: BTreeMap<(Kind, String), String>,
    /// Names that must be answered whatever the client holds.
    asked: BTreeSet<(Kind, String)>,
    /// Kinds with a response on this stream.
    opened: BTreeSet<Kind>,
    /// Kinds of which the client has applied a response on this stream.
    taken: BTreeSet<Kind>,
    /// The content of each version, over all streams.
    versions: HashMap<(Kind, String, String), Vec<u8>>,
}

impl<D: ModelVariant> World<D> {
    fn new(snapshot: Arc<FleetSnapshot>, lenient: bool) -> Self {
        let mut world = Self {
            session: Session::new(Scope::Aggregated, Arc::clone(&snapshot)),
            snapshot,
            requests: VecDeque::new(),
            responses: VecDeque::new(),
            view: View::new(),
            names: BTreeMap::new(),
            nonces: BTreeMap::new(),
            warming: BTreeSet::new(),
            refused: BTreeSet::new(),
            lenient,
            in_flight: BTreeSet::new(),
            accepted: BTreeMap::new(),
            asked: BTreeSet::new(),
            opened: BTreeSet::new(),
            taken: BTreeSet::new(),
            versions: HashMap::new(),
        };
        world.reconnect();
        world
    }

    /// A new stream: messages in flight are lost, and the client subscribes again to every type.
    fn reconnect(&mut self) {
        self.session = Session::new(Scope::Aggregated, Arc::clone(&self.snapshot));
        self.requests.clear();
        self.responses.clear();
        self.nonces.clear();
        self.in_flight.clear();
        self.accepted.clear();
        self.asked.clear();
        self.opened.clear();
        self.taken.clear();
        for kind in [Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Extension, Kind::Route] {
            let names: Vec<String> = self.names.get(&kind).into_iter().flatten().cloned().collect();
            if names.is_empty() && !is_wildcard(kind) {
                continue;
            }
            let held = self.view.get(&kind).into_iter().flatten();
            let held = held
                .map(|(name, resource)| (name.clone(), resource.version().to_owned()))
                .collect();
            let request = PendingRequest {
                all: names.clone(),
                subscribe: names,
                held,
                ..PendingRequest::default()
            };
            self.requests.push_back((kind, request));
        }
    }

    fn publish(&mut self, snapshot: &Arc<FleetSnapshot>) {
        self.snapshot = Arc::clone(snapshot);
        self.session.on_snapshot(Arc::clone(snapshot));
        self.collect_responses();
    }

    /// The server receives one request.
    fn deliver_request(&mut self) {
        let Some((kind, request)) = self.requests.pop_front() else {
            return;
        };
        // An ACK repeats all names; only new ones must be answered.
        let bare = request.nonce.is_empty();
        let new = if D::DELTA { &request.subscribe } else { &request.all };
        for name in new {
            let known = self.accepted.contains_key(&(kind, name.clone()));
            if D::DELTA || bare || !known {
                self.asked.insert((kind, name.clone()));
            }
        }
        let dropped: Vec<(Kind, String)> = self
            .accepted
            .keys()
            .filter(|(of, name)| {
                *of == kind
                    && if D::DELTA {
                        request.unsubscribe.contains(name)
                    } else {
                        !is_wildcard(kind) && !request.all.contains(name)
                    }
            })
            .cloned()
            .collect();
        for key in dropped {
            self.accepted.remove(&key);
        }
        // Content that the client holds need not be sent, unless it is subscribed to by name.
        for (name, version) in request.held.iter().filter(|_| D::DELTA && is_wildcard(kind)) {
            self.accepted.insert((kind, name.clone()), version.clone());
        }
        let message = Request {
            kind,
            nonce: request.nonce.clone(),
            error: request.error.then(|| "refused".to_owned()),
            names: D::names(request),
        };
        self.session.on_request(message).unwrap();
        for event in self.session.drain_events() {
            if let Event::Acked { kind, .. } | Event::Nacked { kind, .. } = event {
                assert!(self.in_flight.remove(&kind), "an answer without a response");
            }
        }
        self.collect_responses();
    }

    /// Collects and checks the responses that are due.
    fn collect_responses(&mut self) {
        while let Some(response) = self.session.next_response() {
            self.check(&response);
            self.responses.push_back(response);
        }
    }

    fn check(&mut self, response: &Response) {
        let kind = response.kind;
        assert!(self.in_flight.insert(kind), "two {kind} responses in flight");
        let resources = named(response);
        let unique: BTreeSet<String> = resources.iter().cloned().chain(removed(response)).collect();
        let total = resources.len() + response.removed.len();
        assert_eq!(unique.len(), total, "a name twice in {response:?}");
        let mut news = !response.removed.is_empty() || self.opened.insert(kind);
        for resource in &response.resources {
            let name = resource.name().to_string();
            let key = (kind, name.clone(), resource.version().to_owned());
            let content = self.versions.entry(key).or_insert_with(|| resource.value().to_vec());
            assert_eq!(content, resource.value(), "a version of two contents");
            let known = self.accepted.get(&(kind, name.clone()));
            let fresh = known.map(String::as_str) != Some(resource.version());
            let asked = self.asked.remove(&(kind, name.clone()));
            news |= fresh || asked;
            let in_part = D::DELTA || !kind.is_full_set();
            assert!(!in_part || fresh || asked, "{kind} {name} twice");
            if kind == Kind::Cluster && fresh {
                self.asked.insert((Kind::Endpoint, name));
            }
        }
        assert!(news, "no change in {response:?}");
    }

    /// The client receives one response, and answers.
    fn deliver_response(&mut self) {
        let Some(response) = self.responses.pop_front() else {
            return;
        };
        let kind = response.kind;
        let bad = response.resources.iter().any(|resource| is_bad(resource));
        if !bad || self.lenient {
            self.apply(&response);
        }
        if bad && kind == Kind::Cluster {
            self.refused.extend(named(&response));
        }
        if bad {
            // It is unknown which part was applied.
            for name in named(&response).into_iter().chain(removed(&response)) {
                self.accepted.remove(&(kind, name));
            }
        } else {
            for resource in &response.resources {
                let key = (kind, resource.name().to_string());
                self.accepted.insert(key, resource.version().to_owned());
            }
            for name in removed(&response) {
                self.accepted.remove(&(kind, name));
            }
        }
        self.nonces.insert(kind, response.nonce.clone());
        let names = self.names.get(&kind).cloned().unwrap_or_default();
        let request = PendingRequest {
            nonce: response.nonce,
            error: bad,
            all: names.into_iter().collect(),
            ..PendingRequest::default()
        };
        self.requests.push_back((kind, request));
        self.follow(kind);
    }

    fn apply(&mut self, response: &Response) {
        let kind = response.kind;
        let first = self.taken.insert(kind);
        let view = self.view.entry(kind).or_default();
        let before: BTreeSet<String> = view.keys().cloned().collect();
        if !D::DELTA && kind.is_full_set() {
            let named: BTreeSet<String> = named(response).into_iter().collect();
            view.retain(|name, _| named.contains(name));
        }
        for name in removed(response) {
            view.remove(&name);
        }
        for resource in response.resources.iter().filter(|resource| !is_bad(resource)) {
            let name = resource.name().to_string();
            let is_new = view.get(&name).is_none_or(|old| old.version() != resource.version());
            match kind {
                Kind::Cluster if is_new => _ = self.warming.insert(name.clone()),
                Kind::Endpoint => _ = self.warming.remove(&name),
                _ => {}
            }
            // Resources without a subscription are ignored.
            if is_wildcard(kind) || self.names.get(&kind).is_some_and(|all| all.contains(&name)) {
                view.insert(name, Arc::clone(resource));
            }
        }
        let after: BTreeSet<String> = view.keys().cloned().collect();
        if kind == Kind::Cluster {
            // In state of the world the server does not know what the client holds from before the stream, until the client
            // applies a full set.
            let excused = !D::DELTA && first;
            for gone in before.difference(&after).filter(|_| !excused) {
                let routes = self.view.get(&Kind::Route).into_iter().flatten();
                for (route, resource) in routes {
                    let mut references = resource.references().iter();
                    assert!(
                        references.all(|reference| *reference.name != **gone),
                        "{route} lost {gone}"
                    );
                }
            }
        }
        if kind == Kind::Route {
            let clusters = self.view.get(&Kind::Cluster);
            let references = response.resources.iter().filter(|resource| !is_bad(resource));
            for reference in references.flat_map(|resource| resource.references()) {
                let has = clusters.is_some_and(|clusters| clusters.contains_key(&*reference.name));
                let refused = self.refused.contains(&*reference.name);
                assert!(
                    has || refused,
                    "a route to {}, which the client does not have",
                    reference.name
                );
            }
        }
    }

    /// Like Envoy, the client subscribes to what its resources reference, and drops the rest.
    fn follow(&mut self, kind: Kind) {
        let seen = |kind| -> BTreeSet<String> {
            self.view.get(&kind).into_iter().flatten().map(|(name, _)| name.clone()).collect()
        };
        match kind {
            Kind::Cluster => self.resubscribe(Kind::Endpoint, seen(Kind::Cluster)),
            Kind::Listener => {
                let listeners = seen(Kind::Listener);
                let filter = listeners.first().map(|_| FILTER.to_owned());
                self.resubscribe(Kind::Extension, filter.into_iter().collect());
                self.resubscribe(Kind::Route, listeners);
            }
            _ => {}
        }
    }

    fn resubscribe(&mut self, kind: Kind, names: BTreeSet<String>) {
        let old = self.names.insert(kind, names.clone()).unwrap_or_default();
        if old == names {
            return;
        }
        let unsubscribe: Vec<String> = old.difference(&names).cloned().collect();
        if let Some(view) = self.view.get_mut(&kind) {
            view.retain(|name, _| names.contains(name));
        }
        let request = PendingRequest {
            nonce: self.nonces.get(&kind).filter(|_| !D::DELTA).cloned().unwrap_or_default(),
            subscribe: names.difference(&old).cloned().collect(),
            unsubscribe,
            all: names.into_iter().collect(),
            ..PendingRequest::default()
        };
        self.requests.push_back((kind, request));
    }

    /// Delivers messages until none is in flight.
    fn run_until_idle(&mut self) {
        for _ in 0..10_000 {
            self.collect_responses();
            if self.requests.is_empty() && self.responses.is_empty() {
                assert!(self.in_flight.is_empty(), "{:?} never answered", self.in_flight);
                return;
            }
            self.deliver_response();
            self.deliver_request();
        }
        panic!("no end");
    }

    fn check_converged(&self) {
        for kind in [Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Extension, Kind::Route] {
            let collection = self.snapshot.collection(kind);
            let wanted = |name: &&str| {
                is_wildcard(kind)
                    || self.names.get(&kind).is_some_and(|names| names.contains(*name))
            };
            let expected: BTreeMap<&str, &str> = collection
                .names()
                .map(|name| &**name)
                .filter(wanted)
                .map(|name| (name, collection.get(name).unwrap().version()))
                .collect();
            let has = self.view.get(&kind).into_iter().flatten();
            let has: BTreeMap<&str, &str> =
                has.map(|(name, resource)| (name.as_str(), resource.version())).collect();
            assert_eq!(has, expected, "{kind}");
        }
        let clusters = self.view.get(&Kind::Cluster).into_iter().flatten();
        for (name, _) in clusters {
            assert!(!self.warming.contains(name), "{name} warms forever");
        }
        assert_eq!(self.session.synced(), self.snapshot.serial());
    }
}

const fn is_wildcard(kind: Kind) -> bool {
    matches!(kind, Kind::Cluster | Kind::Listener)
}

/// Bad content is marked; see `resource` in the support module.
fn is_bad(resource: &Resource) -> bool {
    let text = String::from_utf8_lossy(resource.value());
    text.contains(&format!(" {} {BAD} [", resource.name()))
}
