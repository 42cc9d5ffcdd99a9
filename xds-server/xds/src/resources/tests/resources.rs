//! Clusters, endpoints, listeners and the filter.

use std::sync::Arc;

use crate::resources::cache::SnapshotCache;
use prost::Message as _;
use serde_json::{Value, json};
use tidegate_core::config::FilterConfig;
use tidegate_proto::envoy::envoy::config::cluster::v3 as cds;
use tidegate_proto::envoy::envoy::config::core::v3 as core;
use tidegate_proto::envoy::envoy::config::endpoint::v3 as eds;
use tidegate_proto::envoy::envoy::config::listener::v3 as lds;
use tidegate_proto::envoy::envoy::extensions::filters::http::wasm::v3::Wasm;
use tidegate_proto::envoy::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use tidegate_proto::envoy::envoy::extensions::wasm::v3 as wasm;
use tidegate_proto::envoy::google::protobuf::StringValue;

use super::fixtures::*;
use crate::kind::Kind;
use crate::mesh::CONTROL_PLANE_CLUSTER;
use crate::resources::{Resource, cluster, listener};
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::Services;
use tidegate_delivery::units::Ppm;

#[test]
fn addresses_use_eds_and_names_use_dns() {
    let mut order = service("order", &["v1"], "v1");
    let (name, version) = (order.spec.name.clone(), order.stable.clone());
    let spec = order.spec.versions.get_mut(&version).unwrap();
    let eds = cluster::cluster(&name, &version, spec);
    assert_eq!(eds.references().len(), 1);
    let endpoints = cluster::endpoints(&name, &version, spec).unwrap();
    assert_eq!(endpoints.name(), eds.name());
    assert_eq!(*endpoints.name(), eds.references()[0].name);

    spec.endpoints[0].host = "order-v1.internal".to_owned();
    let dns = cluster::cluster(&name, &version, spec);
    assert_eq!(dns.references(), []);
    assert!(cluster::endpoints(&name, &version, spec).is_none());
    let message = cds::Cluster::decode(dns.value().clone()).unwrap();
    assert_eq!(message.name, "order/v1");
    assert!(message.load_assignment.is_some());
    let waits = message.wait_for_warm_on_init.map(|it| it.value);
    assert_eq!(waits, Some(false), "the CDS ACK must not depend on DNS");
}

/// Outlier detection and health checks would hide errors of a version from the judge.
#[test]
fn clusters_have_no_outlier_detection() {
    let order = service("order", &["v1"], "v1");
    let spec = &order.spec.versions[&order.stable];
    let cluster = cluster::cluster(&order.spec.name, &order.stable, spec);
    let message = cds::Cluster::decode(cluster.value().clone()).unwrap();
    assert!(message.outlier_detection.is_none());
    assert!(message.health_checks.is_empty());
}

fn manager() -> hcm::HttpConnectionManager {
    let mesh = mesh(Services::All);
    let fleet = &mesh.fleets[0];
    let resource = listener::listener(&fleet.name, &fleet.listeners()[0]);
    let message = lds::Listener::decode(resource.value().clone()).unwrap();
    let filter = message.filter_chains[0].filters[0].clone();
    let Some(lds::filter::ConfigType::TypedConfig(any)) = filter.config_type else {
        panic!("{filter:?}");
    };
    hcm::HttpConnectionManager::decode(any.value.as_slice()).unwrap()
}

/// A client must not choose its version or its bucket, also if the filter is not active.
#[test]
fn listeners_remove_tidegate_headers_before_routing() {
    let mutations = manager().early_header_mutation_extensions;
    let text =
        String::from_utf8_lossy(&mutations[0].typed_config.as_ref().unwrap().value).to_string();
    for header in ["x-tidegate-version", "x-tidegate-bucket"] {
        assert!(text.contains(header), "{header} in {text:?}");
    }
}

