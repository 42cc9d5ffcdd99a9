//! What sidecars would reject is found before it is published.

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_core::config::{
    HeaderMatch, IdentitySource, MAX_BUSINESS_RULES, RequestMatch, ResponseMatch,
};
use tidegate_core::routing::{MAX_CONFIG_BYTES, MAX_SERVICES, Router, RouterError};

use super::fixtures::*;
use crate::mesh::{Listener, Mesh};
use crate::resources::{
    InvalidResource, InvalidResources, SnapshotCache, check, check_filters, check_flags, extension,
};
use tidegate_delivery::judge::guardrails::BusinessMetric;
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::names::{MAX_SERVICE_LEN, Services};
use tidegate_delivery::units::Ppm;

fn only(result: Result<(), InvalidResources>) -> InvalidResource {
    let mut errors = result.unwrap_err().0;
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

/// The filter's error in the fleet `demo`.
fn filter_error(state: &State) -> RouterError {
    match only(check(&mesh(Services::All), state)) {
        InvalidResource::Filter { fleet, error } if fleet.as_str() == "demo" => error,
        other => panic!("{other:?}"),
    }
}

fn passes(state: &State) {
    assert_eq!(check(&mesh(Services::All), state), Ok(()));
}

fn order() -> ServiceState {
    service("order", &["v1", "v2"], "v1")
}

fn with_flags(document: Value) -> State {
    let Value::Object(flags) = document else { panic!("an object") };
    State { flags: std::sync::Arc::new(flags.into_iter().collect()), ..state(&[order()]) }
}

/// A routing flag with this rule.
fn rule(targeting: &Value) -> State {
    let mut flag = routing_flag("order");
    flag["targeting"] = targeting.clone();
    with_flags(json!({"beta": flag}))
}

fn rules(count: usize) -> Vec<BusinessMetric> {
    let rule = |number: usize| BusinessMetric {
        name: format!("rule-{number}").parse().unwrap(),
        of: RequestMatch::default(),
        good: ResponseMatch { status: (200, 299), header: None },
        at_least: Ppm::percent(90),
    };
    (0..count).map(rule).collect()
}

#[test]
fn a_valid_state_passes() {
    let running = releasing(order(), 1, "v2", Ppm::percent(5));
    for services in [vec![order()], vec![running.clone()], vec![completed(running)]] {
        passes(&state(&services));
        assert_eq!(check(&mesh_without_listeners(), &state(&services)), Ok(()));
    }
    passes(&with_flags(json!({"beta": routing_flag("order")})));
}

#[test]
fn the_number_of_services_of_a_fleet_is_limited() {
    let services = |count: usize| {
        let of = |number: usize| service(&format!("s{number}"), &["v1"], "v1");
        state(&(0..count).map(of).collect::<Vec<_>>())
    };
    let all = mesh(Services::All);
    assert_eq!(check_filters(&all, &services(MAX_SERVICES)), Ok(()));
    let more = services(MAX_SERVICES + 1);
    let error = only(check_filters(&all, &more));
    let text = error.to_string();
    assert!(text.contains("fleet `demo`") && text.contains("4096 services"), "{text}");
    assert!(error.fix().contains("divide the fleet"), "{}", error.fix());
    // Another fleet has only some of them.
    let one = mesh(Services::Named(["s1".parse().unwrap()].into()));
    assert_eq!(check_filters(&one, &more), Ok(()));
}

#[test]
fn the_number_of_business_metrics_is_limited() {
    let mut order = order();
    order.spec.guardrails.business = rules(MAX_BUSINESS_RULES);
    passes(&state(std::slice::from_ref(&order)));
    order.spec.guardrails.business = rules(MAX_BUSINESS_RULES + 1);
    let error = filter_error(&state(&[order]));
    assert!(matches!(error, RouterError::TooManyRules { .. }), "{error}");
    assert_eq!(error.service(), Some("order"));
}

#[test]
fn names_of_headers_and_cookies_are_tokens_of_limited_length() {
    let check = |source: IdentitySource| {
        let mut order = order();
        order.spec.identity = vec![source];
        state(&[order])
    };
    let longest = "x".repeat(256);
    passes(&check(IdentitySource::Header(longest.clone())));
    passes(&check(IdentitySource::Cookie(longest.clone())));
    for bad in [String::new(), "x user".to_owned(), format!("{longest}x")] {
        for source in [IdentitySource::Header(bad.clone()), IdentitySource::Cookie(bad.clone())] {
            let error = filter_error(&check(source));
            assert!(matches!(error, RouterError::HeaderName { .. }), "{error}");
            assert_eq!(error.service(), Some("order"));
        }
    }
    let mut order = order();
    let mut rules = rules(1);
    rules[0].good.header =
        Some(HeaderMatch { name: "x outcome".to_owned(), value: "placed".to_owned() });
    order.spec.guardrails.business = rules;
    assert!(matches!(filter_error(&state(&[order])), RouterError::HeaderName { .. }));
}

#[test]
fn the_number_of_flags_and_the_size_of_their_rules_are_limited() {
    let flags = |count: usize| {
        let of = |number: usize| (format!("f{number}"), routing_flag("order"));
        with_flags(Value::Object((0..count).map(of).collect()))
    };
    let nested = |depth: usize| (0..depth).fold(json!(true), |rule, _| json!({"!": [rule]}));
    let nodes = |count: usize| json!({"and": vec![true; count - 1]});
    let text = |bytes: usize| json!({"==": [{"var": "path"}, "x".repeat(bytes)]});
    for (good, bad) in [
        (flags(1000), flags(1001)),
        (rule(&nested(32)), rule(&nested(33))),
        (rule(&nodes(10_000)), rule(&nodes(10_001))),
        (rule(&text(1 << 20)), rule(&text((1 << 20) + 1))),
    ] {
        passes(&good);
        assert_eq!(check_flags(&good), Ok(()));
        let error = filter_error(&bad);
        assert!(matches!(error, RouterError::Flags(_)), "{error}");
        assert!(only(check_flags(&bad)).is_flag());
    }
}

/// Sidecars do not receive flags that route no service of their fleet.
#[test]
fn a_flag_without_routing_is_checked_with_all_flags_only() {
    let state = with_flags(json!({"banner": {"variants": {}}}));
    passes(&state);
    let error = only(check_flags(&state));
    assert!(error.to_string().contains("flags.banner.variants"), "{error}");
}

/// The limit leaves room for the ids of releases: a release that starts never makes sidecars reject their configuration.
#[test]
fn a_release_does_not_exceed_the_size_of_a_configuration() {
    let longest = "x".repeat(MAX_SERVICE_LEN);
    let idle = service(&longest, &["v1", "v2"], "v1");
    let released = releasing(idle.clone(), 9_999_999_999, "v2", Ppm::percent(5));
    let with_padding = |service: &ServiceState, bytes: usize| {
        let mut flag = routing_flag(&longest);
        flag["description"] = "x".repeat(bytes).into();
        let flags = std::sync::Arc::new([("beta".to_owned(), flag)].into());
        State { flags, ..state(std::slice::from_ref(service)) }
    };
    let all = mesh(Services::All);
    let empty = with_padding(&idle, 0);
    let largest = extension::largest_service(&idle.spec.name, &idle);
    let flags = extension::routing_flags(|_| true, &empty);
    let mut config = extension::config(&all.fleets[0], vec![largest], Vec::new(), flags);
    let room = MAX_CONFIG_BYTES - extension::encode(&mut config).len();

    passes(&with_padding(&idle, room));
    let error = filter_error(&with_padding(&idle, room + 1));
    assert!(matches!(error, RouterError::TooLarge { .. }), "{error}");
    let cache = SnapshotCache::new(&all, &with_padding(&released, room));
    let mut published =
        cache.latest().fleet("demo").unwrap().filter_config().unwrap().as_ref().clone();
    let bytes = extension::encode(&mut published).len();
    assert!((MAX_CONFIG_BYTES - 4..=MAX_CONFIG_BYTES).contains(&bytes), "{bytes}");
}

#[test]
fn a_host_belongs_to_one_service() {
    let mut other = service("product", &["v1"], "v1");
    other.spec.hosts = order().spec.hosts;
    let result = check(&mesh(Services::All), &state(&[order(), other]));
    let errors = result.unwrap_err().0;
    assert!(matches!(
        &errors[0],
        InvalidResource::Filter { error: RouterError::DuplicateHost(host), .. } if host == "order.local"
    ));
    assert!(matches!(
        &errors[1],
        InvalidResource::DuplicateDomain { routes, domain, .. }
            if routes == "demo/ingress" && domain == "order.local"
    ));
}

#[test]
fn a_service_has_hosts() {
    let mut order = order();
    order.spec.hosts.clear();
    let error = only(check(&mesh(Services::All), &state(&[order])));
    assert!(matches!(error, InvalidResource::NoDomains { .. }), "{error}");
    assert_eq!(error.service(), Some("order"));
}

/// `service/order` is the route configuration of a service for foreign listeners too.
#[test]
fn route_configurations_have_different_names() {
    let mut mesh = mesh(Services::All);
    mesh.fleets[0].name = "service".parse().unwrap();
    assert_eq!(check(&mesh, &state(&[order()])), Ok(()));
    listeners(&mut mesh)[0].name = "order".to_owned();
    let error = only(check(&mesh, &state(&[order()])));
    assert!(
        matches!(&error, InvalidResource::DuplicateName { name, .. } if name == "service/order"),
        "{error}"
    );
}

const NAMES: [&str; 3] = ["order", "product", "user"];

prop_compose! {
    fn any_service(name: &'static str)(
        host in 0..6usize,
        identity in prop::sample::select(vec!["x-user-id", "x-user-id", "x-user-id", "sid", "x user"]),
        cookie: bool,
        rule_count in 0..=MAX_BUSINESS_RULES + 1,
        versions in prop::sample::subsequence(vec!["v1", "v2", "2026.11-rc_1"], 1..=3),
    ) -> ServiceState {
        let mut built = service(name, &versions, versions[0]);
        // Some hosts are those of other services.
        let host = NAMES.get(host).map_or_else(|| format!("{name}.local"), |it| format!("{it}.local"));
        built.spec.hosts = vec![host.parse().unwrap()];
        let identity = identity.to_owned();
        built.spec.identity = vec![if cookie {
            IdentitySource::Cookie(identity)
        } else {
            IdentitySource::Header(identity)
        }];
        built.spec.guardrails.business = rules(rule_count);
        built
    }
}

/// A flag's targeting: valid, or not.
fn any_targeting() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({}),
        json!(null),
        json!({"if": [{"==": [{"var": "host"}, "order.local"]}, "on"]}),
        json!({"fractional": [["on", 1], ["off", 3]]}),
        json!({"sem_ver": [{"var": "headers.x-app"}, ">=", "1.2.0"]}),
        json!({"if": [{"$ref": "missing"}, "on"]}),
        json!({"starts_with": ["one"]}),
    ])
}

