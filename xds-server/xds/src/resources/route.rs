//! RDS: who gets which version. This is where a weight leaves.
//!
//! A virtual host has its routes in this order: one for each version that a flag may pin; one for
//! requests that have a bucket, divided by weight; and one for the rest. In listeners of ours the
//! rest goes to stable, because the filter may fail only towards stable: until a release has all of
//! the traffic. In listeners of others there may be no filter at all, and chance divides the rest.
//! A gRPC client has no filter for sure, so nobody strips our headers: chance divides everything.

use tidegate_core::config::{BUCKET_HEADER, VERSION_HEADER};
use tidegate_core::host::Host;
use tidegate_proto::envoy::envoy::config::core::v3 as core;
use tidegate_proto::envoy::envoy::config::route::v3 as envoy;
use tidegate_proto::envoy::envoy::r#type::matcher::v3 as matcher;

use super::{Name, Need, Part, Resource, names, number, seconds};
use crate::kind::Kind;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::{ServiceName, VersionName};
use tidegate_delivery::units::Ppm;

/// Envoy's own default, written down because the latency guardrail depends on it.
const TIMEOUT_SECONDS: i64 = 15;

/// The field of a route configuration that its virtual hosts are in.
const VIRTUAL_HOSTS: u32 = 2;

/// Whose listener it is that takes the routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    /// Ours: every request has been through our filter, unless that failed.
    Ours,
    /// Another Envoy's: there may be no filter of ours.
    Foreign,
    /// A gRPC client: there is no filter of ours, and headers of our names are not ours.
    Grpc,
}

/// The routes of a listener of ours: the virtual hosts of its services.
pub(super) fn of_listener(name: &str, virtual_hosts: Vec<Part>) -> Resource {
    assemble(name, virtual_hosts)
}

/// A service's virtual host in listeners of ours.
pub(super) fn virtual_host(name: &ServiceName, service: &ServiceState) -> Part {
    part(name, service, Listener::Ours)
}

/// One service's routes, for meshes that bring their own listeners.
pub(super) fn of_service(name: &ServiceName, service: &ServiceState) -> Resource {
    assemble(&names::service_routes(name), vec![part(name, service, Listener::Foreign)])
}

/// One service's routes, for gRPC clients.
pub(super) fn of_grpc(name: &ServiceName, service: &ServiceState) -> Resource {
    assemble(&names::grpc_routes(name), vec![part(name, service, Listener::Grpc)])
}

fn assemble(name: &str, virtual_hosts: Vec<Part>) -> Resource {
    let head = envoy::RouteConfiguration {
        name: name.to_owned(),
        ignore_port_in_host_matching: true,
        ..Default::default()
    };
    // Each virtual host is a part of its own: a cluster of one service that warms slowly does not delay the rollback of
    // another.
    Resource::assemble(Kind::Route, name, &head, virtual_hosts)
}

fn part(service: &ServiceName, state: &ServiceState, listener: Listener) -> Part {
    let domains = domains(service, state, listener);
    let host = envoy::VirtualHost {
        name: service.to_string(),
        domains: domains.clone(),
        ..Default::default()
    };
    let need =
        |version| Need { kind: Kind::Cluster, name: names::cluster(service, version).into() };
    let routes = |routes| envoy::VirtualHost { routes, ..Default::default() };
    // A version that only flags lead to, and that warms slowly, must not hold back a rollback.
    let pins = pinned(state, listener).map(|version| {
        let only = header(VERSION_HEADER, exactly(version.as_str()));
        let pin = route(vec![only], to_cluster(names::cluster(service, version)));
        (need(version), routes(vec![pin]))
    });
    let split = state.split();
    let shares = [Some(split.stable), split.candidate.map(|(version, _)| version)];
    // What the bytes name and no more: who has the same bytes has the same needs.
    let shared = shares.into_iter().flatten();
    let needs = shared.filter(|it| state.spec.versions.contains_key(*it)).map(need).collect();
    let rest = routes(unpinned(service, state, listener));
    Part::in_layers(service.as_str(), VIRTUAL_HOSTS, &host, pins.collect(), &rest, needs)
        .claiming(domains.into_iter().map(Name::from).collect())
}

/// The routes of requests that no flag pinned.
fn unpinned(service: &ServiceName, state: &ServiceState, listener: Listener) -> Vec<envoy::Route> {
    let versions = &state.spec.versions;
    if versions.contains_key(&state.stable) {
        let split = state.split();
        let candidate = split.candidate.filter(|(version, _)| versions.contains_key(*version));
        divided(service, split.stable, candidate, listener)
    } else {
        // No cluster can be named. A plain answer is better than one that blames a version.
        let body = format!("the stable version of {service} is not deployed\n");
        vec![route(Vec::new(), answer(503, body))]
    }
}

