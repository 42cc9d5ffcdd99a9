//! The split between versions.

use proptest::prelude::*;
use prost::Message as _;
use tidegate_proto::envoy::envoy::config::route::v3 as envoy;

use super::fixtures::*;
use crate::mesh::PreviewKey;
use crate::resources::route::{self, of_grpc, of_service};
use crate::resources::{Resource, preview};
use tidegate_delivery::model::signals::ActiveSignal;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::ServiceName;
use tidegate_delivery::units::{Ppm, Timestamp};

/// One route as text: `MATCH -> TARGET`.
/// The routes of a fleet's listener for these services.
fn of_listener(name: &str, services: &[(&ServiceName, &ServiceState)]) -> Resource {
    let hosts = services.iter().map(|(name, service)| route::virtual_host(name, service));
    route::of_listener(name, hosts.collect())
}

fn preview_routes(name: &ServiceName, service: &ServiceState, key: &PreviewKey) -> Resource {
    preview::routes("demo/preview", vec![preview::virtual_host(name, service, key)])
}

/// One route as `MATCH -> TARGET`.
fn describe(route: &envoy::Route) -> String {
    use envoy::header_matcher::HeaderMatchSpecifier as Specifier;
    use envoy::route_action::ClusterSpecifier;
    use envoy::weighted_cluster::RandomValueSpecifier;

    let matched = route.r#match.as_ref().unwrap();
    let headers: Vec<String> = matched
        .headers
        .iter()
        .map(|header| match &header.header_match_specifier {
            Some(Specifier::PresentMatch(true)) => header.name.clone(),
            Some(Specifier::StringMatch(exact)) => {
                format!("{}={:?}", header.name, exact.match_pattern.as_ref().unwrap())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let target = match route.action.as_ref().unwrap() {
        envoy::route::Action::DirectResponse(response) => response.status.to_string(),
        envoy::route::Action::Route(action) => match action.cluster_specifier.as_ref().unwrap() {
            ClusterSpecifier::Cluster(name) => name.clone(),
            ClusterSpecifier::WeightedClusters(weighted) => {
                let shares = weighted.clusters.iter();
                let shares: Vec<String> = shares
                    .map(|share| format!("{}:{}", share.name, share.weight.unwrap().value))
                    .collect();
                let by = match &weighted.random_value_specifier {
                    Some(RandomValueSpecifier::HeaderName(name)) => name.as_str(),
                    None => "chance",
                    other => panic!("{other:?}"),
                };
                format!("{} by {by}", shares.join(" "))
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    format!("{} -> {target}", headers.join(" "))
}

fn virtual_hosts(resource: &Resource) -> Vec<envoy::VirtualHost> {
    let message = envoy::RouteConfiguration::decode(resource.value().clone()).unwrap();
    assert!(message.ignore_port_in_host_matching);
    message.virtual_hosts
}

fn described(resource: &Resource) -> Vec<String> {
    virtual_hosts(resource)[0].routes.iter().map(describe).collect()
}

fn of_fleet_listener(service: &ServiceState) -> Vec<String> {
    let name = service.spec.name.clone();
    described(&of_listener("demo/ingress", &[(&name, service)]))
}

const PIN_V1: &str = r#"x-tidegate-version=Exact("v1") -> order/v1"#;
const PIN_V2: &str = r#"x-tidegate-version=Exact("v2") -> order/v2"#;

#[test]
fn a_preview_with_the_key_routes_to_the_version_in_the_header() {
    let order = service("order", &["v1", "v2"], "v1");
    let name = order.spec.name.clone();
    let closed = preview_routes(&name, &order, &PreviewKey::default());
    assert_eq!(described(&closed), [" -> 403"], "the empty key matches no request");
    let key = PreviewKey::new("secret".to_owned());
    let open = preview_routes(&name, &order, &key);
    let with_key = format!("x-tidegate-preview=Exact({:?})", key.secret());
    let expected = [
        format!("{with_key} {PIN_V1}"),
        format!("{with_key} {PIN_V2}"),
        format!("{with_key} -> 404"),
        " -> 403".to_owned(),
    ];
    assert_eq!(described(&open), expected);
}

#[test]
fn without_a_release_all_requests_go_to_stable() {
    let order = service("order", &["v1", "v2"], "v1");
    let expected = [
        PIN_V1,
        PIN_V2,
        "x-tidegate-bucket -> order/v1:1000000 by x-tidegate-bucket",
        " -> order/v1",
    ];
    assert_eq!(of_fleet_listener(&order), expected);
}

#[test]
fn a_release_splits_requests_with_a_bucket() {
    let order = service("order", &["v1", "v2"], "v1");
    let order = releasing(order, 1, "v2", Ppm::percent(5));
    let expected = [
        PIN_V1,
        PIN_V2,
        "x-tidegate-bucket -> order/v2:50000 order/v1:950000 by x-tidegate-bucket",
        " -> order/v1",
    ];
    assert_eq!(of_fleet_listener(&order), expected);
}

#[test]
fn a_full_weight_requires_no_bucket() {
    let order = service("order", &["v1", "v2"], "v1");
    let order = releasing(order, 1, "v2", Ppm::ALL);
    let routes = of_fleet_listener(&order);
    let expected =
        ["x-tidegate-bucket -> order/v2:1000000 order/v1:0 by x-tidegate-bucket", " -> order/v2"];
    assert_eq!(routes[2..], expected);
}

#[test]
fn a_foreign_listener_splits_requests_without_a_bucket_randomly() {
    let order = service("order", &["v1", "v2"], "v1");
    let order = releasing(order, 1, "v2", Ppm::percent(5));
    let resource = of_service(&order.spec.name, &order);
    assert_eq!(&**resource.name(), "service/order");
    let expected = [
        PIN_V1,
        PIN_V2,
        "x-tidegate-bucket -> order/v2:50000 order/v1:950000 by x-tidegate-bucket",
        " -> order/v2:50000 order/v1:950000 by chance",
    ];
    assert_eq!(described(&resource), expected);
}

#[test]
fn a_candidate_that_is_not_deployed_receives_no_requests() {
    let order = service("order", &["v1"], "v1");
    let order = releasing(order, 1, "v2", Ppm::ALL);
    let expected =
        [PIN_V1, "x-tidegate-bucket -> order/v1:1000000 by x-tidegate-bucket", " -> order/v1"];
    assert_eq!(of_fleet_listener(&order), expected);
}

#[test]
fn without_a_stable_version_the_response_is_503() {
    let order = service("order", &["v2"], "v1");
    assert_eq!(of_fleet_listener(&order), [PIN_V2, " -> 503"]);
}

#[test]
fn a_virtual_host_is_named_after_its_service() {
    let order = service("order", &["v1"], "v1");
    let hosts = virtual_hosts(&of_service(&order.spec.name, &order));
    assert_eq!(hosts[0].name, "order");
    assert_eq!(hosts[0].domains, ["order.local", "order.local."]);
}

/// Envoy compares domains with the request's host as text: a name may end in a dot, an IPv6 address
/// is in brackets.
#[test]
fn the_domains_of_a_host_are_all_its_spellings_in_requests() {
    let mut order = service("order", &["v1"], "v1");
    let name = order.spec.name.clone();
    let expected =
        [("Order.Local.", vec!["order.local", "order.local."]), ("[::1]", vec!["[::1]"])];
    for (host, domains) in expected {
        order.spec.hosts = vec![host.parse().unwrap()];
        let resources = [
            of_listener("demo/ingress", &[(&name, &order)]),
            of_service(&name, &order),
            preview_routes(&name, &order, &PreviewKey::default()),
        ];
        for resource in resources {
            assert_eq!(virtual_hosts(&resource)[0].domains, domains, "{}", resource.name());
        }
    }
}

/// It has no filter, so Tidegate's headers come from the client. Its authority is the service's name.
#[test]
fn a_grpc_client_splits_all_requests_randomly() {
    let order = service("order", &["v1", "v2"], "v1");
    let order = releasing(order, 1, "v2", Ppm::percent(5));
    let resource = of_grpc(&order.spec.name, &order);
    assert_eq!(&**resource.name(), "grpc/order");
    assert_eq!(described(&resource), [" -> order/v2:50000 order/v1:950000 by chance"]);
    assert_eq!(virtual_hosts(&resource)[0].domains, ["order"]);
}

/// Virtual hosts are encoded separately and joined to one message.
#[test]
fn a_listeners_routes_contain_every_service() {
    let order = service("order", &["v1"], "v1");
    let user = service("user", &["v1"], "v1");
    let services = [(&order.spec.name, &order), (&user.spec.name, &user)];
    let resource = of_listener("demo/ingress", &services);
    let message = envoy::RouteConfiguration::decode(resource.value().clone()).unwrap();
    assert_eq!(message.name, "demo/ingress");
    let hosts: Vec<&str> = message.virtual_hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(hosts, ["order", "user"]);
}

/// The routes of a service do not wait for the clusters of another.
#[test]
fn routes_of_one_service_change_while_another_waits() {
    let order = service("order", &["v1", "v2"], "v1");
    let user = service("user", &["v1"], "v1");
    let made = |order: &ServiceState, user: &ServiceState| {
        let services = [(&order.spec.name, order), (&user.spec.name, user)];
        of_listener("demo/ingress", &services)
    };
    let held = made(&releasing(order.clone(), 1, "v2", Ppm::percent(5)), &user);
    let newest = made(&order, &service("user", &["v1", "v9"], "v1"));
    let meanwhile =
        newest.partial_update(Some(&held), |reference| &*reference.name != "user/v9").unwrap();
    assert_eq!(meanwhile.version(), made(&order, &user).version());
    // A client with unknown content gets the same: only flags select v9.
    let back = newest.partial_update(None, |reference| &*reference.name != "user/v9").unwrap();
    assert_eq!(back.version(), meanwhile.version());
    assert!(newest.partial_update(None, |reference| &*reference.name != "user/v1").is_none());
    // A client that waits for stable keeps its old part.
    let kept = newest
        .partial_update(Some(&held), |reference| !reference.name.starts_with("user/"))
        .unwrap();
    assert_eq!(kept.version(), made(&order, &user).version());
}

#[test]
fn no_flag_selects_a_quarantined_version() {
    let mut order = service("order", &["v1", "v2"], "v1");
    assert_eq!(of_fleet_listener(&order)[..2], [PIN_V1, PIN_V2]);
    let (signal, reason, since) = ("scan".parse().unwrap(), None, Timestamp(0));
    order.quarantined.insert("v2".parse().unwrap(), ActiveSignal { signal, reason, since });
    assert!(of_fleet_listener(&order).iter().all(|it| !it.contains("v2")));
}

#[test]
fn no_flag_selects_a_rolled_back_version() {
    let mut order = service("order", &["v1", "v2"], "v1");
    order.rolled_back.insert("v2".parse().unwrap(), "order.1".parse().unwrap());
    assert!(of_fleet_listener(&order).iter().all(|it| !it.contains("v2")));
    let config = crate::resources::extension::service(&order.spec.name, &order);
    assert_eq!(config.versions, ["v1"]);
}

/// Routes without a version must not reference its cluster.
#[test]
fn routes_reference_exactly_their_clusters() {
    let order = service("order", &["v1", "v2"], "v1");
    let references = |resource: &Resource| -> Vec<String> {
        resource.references().iter().map(|reference| reference.name.to_string()).collect()
    };
    assert_eq!(references(&of_grpc(&order.spec.name, &order)), ["order/v1"]);
    let ours = of_listener("demo/ingress", &[(&order.spec.name, &order)]);
    assert_eq!(references(&ours), ["order/v1", "order/v2"]);
}

/// A version that is registered during a release and warms slowly does not delay a rollback. Flags select the other
/// versions.
#[test]
fn a_rollback_does_not_wait_for_a_version_that_only_flags_select() {
    let made = |order: &ServiceState| of_listener("demo/ingress", &[(&order.spec.name, order)]);
    let order = |versions: &[&str]| service("order", versions, "v1");
    let half = made(&releasing(order(&["v1", "v2"]), 1, "v2", Ppm::percent(50)));
    let newest = made(&order(&["v1", "v2", "v9"]));
    let back =
        newest.partial_update(Some(&half), |reference| &*reference.name != "order/v9").unwrap();
    assert_eq!(back.version(), made(&order(&["v1", "v2"])).version());
    assert_eq!(back.references(), made(&order(&["v1", "v2"])).references());
    let all = newest.partial_update(Some(&half), |_| true).unwrap();
    assert_eq!(all.version(), newest.version());
}

proptest! {
    /// Checklist line 36: the weights sum to a million, with the candidate first: it serves the
    /// buckets below its weight, stable all others.
    #[test]
    fn weights_always_sum_to_a_million(parts in 0..=1_000_000_u32) {
        let order = service("order", &["v1", "v2"], "v1");
        let order = releasing(order, 1, "v2", Ppm::new(parts).unwrap());
        let rest = 1_000_000 - parts;
        let divided = format!("order/v2:{parts} order/v1:{rest} by x-tidegate-bucket");
        prop_assert!(of_fleet_listener(&order)[2].ends_with(&divided));
    }
}
