use serde_json::{Value as Json, json};

use super::tests::request;
use super::*;

const V1: &str = "6f1c0d5a9b7e4c3f8a2d1e0b9c8f7a6d";
const V2: &str = "0b9c8f7a6d6f1c0d5a9b7e4c3f8a2d1e";
const HOST: &str = "order.default.svc.cluster.local";

fn config() -> Json {
    let version = |name: &str, target: Json, token: &str| json!({"name": name, "target": target, "token": token});
    json!({
        "version": "c1", "min_protocol": 2, "fleet": "mesh", "report": {"interval_ms": 250},
        "mesh": {"istio": {"services": [
            {
                "service": "order", "host": HOST, "port": 80,
                "versions": [
                    version("v1", json!({"subset": "v1"}), V1),
                    version("v2", json!({"subset": "v2"}), V2),
                ],
                "split": [{"version": "v2", "below": 250_000}, {"version": "v1", "below": 1_000_000}],
            },
            {
                "service": "user", "host": "user.default.svc.cluster.local", "port": 80,
                "versions": [
                    version("old", json!({"host": "user.default.svc.cluster.local"}), V1),
                    version("new", json!({"host": "user-canary.default.svc.cluster.local"}), V2),
                ],
                "split": [{"version": "old", "below": 1_000_000}],
            },
        ]}},
        "services": [
            {
                "name": "order", "identity": [{"header": "x-user-id"}],
                "salt": "order/1", "release": "r7", "versions": ["v1", "v2"],
            },
            {"name": "user", "salt": "user", "versions": ["old"]},
        ],
        "flags": {"flags": {"beta": {
            "variants": {"in": "v2", "off": ""}, "defaultVariant": "off",
            "metadata": {"service": "order"},
            "targeting": {"if": [{"==": [{"var": "headers.x-beta"}, "yes"]}, "in"]},
        }}},
    })
}

fn router(config: &Json) -> Result<Router, RouterError> {
    Router::parse(config.to_string().as_bytes()).map(|(_, router)| router)
}

