//! RDS: the split between versions, with the weight of a release.
//!
//! A virtual host has routes in this order: one for each version that a flag may select (header match); one for requests
//! with a bucket, split by weight; and one for all other requests, which depends on the consumer:
//!
//! | Consumer | Requests without a bucket |
//! |---|---|
//! | listener of a fleet | stable, because the filter must fail towards stable; the candidate once its weight is 100 % |
//! | foreign listener | random split: there may be no filter |
//! | gRPC client | random split of all requests: there is no filter, and nothing removes Tidegate's headers |

use tidegate_core::config::{BUCKET_HEADER, VERSION_HEADER};
use tidegate_core::host::Host;
use tidegate_proto::envoy::envoy::config::core::v3 as core;
use tidegate_proto::envoy::envoy::config::route::v3 as envoy;
use tidegate_proto::envoy::envoy::r#type::matcher::v3 as matcher;

use super::{Name, Part, Resource, ResourceRef, names, number, seconds};
use crate::kind::Kind;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::{ServiceName, VersionName};
use tidegate_delivery::units::Ppm;

/// Envoy's default, set explicitly because the latency guardrail depends on it.
const TIMEOUT_SECONDS: i64 = 15;

/// Number of the field `virtual_hosts` in `RouteConfiguration`.
const VIRTUAL_HOSTS: u32 = 2;

/// The consumer of a route configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consumer {
    /// A listener of a fleet: requests have passed Tidegate's filter, unless that failed.
    FleetListener,
    /// A listener that another control plane provides: there may be no Tidegate filter.
    ForeignListener,
    /// A gRPC client: there is no filter, and Tidegate's headers come from the client.
    GrpcClient,
}

/// The route configuration of a fleet's listener, from the virtual hosts of its services.
pub(super) fn of_listener(name: &str, virtual_hosts: Vec<Part>) -> Resource {
    assemble(name, virtual_hosts)
}

/// The virtual host of a service in listeners of fleets.
pub(super) fn virtual_host(name: &ServiceName, service: &ServiceState) -> Part {
    build_virtual_host(name, service, Consumer::FleetListener)
}

/// The route configuration of a service for foreign listeners.
pub(super) fn of_service(name: &ServiceName, service: &ServiceState) -> Resource {
    assemble(
        &names::service_routes(name),
        vec![build_virtual_host(name, service, Consumer::ForeignListener)],
    )
}

/// The route configuration of a service for gRPC clients.
pub(super) fn of_grpc(name: &ServiceName, service: &ServiceState) -> Resource {
    assemble(
        &names::grpc_routes(name),
        vec![build_virtual_host(name, service, Consumer::GrpcClient)],
    )
}

fn assemble(name: &str, virtual_hosts: Vec<Part>) -> Resource {
    let head = envoy::RouteConfiguration {
        name: name.to_owned(),
        ignore_port_in_host_matching: true,
        ..Default::default()
    };
    // Each virtual host is a part: a slowly warming cluster of one service does not delay the rollback of another.
    Resource::assemble(Kind::Route, name, &head, virtual_hosts)
}

fn build_virtual_host(service: &ServiceName, state: &ServiceState, consumer: Consumer) -> Part {
    let domains = domains(service, state, consumer);
    let host = envoy::VirtualHost {
        name: service.to_string(),
        domains: domains.clone(),
        ..Default::default()
    };
    let reference = |version| ResourceRef {
        kind: Kind::Cluster,
        name: names::cluster(service, version).into(),
    };
    let routes = |routes| envoy::VirtualHost { routes, ..Default::default() };
    // Optional: a slowly warming version that only flags select must not delay a rollback.
    let pins = pinned(state, consumer).map(|version| {
        let only = header(VERSION_HEADER, exact(version.as_str()));
        let pin = route(vec![only], to_cluster(names::cluster(service, version)));
        (reference(version), routes(vec![pin]))
    });
    let split = state.split();
    let shares = [Some(split.stable), split.candidate.map(|(version, _)| version)];
    // Exactly the clusters in the bytes, because resources with equal bytes must have equal references.
    let shared = shares.into_iter().flatten();
    let references =
        shared.filter(|it| state.spec.versions.contains_key(*it)).map(reference).collect();
    let rest = routes(default_routes(service, state, consumer));
    Part::with_optional(service.as_str(), VIRTUAL_HOSTS, &host, pins.collect(), &rest, references)
        .with_domains(domains.into_iter().map(Name::from).collect())
}

/// The routes of requests for which no flag selected a version.
fn default_routes(
    service: &ServiceName,
    state: &ServiceState,
    consumer: Consumer,
) -> Vec<envoy::Route> {
    let versions = &state.spec.versions;
    if versions.contains_key(&state.stable) {
        let split = state.split();
        let candidate = split.candidate.filter(|(version, _)| versions.contains_key(*version));
        split_routes(service, split.stable, candidate, consumer)
    } else {
        // There is no cluster to route to.
        let body = format!("the stable version of {service} is not deployed\n");
        vec![route(Vec::new(), direct_response(503, body))]
    }
}

/// The versions that a flag may select.
fn pinned(state: &ServiceState, consumer: Consumer) -> impl Iterator<Item = &VersionName> {
    state.pinnable().filter(move |_| consumer != Consumer::GrpcClient)
}

fn domains(service: &ServiceName, state: &ServiceState, consumer: Consumer) -> Vec<String> {
    match consumer {
        Consumer::FleetListener | Consumer::ForeignListener => {
            state.spec.hosts.iter().flat_map(Host::domains).collect()
        }
        // The authority of `xds:///SERVICE`.
        Consumer::GrpcClient => vec![service.to_string()],
    }
}

/// The split by weight, and the route of requests without a bucket.
fn split_routes(
    service: &ServiceName,
    stable: &VersionName,
    candidate: Option<(&VersionName, Ppm)>,
    consumer: Consumer,
) -> Vec<envoy::Route> {
    let share = |version: &VersionName, weight: Ppm| envoy::weighted_cluster::ClusterWeight {
        name: names::cluster(service, version),
        weight: number(weight.parts()),
        ..Default::default()
    };
    // Candidate first: an increase moves one boundary, so each user changes version at most once.
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
    let random = || route(Vec::new(), to(weighted(None)));
    let rest = match (consumer, candidate) {
        (Consumer::GrpcClient, _) => return vec![random()],
        (Consumer::ForeignListener, _) => random(),
        // At 100 % no bucket is needed; below, requests without one go to stable.
        (Consumer::FleetListener, Some((version, Ppm::ALL))) => all_to(service, version),
        (Consumer::FleetListener, _) => all_to(service, stable),
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

pub(super) fn exact(value: &str) -> envoy::header_matcher::HeaderMatchSpecifier {
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

/// A response of Envoy itself.
pub(super) fn direct_response(status: u32, body: String) -> envoy::route::Action {
    envoy::route::Action::DirectResponse(envoy::DirectResponseAction {
        status,
        body: Some(core::DataSource {
            specifier: Some(core::data_source::Specifier::InlineString(body)),
            ..Default::default()
        }),
        ..Default::default()
    })
}