/// The versions that a flag may pin.
fn pinned(state: &ServiceState, listener: Listener) -> impl Iterator<Item = &VersionName> {
    state.pinnable().filter(move |_| listener != Listener::Grpc)
}

fn domains(service: &ServiceName, state: &ServiceState, listener: Listener) -> Vec<String> {
    match listener {
        Listener::Ours | Listener::Foreign => {
            state.spec.hosts.iter().flat_map(Host::domains).collect()
        }
        // A gRPC client calls it what it asked us for.
        Listener::Grpc => vec![service.to_string()],
    }
}

/// As weights divide them.
fn divided(
    service: &ServiceName,
    stable: &VersionName,
    candidate: Option<(&VersionName, Ppm)>,
    listener: Listener,
) -> Vec<envoy::Route> {
    let share = |version: &VersionName, weight: Ppm| envoy::weighted_cluster::ClusterWeight {
        name: names::cluster(service, version),
        weight: number(weight.parts()),
        ..Default::default()
    };
    // Candidate first: a ramp moves one boundary, and every user crosses it once at most.
    let clusters = match candidate {
        Some((version, weight)) => {
            vec![share(version, weight), share(stable, weight.complement())]
        }
        None => vec![share(stable, Ppm::ALL)],
    };
    let weighted = |random_value_specifier| {
        envoy::route_action::ClusterSpecifier::WeightedClusters(envoy::WeightedCluster {
            clusters: clusters.clone(),
            random_value_specifier,
            ..Default::default()
        })
    };
    let by_chance = || route(Vec::new(), to(weighted(None)));
    let rest = match (listener, candidate) {
        (Listener::Grpc, _) => return vec![by_chance()],
        (Listener::Foreign, _) => by_chance(),
        // A full weight needs no bucket; any other does not go to who has none.
        (Listener::Ours, Some((version, Ppm::ALL))) => all_to(service, version),
        (Listener::Ours, _) => all_to(service, stable),
    };
    let by_bucket =
        envoy::weighted_cluster::RandomValueSpecifier::HeaderName(BUCKET_HEADER.to_owned());
    let with_bucket = header(BUCKET_HEADER, is_present());
    vec![route(vec![with_bucket], to(weighted(Some(by_bucket)))), rest]
}

fn all_to(service: &ServiceName, version: &VersionName) -> envoy::Route {
    route(Vec::new(), to_cluster(names::cluster(service, version)))
}

pub(super) fn route(
    headers: Vec<envoy::HeaderMatcher>,
    action: envoy::route::Action,
) -> envoy::Route {
    envoy::Route {
        r#match: Some(envoy::RouteMatch {
            path_specifier: Some(envoy::route_match::PathSpecifier::Prefix("/".to_owned())),
            headers,
            ..Default::default()
        }),
        action: Some(action),
        ..Default::default()
    }
}

pub(super) fn header(
    name: &str,
    specifier: envoy::header_matcher::HeaderMatchSpecifier,
) -> envoy::HeaderMatcher {
    envoy::HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(specifier),
        ..Default::default()
    }
}

pub(super) fn exactly(value: &str) -> envoy::header_matcher::HeaderMatchSpecifier {
    envoy::header_matcher::HeaderMatchSpecifier::StringMatch(matcher::StringMatcher {
        match_pattern: Some(matcher::string_matcher::MatchPattern::Exact(value.to_owned())),
        ..Default::default()
    })
}

const fn is_present() -> envoy::header_matcher::HeaderMatchSpecifier {
    envoy::header_matcher::HeaderMatchSpecifier::PresentMatch(true)
}

pub(super) fn to_cluster(name: String) -> envoy::route::Action {
    to(envoy::route_action::ClusterSpecifier::Cluster(name))
}

fn to(cluster: envoy::route_action::ClusterSpecifier) -> envoy::route::Action {
    envoy::route::Action::Route(envoy::RouteAction {
        cluster_specifier: Some(cluster),
        timeout: seconds(TIMEOUT_SECONDS),
        ..Default::default()
    })
}

/// An answer that no version gives.
pub(super) fn answer(status: u32, body: String) -> envoy::route::Action {
    envoy::route::Action::DirectResponse(envoy::DirectResponseAction {
        status,
        body: Some(core::DataSource {
            specifier: Some(core::data_source::Specifier::InlineString(body)),
            ..Default::default()
        }),
        ..Default::default()
    })
}