#[test]
fn listeners_start_without_the_filter_after_a_timeout() {
    let filters = manager().http_filters;
    let names: Vec<&str> = filters.iter().map(|filter| filter.name.as_str()).collect();
    assert_eq!(names, ["tidegate", "envoy.filters.http.router"]);
    let Some(hcm::http_filter::ConfigType::ConfigDiscovery(source)) = &filters[0].config_type
    else {
        panic!("{filters:?}");
    };
    let default = source.default_config.as_ref().unwrap();
    assert!(source.type_urls.contains(&default.type_url));
    assert!(default.value.is_empty(), "no rules: everything passes");
    let wait = source.config_source.as_ref().unwrap().initial_fetch_timeout;
    assert!(wait.unwrap().seconds < 15);
}

fn plugin(resource: &Resource) -> (wasm::PluginConfig, FilterConfig) {
    let message = core::TypedExtensionConfig::decode(resource.value().clone()).unwrap();
    let any = message.typed_config.unwrap();
    let plugin = Wasm::decode(any.value.as_slice()).unwrap().config.unwrap();
    let configuration = plugin.configuration.as_ref().unwrap();
    let json = StringValue::decode(configuration.value.as_slice()).unwrap().value;
    (plugin, serde_json::from_str(&json).unwrap())
}

fn filter_of(state: &State) -> FilterConfig {
    let cache = SnapshotCache::new(&mesh(Services::All), state);
    let snapshot = cache.latest().fleet("demo").unwrap();
    plugin(snapshot.collection(Kind::Extension).get("tidegate").unwrap()).1
}

/// Checklist line 37: every fleet has the filter, also without services.
#[test]
fn every_snapshot_contains_the_filter() {
    for mesh in [mesh(Services::All), mesh_without_listeners()] {
        let cache = SnapshotCache::new(&mesh, &State::default());
        let snapshot = cache.latest().fleet("demo").unwrap();
        let extensions: Vec<_> = snapshot.collection(Kind::Extension).names().collect();
        assert_eq!(extensions.len(), 1);
    }
}

#[test]
fn the_filter_fails_open_and_has_the_report_cluster() {
    let mesh = mesh(Services::All);
    let cache = SnapshotCache::new(&mesh, &State::default());
    let snapshot = cache.latest().fleet("demo").unwrap();
    let (plugin, config) = plugin(snapshot.collection(Kind::Extension).get("tidegate").unwrap());
    assert_eq!(plugin.failure_policy(), wasm::FailurePolicy::FailOpen);
    assert_eq!(config.report.cluster, CONTROL_PLANE_CLUSTER);
    assert_eq!(config.version.len(), 32, "half of a SHA-256");
    assert_eq!(Some(&config), snapshot.filter_config().map(|it| &**it));
}

/// Envoy parses a callout's target as a protobuf message first, and uses it as a cluster name if that fails.
#[test]
fn the_control_plane_cluster_does_not_parse_as_a_message() {
    let bytes = CONTROL_PLANE_CLUSTER.as_bytes();
    assert!(core::GrpcService::decode(bytes).is_err());
}

#[test]
fn the_config_version_is_the_hash_of_the_other_fields() {
    let before = filter_of(&state(&[service("order", &["v1"], "v1")]));
    let same = filter_of(&state(&[service("order", &["v1"], "v1")]));
    let other = filter_of(&state(&[service("order", &["v1", "v2"], "v1")]));
    assert_eq!(before, same);
    assert_ne!(before.version, other.version);
    assert_eq!(before.version.len(), 32);
}

/// The salt changes only when the next release starts, at 0 %, so no user changes version.
#[test]
fn the_salt_changes_only_when_a_release_starts() {
    let order = service("order", &["v1", "v2"], "v1");
    let salts = |service| {
        let config = filter_of(&state(&[service]));
        (config.services[0].salt.clone(), config.services[0].release.clone())
    };
    assert_eq!(salts(order.clone()), ("order".to_owned(), String::new()));
    let at_1 = releasing(order.clone(), 1, "v2", Ppm::percent(1));
    let at_50 = releasing(order.clone(), 1, "v2", Ppm::percent(50));
    assert_eq!(salts(at_1), ("order.1".to_owned(), "order.1".to_owned()));
    assert_eq!(salts(at_50.clone()), ("order.1".to_owned(), "order.1".to_owned()));
    assert_eq!(salts(completed(at_50)), ("order.1".to_owned(), String::new()));
    let next = releasing(order, 2, "v2", Ppm::ZERO);
    assert_eq!(salts(next).0, "order.2");
}

