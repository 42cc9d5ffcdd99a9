use std::{cell::RefCell, collections::BTreeMap};

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::{bucket::bucket, config::IdentitySource, version::PROTOCOL};

/// A request that records which headers are read.
#[derive(Default)]
pub(super) struct FakeRequest {
    headers: BTreeMap<&'static str, Vec<u8>>,
    pub(super) read: RefCell<Vec<String>>,
}

impl Request for FakeRequest {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.read.borrow_mut().push(name.to_owned());
        self.headers.get(name).cloned()
    }

    fn unix_seconds(&self) -> u64 {
        1_700_000_000
    }

    fn random(&self) -> [u8; 16] {
        [0xab; 16]
    }
}

pub(super) fn request(headers: &[(&'static str, &[u8])]) -> FakeRequest {
    FakeRequest {
        headers: headers.iter().map(|(k, v)| (*k, v.to_vec())).collect(),
        read: RefCell::default(),
    }
}

fn config() -> Json {
    json!({
        "version": "c1",
        "fleet": "demo",
        "report": {"cluster": "tidegate", "interval_ms": 250},
        "services": [
            {
                "name": "order", "hosts": ["order.local", "order.mesh.svc.cluster.local"],
                "identity": [{"header": "X-User-Id"}, {"cookie": "sid"}],
                "salt": "order/1", "release": "r7", "versions": ["v1", "v2"],
            },
            {"name": "product", "hosts": ["product.local", "[2001:db8::7]"], "salt": "product", "versions": ["blue", "green"]},
        ],
        "flags": {"flags": {
            "1-beta": {
                "variants": {"beta": "v2", "gone": "v9", "off": ""}, "defaultVariant": "off",
                "metadata": {"service": "order"},
                "targeting": {"if": [
                    {"==": [{"var": "headers.X-Beta"}, "yes"]}, "beta",
                    {"==": [{"var": "headers.X-Beta"}, "gone"]}, "gone",
                ]},
            },
            "2-paths": {
                "variants": {"old": "v1", "off": null}, "defaultVariant": "off",
                "metadata": {"service": "order"},
                "targeting": {"if": [{"and": [
                    {"==": [{"var": "path"}, "/legacy"]},
                    {"==": [{"var": "method"}, "GET"]},
                    {"==": [{"var": "host"}, "order.local"]},
                    {"!": {"var": "cookies.new"}},
                    {"!": {"var": "cookies.new"}},
                ]}, "old"]},
            },
            "3-number": {"variants": {"a": 1}, "defaultVariant": "a", "metadata": {"service": "order"}},
        }},
    })
}

fn router(config: &Json) -> Result<Router, RouterError> {
    Router::parse(config.to_string().as_bytes()).map(|(_, router)| router)
}

fn rejected(change: impl FnOnce(&mut Json)) -> RouterError {
    let mut config = config();
    change(&mut config);
    router(&config).unwrap_err()
}

#[test]
fn hosts_match_in_any_case_with_any_port_and_final_dot() {
    let router = router(&config()).unwrap();
    let service = |host: &[u8]| {
        let decision = router.decide(&request(&[(":authority", host)]));
        decision.map(|decision| router.service_name(decision.service).to_owned())
    };
    assert_eq!(service(b"order.local").as_deref(), Some("order"));
    assert_eq!(service(b"ORDER.Local:8080").as_deref(), Some("order"));
    assert_eq!(service(b"product.local:").as_deref(), Some("product"));
    assert_eq!(service(b"order.local.").as_deref(), Some("order"));
    assert_eq!(service(b"order.local.:8080").as_deref(), Some("order"));
    assert_eq!(service(b"[2001:DB8::7]:80").as_deref(), Some("product"));
    for other in [b"order.localx".as_slice(), b"", b"order.local..", b"\xff\xfe", b"[::1]:80"] {
        assert_eq!(service(other), None, "{other:?}");
    }
    assert_eq!(router.decide(&request(&[])), None);
}

#[test]
fn the_first_identity_that_is_not_empty_is_used() {
    let router = router(&config()).unwrap();
    let bucket_of = |headers: &[(&'static str, &[u8])]| {
        let mut headers = headers.to_vec();
        headers.push((":authority", b"order.local"));
        let decision = router.decide(&request(&headers)).unwrap();
        (decision.bucket, decision.generated.is_some())
    };
    let of = |identity: &[u8]| bucket(b"order/1", identity);
    assert_eq!(bucket_of(&[("x-user-id", b"u1"), ("cookie", b"sid=s1")]), (of(b"u1"), false));
    assert_eq!(
        bucket_of(&[("x-user-id", b""), ("cookie", b"a=b; sid=s1;tidegate-id=t")]),
        (of(b"s1"), false)
    );
    assert_eq!(bucket_of(&[("cookie", b"xsid=no; tidegate-id=t1")]), (of(b"t1"), false));
    assert_eq!(bucket_of(&[("x-user-id", b"\xff\x00")]), (of(b"\xff\x00"), false));
    let generated = "ab".repeat(16);
    assert_eq!(bucket_of(&[]), (of(generated.as_bytes()), true));
}

#[test]
fn the_client_is_that_of_the_identity_in_every_release() {
    let mut next = config();
    next["services"][0]["salt"] = json!("order/2");
    next["services"][0]["release"] = json!("r8");
    let [router, next] = [config(), next].map(|config| router(&config).unwrap());
    let client = |router: &Router, user: &[u8]| {
        let headers = [(":authority", b"order.local".as_slice()), ("x-user-id", user)];
        router.decide(&request(&headers)).unwrap().client
    };
    let [now, then] = [&router, &next].map(|router| client(router, b"u1").unwrap());
    assert_eq!(now.number(), bucket(b"order", b"u1"));
    assert_eq!(now.number(), then.number());
    assert_ne!(now, then);
    assert_eq!(client(&router, b""), None, "without an identity");
}

#[test]
fn a_generated_identity_is_read_back_from_its_cookie() {
    let router = router(&config()).unwrap();
    let decision = router.decide(&request(&[(":authority", b"product.local")])).unwrap();
    let cookie = decision.generated.unwrap().set_cookie();
    assert_eq!(
        cookie,
        "tidegate-id=abababababababababababababababab; \
         Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000"
    );
    let (pair, _) = cookie.split_once(';').unwrap();
    let pair: &'static [u8] = Box::leak(pair.to_owned().into_boxed_str()).as_bytes();
    let again =
        router.decide(&request(&[(":authority", b"product.local"), ("cookie", pair)])).unwrap();
    assert_eq!(again.generated, None);
    assert_eq!(again.bucket, decision.bucket);
}

#[test]
fn the_first_flag_with_an_existing_version_pins_it() {
    let router = router(&config()).unwrap();
    let pin = |headers: &[(&'static str, &[u8])]| {
        let mut headers = headers.to_vec();
        headers.push((":authority", b"order.local:80"));
        let request = request(&headers);
        router.decide(&request).unwrap().pin.map(str::to_owned)
    };
    let legacy = |new: &'static [u8]| {
        let path: &[u8] = b"/legacy?x=1";
        [(":path", path), (":method", b"GET"), ("cookie", new)]
    };
    assert_eq!(pin(&[]), None);
    assert_eq!(pin(&[("x-beta", b"yes")]).as_deref(), Some("v2"));
    assert_eq!(pin(&[("x-beta", b"gone")]), None);
    assert_eq!(pin(&[("x-beta", b"\xff")]), None);
    assert_eq!(pin(&legacy(b"old=1")).as_deref(), Some("v1"));
    assert_eq!(pin(&legacy(b"new=1")), None);
    let both = [legacy(b"").as_slice(), &[("x-beta", b"yes")]].concat();
    assert_eq!(pin(&both).as_deref(), Some("v2"));
}

#[test]
fn only_needed_headers_are_read_and_each_once() {
    let router = router(&config()).unwrap();
    let needed: Vec<_> = router.needed_headers().collect();
    assert_eq!(needed, [":authority", "x-user-id", "cookie", "x-beta", ":path", ":method"]);

    let other = request(&[(":authority", b"elsewhere")]);
    assert_eq!(router.decide(&other), None);
    assert_eq!(*other.read.borrow(), [":authority"]);

    let plain = request(&[(":authority", b"product.local"), ("cookie", b"tidegate-id=t")]);
    router.decide(&plain).unwrap();
    assert_eq!(*plain.read.borrow(), [":authority", "cookie"]);

    let full = request(&[(":authority", b"Order.local.:80"), (":path", b"/legacy")]);
    router.decide(&full).unwrap();
    let mut read = full.read.borrow().clone();
    read.sort();
    read.dedup();
    assert_eq!(read.len(), full.read.borrow().len(), "{read:?}");
}

#[test]
fn cluster_names_are_parsed_into_service_and_version() {
    let router = router(&config()).unwrap();
    let version_of = |cluster| {
        let served = router.version_of_cluster(cluster)?;
        Some((router.service_name(served.service), served.version))
    };
    assert_eq!(version_of("order/v2"), Some(("order", "v2")));
    assert_eq!(version_of("product/green"), Some(("product", "green")));
    for other in [
        "",
        "order",
        "order/",
        "/v1",
        "orders/v1",
        "Order/v1",
        "outbound|80|v2|order.mesh.svc.cluster.local",
    ] {
        assert_eq!(version_of(other), None, "{other}");
    }
    let order = router.version_of_cluster("order/v1").unwrap().service;
    assert_eq!(router.release(order), "r7");
}

#[test]
fn invalid_configurations_are_rejected() {
    let json = |text: &[u8]| Router::parse(text).unwrap_err();
    assert!(matches!(json(b"{"), RouterError::Json(_)));
    assert!(matches!(json(b"\xff"), RouterError::Json(_)));
    assert!(matches!(json(b"{}"), RouterError::Json(_)));
    assert!(matches!(json(&vec![b' '; (4 << 20) + 1]), RouterError::TooLarge { .. }));
    assert!(matches!(rejected(|c| c["version"] = json!("")), RouterError::Length { .. }));
    assert!(matches!(
        rejected(|c| c["fleet"] = json!("x".repeat(257))),
        RouterError::Length { .. }
    ));
    assert!(matches!(
        rejected(|c| c["min_protocol"] = json!(PROTOCOL + 1)),
        RouterError::Protocol { .. }
    ));
    assert!(matches!(
        rejected(|c| c["report"]["interval_ms"] = json!(49)),
        RouterError::Interval(49)
    ));
    for cluster in ["envoy", "edge1", "mesh1", "model", "analytics", "xa"] {
        assert!(
            matches!(
                rejected(|c| c["report"]["cluster"] = json!(cluster)),
                RouterError::ReportCluster(_)
            ),
            "{cluster}"
        );
    }
    assert!(matches!(
        rejected(|c| c["services"][1]["name"] = json!("order")),
        RouterError::DuplicateService(_)
    ));
    assert!(matches!(
        rejected(|c| c["services"][1]["hosts"] = json!(["Order.local."])),
        RouterError::DuplicateHost(_)
    ));
    assert!(matches!(
        rejected(|c| c["services"][0]["hosts"] = json!(["order.local:80"])),
        RouterError::Json(_)
    ));
    assert!(matches!(
        rejected(|c| c["services"][0]["name"] = json!("a/b")),
        RouterError::ServiceName(_)
    ));
    assert!(matches!(
        rejected(|c| c["services"][0]["versions"] = json!(["v 1"])),
        RouterError::Version { .. }
    ));
    assert!(matches!(
        rejected(|c| c["services"][0]["identity"] = json!([{"header": "x user"}])),
        RouterError::HeaderName { .. }
    ));
    assert!(matches!(
        rejected(|c| c["flags"] = json!({"flags": {"f": {}}})),
        RouterError::Flags(_)
    ));
    for good in ["tidegate", "control-plane", "xds_cluster", "outbound|18000||ctl.ns"] {
        let mut config = config();
        config["report"]["cluster"] = json!(good);
        assert!(router(&config).is_ok(), "{good}");
    }
}

#[test]
fn unknown_fields_are_ignored_at_every_level() {
    let mut newer = config();
    newer["services"][0]["business"] = json!([{
        "name": "order_success",
        "of": {"method": "POST", "future": 1},
        "good": {
            "status": [200, 299],
            "header": {"name": "x-outcome", "value": "placed", "future": 1},
            "future": 1,
        },
        "future": 1,
    }]);
    for at in ["", "/report", "/services/0", "/flags", "/flags/flags/1-beta"] {
        newer.pointer_mut(at).unwrap()["future"] = json!({"nested": [1]});
    }
    let (parsed, router) = Router::parse(newer.to_string().as_bytes()).unwrap();
    assert_eq!(parsed.version, "c1");
    let beta = request(&[(":authority", b"order.local"), ("x-beta", b"yes")]);
    let decision = router.decide(&beta).unwrap();
    assert_eq!(decision.pin, Some("v2"));
    assert_eq!(router.business(decision.service)[0].good.status, (200, 299));
}

#[test]
fn the_configuration_round_trips() {
    let (config, _) = Router::parse(config().to_string().as_bytes()).unwrap();
    assert_eq!(
        config.services[0].identity,
        [IdentitySource::Header("X-User-Id".into()), IdentitySource::Cookie("sid".into())]
    );
    let again = serde_json::to_vec(&config).unwrap();
    assert_eq!(Router::parse(&again).unwrap().0, config);
}

proptest! {
    #[test]
    fn arbitrary_requests_do_not_panic(
        host: Vec<u8>, cookie: Vec<u8>, user: Vec<u8>, beta: Vec<u8>, path: Vec<u8>, ours: bool,
    ) {
        let router = router(&config()).unwrap();
        let host: &[u8] = if ours { b"order.local" } else { &host };
        let request = request(&[
            (":authority", host), ("cookie", &cookie), ("x-user-id", &user),
            ("x-beta", &beta), (":path", &path),
        ]);
        if let Some(decision) = router.decide(&request) {
            prop_assert!(decision.bucket < 1_000_000);
        }
    }

    #[test]
    fn arbitrary_cluster_names_do_not_panic(name: String) {
        let router = router(&config()).unwrap();
        prop_assert!(router.version_of_cluster(&name).is_none_or(|served| !served.version.is_empty()));
    }
}
