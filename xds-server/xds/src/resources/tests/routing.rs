//! Who gets which version.

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

/// One route in words: `MATCH -> TARGET`.
/// The routes of a listener of ours for these services.
fn of_listener(name: &str, services: &[(&ServiceName, &ServiceState)]) -> Resource {
    let hosts = services.iter().map(|(name, service)| route::virtual_host(name, service));
    route::of_listener(name, hosts.collect())
}

fn preview_routes(name: &ServiceName, service: &ServiceState, key: &PreviewKey) -> Resource {
    preview::routes("demo/preview", vec![preview::virtual_host(name, service, key)])
}

fn words(route: &envoy::Route) -> String {
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

fn in_words(resource: &Resource) -> Vec<String> {
    virtual_hosts(resource)[0].routes.iter().map(words).collect()
}

fn of_our_listener(service: &ServiceState) -> Vec<String> {
    let name = service.spec.name.clone();
    in_words(&of_listener("demo/ingress", &[(&name, service)]))
}

const PIN_V1: &str = r#"x-tidegate-version=Exact("v1") -> order/v1"#;
const PIN_V2: &str = r#"x-tidegate-version=Exact("v2") -> order/v2"#;

#[test]
fn a_preview_leads_whoever_has_the_key_to_the_version_that_he_names() {
    let order = service("order", &["v1", "v2"], "v1");
    let name = order.spec.name.clone();
    let closed = preview_routes(&name, &order, &PreviewKey::default());
    assert_eq!(in_words(&closed), [" -> 403"], "nobody has no key");
    let key = PreviewKey::new("secret".to_owned());
    let open = preview_routes(&name, &order, &key);
    let with_key = format!("x-tidegate-preview=Exact({:?})", key.secret());
    let expected = [
        format!("{with_key} {PIN_V1}"),
        format!("{with_key} {PIN_V2}"),
        format!("{with_key} -> 404"),
        " -> 403".to_owned(),
    ];
    assert_eq!(in_words(&open), expected);
}

#[test]
fn without_a_release_all_goes_to_stable() {
    let order = service("order", &["v1", "v2"], "v1");
    let expected = [
        PIN_V1,
        PIN_V2,
        "x-tidegate-bucket -> order/v1:1000000 by x-tidegate-bucket",
        " -> order/v1",
    ];
    assert_eq!(of_our_listener(&order), expected);
}

#[test]
fn a_release_divides_those_with_a_bucket_and_leaves_the_rest_on_stable() {
    let order = service("order", &["v1", "v2"], "v1");
    let order = releasing(order, 1, "v2", Ppm::percent(5));
    let expected = [
        PIN_V1,
        PIN_V2,
        "x-tidegate-bucket -> order/v2:50000 order/v1:950000 by x-tidegate-bucket",
        " -> order/v1",
    ];
    assert_eq!(of_our_listener(&order), expected);
}

#[test]
fn a_full_weight_needs_no_bucket() {
    let order = service("order", &["v1", "v2"], "v1");
    let order = releasing(order, 1, "v2", Ppm::ALL);
    let routes = of_our_listener(&order);
    let expected =
        ["x-tidegate-bucket -> order/v2:1000000 order/v1:0 by x-tidegate-bucket", " -> order/v2"];
    assert_eq!(routes[2..], expected);
}

#[test]
fn a_foreign_listener_is_divided_by_chance_where_there_is_no_bucket() {
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
    assert_eq!(in_words(&resource), expected);
}

#[test]
fn a_candidate_that_is_not_deployed_gets_nothing() {
    let order = service("order", &["v1"], "v1");
    let order = releasing(order, 1, "v2", Ppm::ALL);
    let expected =
        [PIN_V1, "x-tidegate-bucket -> order/v1:1000000 by x-tidegate-bucket", " -> order/v1"];
    assert_eq!(of_our_listener(&order), expected);
}

#[test]
fn without_a_stable_version_the_answer_is_plain() {
    let order = service("order", &["v2"], "v1");
    assert_eq!(of_our_listener(&order), [PIN_V2, " -> 503"]);
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

/// It has no filter, so a header of our name is not ours, and it calls the service by its name.
#[test]
fn a_grpc_client_is_divided_by_chance_and_cannot_choose() {
    let order = service("order", &["v1", "v2"], "v1");
    let order = releasing(order, 1, "v2", Ppm::percent(5));
    let resource = of_grpc(&order.spec.name, &order);
    assert_eq!(&**resource.name(), "grpc/order");
    assert_eq!(in_words(&resource), [" -> order/v2:50000 order/v1:950000 by chance"]);
    assert_eq!(virtual_hosts(&resource)[0].domains, ["order"]);
}

/// Services are encoded apart and joined; Envoy sees one message.
#[test]
fn a_listeners_routes_hold_every_service() {
    let order = service("order", &["v1"], "v1");
    let user = service("user", &["v1"], "v1");
    let services = [(&order.spec.name, &order), (&user.spec.name, &user)];
    let resource = of_listener("demo/ingress", &services);
    let message = envoy::RouteConfiguration::decode(resource.value().clone()).unwrap();
    assert_eq!(message.name, "demo/ingress");
    let hosts: Vec<&str> = message.virtual_hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(hosts, ["order", "user"]);
}

/// While one service's clusters are not there, another's routes go ahead.
#[test]
fn a_service_moves_while_another_waits() {
    let order = service("order", &["v1", "v2"], "v1");
    let user = service("user", &["v1"], "v1");
    let made = |order: &ServiceState, user: &ServiceState| {
        let services = [(&order.spec.name, order), (&user.spec.name, user)];
        of_listener("demo/ingress", &services)
    };
    let held = made(&releasing(order.clone(), 1, "v2", Ppm::percent(5)), &user);
    let newest = made(&order, &service("user", &["v1", "v9"], "v1"));
    let meanwhile = newest.meanwhile(Some(&held), |need| &*need.name != "user/v9").unwrap();
    assert_eq!(meanwhile.version(), made(&order, &user).version());
    // Who comes back with what we do not know gets the same: only flags lead to v9.
    let back = newest.meanwhile(None, |need| &*need.name != "user/v9").unwrap();
    assert_eq!(back.version(), meanwhile.version());
    assert!(newest.meanwhile(None, |need| &*need.name != "user/v1").is_none());
    // Who waits for stable keeps what it has of it.
    let kept = newest.meanwhile(Some(&held), |need| !need.name.starts_with("user/")).unwrap();
    assert_eq!(kept.version(), made(&order, &user).version());
}

#[test]
fn no_flag_leads_to_a_quarantined_version() {
    let mut order = service("order", &["v1", "v2"], "v1");
    assert_eq!(of_our_listener(&order)[..2], [PIN_V1, PIN_V2]);
    let (signal, reason, since) = ("scan".parse().unwrap(), None, Timestamp(0));
    order.quarantined.insert("v2".parse().unwrap(), ActiveSignal { signal, reason, since });
    assert!(of_our_listener(&order).iter().all(|it| !it.contains("v2")));
}

/// A client whose routes do not name a version must not be thought to need it.
#[test]
fn routes_need_what_they_name() {
    let order = service("order", &["v1", "v2"], "v1");
    let needs = |resource: &Resource| -> Vec<String> {
        resource.needs().iter().map(|need| need.name.to_string()).collect()
    };
    assert_eq!(needs(&of_grpc(&order.spec.name, &order)), ["order/v1"]);
    let ours = of_listener("demo/ingress", &[(&order.spec.name, &order)]);
    assert_eq!(needs(&ours), ["order/v1", "order/v2"]);
}

/// A version that is registered in mid-release and warms slowly is in the way of no rollback, and
/// flags lead to the others meanwhile.
#[test]
fn a_service_goes_back_while_another_of_its_versions_waits() {
    let made = |order: &ServiceState| of_listener("demo/ingress", &[(&order.spec.name, order)]);
    let order = |versions: &[&str]| service("order", versions, "v1");
    let half = made(&releasing(order(&["v1", "v2"]), 1, "v2", Ppm::percent(50)));
    let newest = made(&order(&["v1", "v2", "v9"]));
    let back = newest.meanwhile(Some(&half), |need| &*need.name != "order/v9").unwrap();
    assert_eq!(back.version(), made(&order(&["v1", "v2"])).version());
    assert_eq!(back.needs(), made(&order(&["v1", "v2"])).needs());
    let all = newest.meanwhile(Some(&half), |_| true).unwrap();
    assert_eq!(all.version(), newest.version());
}

proptest! {
    /// Checklist line 36: the weights always sum to a million, candidate first, so that every
    /// bucket below the weight is the candidate's and every other is stable's.
    #[test]
    fn weights_always_sum_to_a_million(parts in 0..=1_000_000_u32) {
        let order = service("order", &["v1", "v2"], "v1");
        let order = releasing(order, 1, "v2", Ppm::new(parts).unwrap());
        let rest = 1_000_000 - parts;
        let divided = format!("order/v2:{parts} order/v1:{rest} by x-tidegate-bucket");
        prop_assert!(of_our_listener(&order)[2].ends_with(&divided));
    }
}