#[test]
fn reports_are_frequent_while_a_release_runs() {
    let order = service("order", &["v1", "v2"], "v1");
    let running = releasing(order.clone(), 1, "v2", Ppm::ZERO);
    assert_eq!(filter_of(&state(&[order])).report.interval_ms, 5000);
    assert_eq!(filter_of(&state(std::slice::from_ref(&running))).report.interval_ms, 250);
    assert_eq!(filter_of(&state(&[completed(running)])).report.interval_ms, 5000);
}

#[test]
fn a_fleet_receives_the_routing_flags_of_its_services() {
    let mut state = state(&[service("order", &["v1", "v2"], "v1")]);
    Arc::make_mut(&mut state.evaluators).insert("rule".to_owned(), json!({}));
    assert_eq!(filter_of(&state).flags, json!({"flags": {}}));
    Arc::make_mut(&mut state.flags).insert("routing".to_owned(), routing_flag("order"));
    Arc::make_mut(&mut state.flags).insert("another's".to_owned(), routing_flag("user"));
    Arc::make_mut(&mut state.flags).insert("plain".to_owned(), json!({"state": "ENABLED"}));
    let flags = filter_of(&state).flags;
    let expected: Value =
        json!({"flags": {"routing": routing_flag("order")}, "$evaluators": {"rule": {}}});
    assert_eq!(flags, expected);
}

/// Only a fleet without listeners has API listeners.
#[test]
fn grpc_clients_have_a_listener_named_after_the_service() {
    let order = state(&[service("order", &["v1"], "v1")]);
    let listeners = |mesh: &crate::mesh::Mesh| {
        let cache = SnapshotCache::new(mesh, &order);
        let listeners = cache.latest().fleet("demo").unwrap().collection(Kind::Listener);
        listeners.names().map(|name| listeners.get(name).unwrap().clone()).collect::<Vec<_>>()
    };
    let ours = listeners(&mesh(Services::All));
    assert_eq!(ours.iter().map(|listener| &**listener.name()).collect::<Vec<_>>(), ["ingress"]);

    let foreign = listeners(&mesh_without_listeners());
    assert_eq!(foreign.iter().map(|listener| &**listener.name()).collect::<Vec<_>>(), ["order"]);
    assert!(foreign[0].references().is_empty());
    let message = lds::Listener::decode(foreign[0].value().clone()).unwrap();
    assert!(message.address.is_none() && message.filter_chains.is_empty());
    let manager = message.api_listener.unwrap().api_listener.unwrap();
    let manager = hcm::HttpConnectionManager::decode(&*manager.value).unwrap();
    let Some(hcm::http_connection_manager::RouteSpecifier::Rds(rds)) = manager.route_specifier
    else {
        panic!("no RDS");
    };
    assert_eq!(rds.route_config_name, "grpc/order");
    assert_eq!(manager.http_filters.len(), 1, "gRPC cannot run the filter");
}

/// gRPC ignores a locality without a name or a weight.
#[test]
fn endpoints_have_a_locality_with_a_weight() {
    let order = service("order", &["v1"], "v1");
    let spec = &order.spec.versions[&order.stable];
    let resource = cluster::endpoints(&order.spec.name, &order.stable, spec).unwrap();
    let message = eds::ClusterLoadAssignment::decode(resource.value().clone()).unwrap();
    assert!(message.endpoints[0].locality.is_some());
    assert_eq!(message.endpoints[0].load_balancing_weight.unwrap().value, 1);
}