/// The token for a request; empty if the request is on the right route.
fn token(
    router: &Router,
    cluster: &str,
    headers: &[(&'static str, &[u8])],
    is_forged: bool,
) -> String {
    let route = SelectedRoute { cluster, is_forged };
    let decision = router.istio().unwrap().decide(route, &request(headers)).unwrap();
    decision.token.map_or("", |token| token.as_str()).to_owned()
}

#[test]
fn every_form_of_cluster_name_leads_to_service_and_version() {
    let router = router(&config()).unwrap();
    let find = |cluster: &str| {
        let served = router.version_of_cluster(cluster)?;
        Some((router.service_name(served.service).to_owned(), served.version.to_owned()))
    };
    let of = |service: &str, version: &str| Some((service.to_owned(), version.to_owned()));
    assert_eq!(find(&format!("outbound|80|v2|{HOST}")), of("order", "v2"));
    assert_eq!(find(&format!("inbound-vip|80|http/v1|{HOST}")), of("order", "v1"));
    for prefix in ["outbound|80|", "inbound-vip|80|http"] {
        let canary = format!("{prefix}|user-canary.default.svc.cluster.local");
        assert_eq!(find(&canary), of("user", "new"));
        assert_eq!(find(&format!("{prefix}|user.default.svc.cluster.local")), of("user", "old"));
    }
    for other in [
        "inbound|80||",
        "outbound|81|v2|order.default.svc.cluster.local",
        "outbound|80|v9|order.default.svc.cluster.local",
        "outbound|80||order.default.svc.cluster.local",
        "inbound-vip|80|tcp/v2|order.default.svc.cluster.local",
        "inbound-vip|80|httpx|user.default.svc.cluster.local",
        "outbound|80|v2",
        "outbound|x|v2|order.default.svc.cluster.local",
        "PassthroughCluster",
        "order/v1",
        "",
    ] {
        assert_eq!(find(other), None, "{other}");
    }
}

#[test]
fn the_split_follows_the_bucket_and_a_token_is_set_only_if_the_route_changes() {
    let router = router(&config()).unwrap();
    let stable = format!("outbound|80|v1|{HOST}");
    let mut candidate = 0;
    for user in 0..1_000 {
        let user = format!("u{user}");
        let is_candidate = bucket(b"order/1", user.as_bytes()) < 250_000;
        candidate += u32::from(is_candidate);
        let headers: &[(&'static str, &[u8])] = &[("x-user-id", user.as_bytes())];
        let expected = if is_candidate { V2 } else { "" };
        assert_eq!(token(&router, &stable, headers, false), expected);
        // The default route leads to the version before, after a release has completed.
        let other = format!("outbound|80|v2|{HOST}");
        assert_eq!(token(&router, &other, headers, false), if is_candidate { "" } else { V1 });
        // A forged header has selected the route: it says nothing about the default route.
        assert_eq!(token(&router, &stable, headers, true), if is_candidate { V2 } else { V1 });
    }
    assert!((200..300).contains(&candidate), "{candidate}");
    // Without a known subset the service is known, and its version is not.
    let none = format!("outbound|80||{HOST}");
    assert!(!token(&router, &none, &[("x-user-id", b"u1")], false).is_empty());
    let inbound = SelectedRoute { cluster: "inbound|80||", is_forged: false };
    assert_eq!(router.istio().unwrap().decide(inbound, &request(&[])), None);
}

#[test]
fn a_flag_pins_a_version() {
    let router = router(&config()).unwrap();
    let stable = format!("outbound|80|v1|{HOST}");
    for user in 0..20 {
        let user = format!("u{user}");
        let headers: &[(&'static str, &[u8])] =
            &[("x-user-id", user.as_bytes()), ("x-beta", b"yes")];
        assert_eq!(token(&router, &stable, headers, false), V2);
    }
}

#[test]
fn a_request_is_read_only_if_its_version_depends_on_it() {
    let router = router(&config()).unwrap();
    let user = request(&[("cookie", b"a=b")]);
    let route =
        SelectedRoute { cluster: "outbound|80||user.default.svc.cluster.local", is_forged: false };
    let decision = router.istio().unwrap().decide(route, &user).unwrap();
    assert_eq!((decision.token, decision.client, decision.generated), (None, None, None));
    assert!(user.read.borrow().is_empty());
    // A release counts clients, also when all of them have one version.
    let mut releasing = config();
    releasing["services"][1]["release"] = json!("user.3");
    releasing["services"][1]["identity"] = json!([{"header": "x-user-id"}]);
    let releasing = self::router(&releasing).unwrap();
    let decide = |headers| releasing.istio().unwrap().decide(route, &request(headers)).unwrap();
    assert!(decide(&[("x-user-id", b"u1")]).client.is_some());
    assert_eq!((decide(&[]).client, decide(&[]).generated), (None, None));
    let order = format!("outbound|80|v1|{HOST}");
    let route = SelectedRoute { cluster: &order, is_forged: false };
    let decision = router.istio().unwrap().decide(route, &request(&[])).unwrap();
    assert!(decision.generated.is_some());
}

#[test]
fn invalid_configurations_are_rejected() {
    let rejected = |at: &str, value: Json| {
        let mut config = config();
        *config.pointer_mut(at).unwrap() = value;
        router(&config).unwrap_err()
    };
    let order = "/mesh/istio/services/0";
    let split = |value: Json| rejected(&format!("{order}/split"), value);
    for value in [
        json!([]),
        json!([{"version": "v1", "below": 999_999}]),
        json!([{"version": "v9", "below": 1_000_000}]),
        json!([{"version": "v2", "below": 0}, {"version": "v1", "below": 1_000_000}]),
        json!([{"version": "v2", "below": 9}, {"version": "v1", "below": 9}]),
    ] {
        assert_eq!(split(value), RouterError::Split("order".into()));
    }
    let token = rejected(&format!("{order}/versions/0/token"), json!("V1"));
    assert!(matches!(token, RouterError::Json(_)), "{token}");
    let twice = rejected(&format!("{order}/versions/0/target"), json!({"subset": "v2"}));
    assert_eq!(twice, RouterError::DuplicateTarget(format!("outbound|80|v2|{HOST}")));
    let unknown = rejected(&format!("{order}/service"), json!("orders"));
    assert_eq!(unknown, RouterError::UnknownService("orders".into()));
    let listed_twice = rejected(&format!("{order}/service"), json!("user"));
    assert_eq!(listed_twice, RouterError::DuplicateService("user".into()));
}

#[test]
fn the_configuration_round_trips_and_hides_its_tokens() {
    let (config, _) = Router::parse(config().to_string().as_bytes()).unwrap();
    let again = serde_json::to_vec(&config).unwrap();
    assert_eq!(Router::parse(&again).unwrap().0, config);
    assert!(!format!("{config:?}").contains(V1));
}
