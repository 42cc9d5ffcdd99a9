//! Builders for resources and snapshots, and a test client for both variants.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_proto::envoy::google::protobuf::StringValue;

use crate::kind::Kind;
use crate::protocol::{
    Delta, DeltaNames, Event, Request, Response, Scope, Session, Sotw, SotwNames, Variant,
};
use crate::resources::{FleetSnapshot, Part, Resource, ResourceRef};

/// The name of the one extension.
pub(super) const FILTER: &str = "filter";

fn resource(kind: Kind, name: &str, content: u32, references: Vec<ResourceRef>) -> Arc<Resource> {
    let value = format!("{kind} {name} {content} {references:?}");
    Arc::new(Resource::encode(kind, name, &StringValue { value }, references))
}

fn reference(kind: Kind) -> impl Fn(&&str) -> ResourceRef {
    move |name| ResourceRef { kind, name: (*name).into() }
}

/// A cluster that takes its endpoints from EDS.
pub(super) fn cluster(name: &str, content: u32) -> Arc<Resource> {
    resource(Kind::Cluster, name, content, vec![reference(Kind::Endpoint)(&name)])
}

pub(super) fn endpoint(name: &str, content: u32) -> Arc<Resource> {
    resource(Kind::Endpoint, name, content, Vec::new())
}

/// A listener with the filter and one route configuration, of its own name.
pub(super) fn listener(name: &str, content: u32) -> Arc<Resource> {
    let references = vec![reference(Kind::Extension)(&FILTER), reference(Kind::Route)(&name)];
    resource(Kind::Listener, name, content, references)
}

/// A listener without references, for a gRPC client.
pub(super) fn api_listener(name: &str) -> Arc<Resource> {
    resource(Kind::Listener, name, 1, Vec::new())
}

pub(super) fn extension(content: u32) -> Arc<Resource> {
    resource(Kind::Extension, FILTER, content, Vec::new())
}

/// The routes of one service, to these clusters.
pub(super) fn route(name: &str, content: u32, clusters: &[&str]) -> Arc<Resource> {
    routes(name, &[("service", content, clusters)])
}

/// The routes of several services, each with its name, content and clusters.
pub(super) fn routes(name: &str, services: &[(&str, u32, &[&str])]) -> Arc<Resource> {
    let part = |(service, content, clusters): &(&str, u32, &[&str])| {
        let references: Vec<ResourceRef> = clusters.iter().map(reference(Kind::Cluster)).collect();
        let value = format!("{} {name} {content} {references:?}", Kind::Route);
        Part::encode(service, &StringValue { value }, references)
    };
    let head = StringValue { value: name.to_owned() };
    let parts = services.iter().map(part).collect();
    Arc::new(Resource::assemble(Kind::Route, name, &head, parts))
}

/// A snapshot that shares nothing with others, so sessions must compare contents.
pub(super) fn snapshot(serial: u64, resources: &[Arc<Resource>]) -> Arc<FleetSnapshot> {
    let fleet = "demo".parse().unwrap();
    Arc::new(FleetSnapshot::new(fleet, serial, resources, None))
}

/// A client of one variant, with the session of its stream.
pub(super) struct Client<D: Variant> {
    pub(super) session: Session<D>,
    /// The subscription, which every SotW request repeats.
    names: BTreeMap<Kind, Vec<String>>,
    /// The newest nonce that was answered.
    nonces: BTreeMap<Kind, String>,
}

/// The operations of clients of both variants.
pub(super) trait ClientOps: Sized {
    fn aggregated(snapshot: Arc<FleetSnapshot>) -> Self;
    /// The first request of a type, or additional names.
    fn subscribe(&mut self, kind: Kind, names: &[&str]);
    /// ACK, or NACK with an error.
    fn answer(&mut self, response: &Response, error: Option<&str>);
    fn publish(&mut self, snapshot: Arc<FleetSnapshot>);
    /// The next response, if there is one.
    fn next(&mut self) -> Option<Response>;
    fn events(&mut self) -> Vec<Event>;
    fn synced(&self) -> u64;

    fn ack(&mut self, response: &Response) {
        self.answer(response, None);
    }

    fn nack(&mut self, response: &Response) {
        self.answer(response, Some("bad"));
    }

    /// The next response. It must exist, and have this kind and these resources.
    #[track_caller]
    fn expect(&mut self, kind: Kind, names: &[&str]) -> Response {
        let response = self.next().unwrap_or_else(|| panic!("no response with {kind} {names:?}"));
        assert_eq!((response.kind, named(&response)), (kind, owned(names)));
        response
    }

    /// [`ClientOps::expect`], and an ACK.
    #[track_caller]
    fn accept(&mut self, kind: Kind, names: &[&str]) {
        let response = self.expect(kind, names);
        self.ack(&response);
    }