fn any_state() -> impl Strategy<Value = State> {
    let services = NAMES.map(|name| prop::option::weighted(0.7, any_service(name)));
    let flag = (prop::sample::select(NAMES.to_vec()), any_targeting());
    let flags = prop::collection::vec(flag, 0..3);
    (services, flags).prop_map(|(services, flags)| {
        let services: Vec<_> = services.into_iter().flatten().collect();
        let flag = |(number, (service, targeting)): (usize, (&str, Value))| {
            let mut flag = routing_flag(service);
            flag["targeting"] = targeting;
            (format!("flag-{number}"), flag)
        };
        let flags = flags.into_iter().enumerate().map(flag).collect();
        State { flags: std::sync::Arc::new(flags), ..state(&services) }
    })
}

fn any_mesh() -> impl Strategy<Value = Mesh> {
    let listener = prop::sample::subsequence(NAMES.to_vec(), 1..=3);
    prop::collection::vec(listener, 0..3).prop_map(|listeners| {
        let mut mesh = mesh(Services::All);
        let template = mesh.fleets[0].listeners()[0].clone();
        let of = |(number, names): (usize, Vec<&str>)| Listener {
            name: format!("listener-{number}"),
            services: Services::Named(names.iter().map(|name| name.parse().unwrap()).collect()),
            ..template.clone()
        };
        *self::listeners(&mut mesh) = listeners.into_iter().enumerate().map(of).collect();
        mesh
    })
}

proptest! {
    /// The check accepts a state exactly if the filter compiles what is published.
    #[test]
    fn what_passes_compiles_in_the_filter(mesh in any_mesh(), state in any_state()) {
        let cache = SnapshotCache::new(&mesh, &state);
        let published = cache.latest().fleet("demo").unwrap().filter_config().unwrap();
        let compiled = Router::compile(published);
        let checked = check_filters(&mesh, &state);
        prop_assert_eq!(checked.is_ok(), compiled.is_ok(), "{:?} {:?}", checked, compiled.err());
        prop_assert!(compiled.is_ok() || check(&mesh, &state).is_err());
    }
}