    #[track_caller]
    fn expect_none(&mut self) {
        let response = self.next();
        assert!(response.is_none(), "{response:?}");
    }
}

pub(super) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// The names of a response's resources.
pub(super) fn named(response: &Response) -> Vec<String> {
    let names = response.resources.iter().map(|resource| resource.name());
    names.map(ToString::to_string).collect()
}

/// The names that a response removes.
pub(super) fn removed(response: &Response) -> Vec<String> {
    response.removed.iter().map(ToString::to_string).collect()
}

impl Client<Sotw> {
    pub(super) fn send(&mut self, kind: Kind, nonce: &str, error: Option<&str>, names: &[&str]) {
        self.names.insert(kind, owned(names));
        let request = Request {
            kind,
            nonce: nonce.to_owned(),
            error: error.map(str::to_owned),
            names: SotwNames { names: owned(names), has_version_info: nonce.contains("old") },
        };
        self.session.on_request(request).unwrap();
    }
}

impl ClientOps for Client<Sotw> {
    fn aggregated(snapshot: Arc<FleetSnapshot>) -> Self {
        Self {
            session: Session::new(Scope::Aggregated, snapshot),
            names: BTreeMap::new(),
            nonces: BTreeMap::new(),
        }
    }

    fn subscribe(&mut self, kind: Kind, names: &[&str]) {
        let mut all = self.names.remove(&kind).unwrap_or_default();
        all.extend(owned(names));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let nonce = self.nonces.get(&kind).cloned().unwrap_or_default();
        self.send(kind, &nonce, None, &all);
    }

    fn answer(&mut self, response: &Response, error: Option<&str>) {
        let names = self.names.get(&response.kind).cloned().unwrap_or_default();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.nonces.insert(response.kind, response.nonce.clone());
        self.send(response.kind, &response.nonce, error, &names);
    }

    fn publish(&mut self, snapshot: Arc<FleetSnapshot>) {
        self.session.on_snapshot(snapshot);
    }

    fn next(&mut self) -> Option<Response> {
        self.session.next_response()
    }

    fn events(&mut self) -> Vec<Event> {
        self.session.drain_events().collect()
    }

    fn synced(&self) -> u64 {
        self.session.synced()
    }
}

impl Client<Delta> {
    pub(super) fn send(&mut self, kind: Kind, nonce: &str, subscribe: &[&str], drop: &[&str]) {
        self.request(kind, nonce, None, subscribe, drop, &[]);
    }

    /// The first request after a reconnection: names, and initial resource versions.
    pub(super) fn resume(&mut self, kind: Kind, names: &[&str], held: &[(&str, &str)]) {
        self.request(kind, "", None, names, &[], held);
    }

    pub(super) fn request(
        &mut self,
        kind: Kind,
        nonce: &str,
        error: Option<&str>,
        subscribe: &[&str],
        unsubscribe: &[&str],
        held: &[(&str, &str)],
    ) {
        let held = held.iter();
        let request = Request {
            kind,
            nonce: nonce.to_owned(),
            error: error.map(str::to_owned),
            names: DeltaNames {
                subscribe: owned(subscribe),
                unsubscribe: owned(unsubscribe),
                initial_resource_versions: held
                    .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
                    .collect(),
            },
        };
        self.session.on_request(request).unwrap();
    }
}

impl ClientOps for Client<Delta> {
    fn aggregated(snapshot: Arc<FleetSnapshot>) -> Self {
        Self {
            session: Session::new(Scope::Aggregated, snapshot),
            names: BTreeMap::new(),
            nonces: BTreeMap::new(),
        }
    }

    fn subscribe(&mut self, kind: Kind, names: &[&str]) {
        self.send(kind, "", names, &[]);
    }

    fn answer(&mut self, response: &Response, error: Option<&str>) {
        self.request(response.kind, &response.nonce, error, &[], &[], &[]);
    }

    fn publish(&mut self, snapshot: Arc<FleetSnapshot>) {
        self.session.on_snapshot(snapshot);
    }

    fn next(&mut self) -> Option<Response> {
        self.session.next_response()
    }

    fn events(&mut self) -> Vec<Event> {
        self.session.drain_events().collect()
    }

    fn synced(&self) -> u64 {
        self.session.synced()
    }
}

/// Defines one test for both variants, `sotw` and `delta` in a module of its name.
macro_rules! both {
    ($(#[$doc:meta])* fn $name:ident<C: ClientOps>() $body:block) => {
        mod $name {
            use super::*;

            $(#[$doc])*
            fn check<C: ClientOps>() $body

            #[test]
            fn sotw() {
                check::<Client<Sotw>>();
            }

            #[test]
            fn delta() {
                check::<Client<Delta>>();
            }
        }
    };
}
pub(super) use both;
