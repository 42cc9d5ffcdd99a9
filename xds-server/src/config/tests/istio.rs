//! Fleets, services and versions in an Istio mesh.

use super::mistakes::{Mistake, check_all};
use super::*;
use tidegate_delivery::model::istio::IstioTarget;

const MESH: &str = r#"
filter: {wasm: dist/filter.wasm}
fleets:
  - name: mesh
    istio: {}
services:
  - name: order
    istio: {host: Order.default.svc.cluster.local, port: 80}
    strategy: {canary: {}}
    stable: v1
    versions:
      - {name: v1, istio: {subset: v1}}
      - {name: v2, istio: {host: order-v2.default.svc.cluster.local}}
  - name: product
    hosts: ["product.local"]
    istio: {host: product.shop.svc.cluster.local, port: 8080}
    strategy: {blue_green: {}}
    environments:
      blue: {istio: {subset: blue, labels: {slot: blue}}, version: v7}
      green: {istio: {subset: green, labels: {slot: green}}}
    active: blue
"#;

#[test]
fn an_istio_fleet_needs_no_endpoints_and_has_defaults() {
    let config = check(MESH, Path::new("")).unwrap();
    let mesh = config.mesh.fleets[0].istio().unwrap();
    assert_eq!(mesh.report_cluster, "outbound|18000||tidegate.tidegate.svc.cluster.local");
    assert_eq!(mesh.authority, "tidegate.tidegate.svc.cluster.local");
    let [order, product] = config.services.as_slice() else { panic!("two services") };
    assert_eq!(order.hosts, ["order.default.svc.cluster.local".parse().unwrap()]);
    assert_eq!(order.istio.as_ref().unwrap().port.get(), 80);
    let Some(IstioTarget::Subset(v1)) = &order.versions["v1"].istio else { panic!("a subset") };
    assert_eq!((v1.name.as_str(), v1.labels.get()["version"].as_str()), ("v1", "v1"));
    let Some(IstioTarget::Host(v2)) = &order.versions["v2"].istio else { panic!("a host") };
    assert_eq!(v2.as_str(), "order-v2.default.svc.cluster.local");
    let environments = product.environments.as_ref().unwrap();
    let blue = environments.istio(Environment::Blue).unwrap();
    assert_eq!(product.versions["v7"].istio.as_ref(), Some(blue), "that of its environment");
    assert_eq!(product.hosts, ["product.local".parse().unwrap()]);
}

#[test]
fn report_cluster_authority_and_services_can_be_set() {
    let istio = "istio: {report_cluster: outbound|443||td.example.com, authority: \"td.example.com:443\", services: [product, order]}";
    let config = check(&MESH.replace("istio: {}", istio), Path::new("")).unwrap();
    let mesh = config.mesh.fleets[0].istio().unwrap();
    assert_eq!(mesh.report_cluster, "outbound|443||td.example.com");
    assert_eq!(mesh.authority, "td.example.com:443");
    assert!(mesh.services.include(&"order".parse().unwrap()));
}

const MISTAKES: &[Mistake] = &[
    (
        "istio: {}",
        "istio: {report_cluster: tidegate}",
        "tidegate}",
        &["`tidegate` is not a cluster of Istio", "outbound|PORT||HOST"],
    ),
    (
        "istio: {}",
        "istio: {report_cluster: outbound|18000|v1|tidegate.example.com}",
        "outbound|18000",
        &["without subset"],
    ),
    ("istio: {}", "istio: {authority: \"a|b\"}", "\"a|b", &["`a|b` is not an authority"]),
    (
        "istio: {}",
        "istio: {report_cluster: \"outbound|18000||aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.example.com\"}",
        "\"outbound|18000",
        &["`cluster` must have 1 to 125 bytes", "a shorter host"],
    ),
    (
        "istio: {}",
        "istio: {authority: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.example.com}",
        "aaaaaaaa",
        &["`authority` must have 1 to 125 bytes", "remove the key"],
    ),
    ("istio: {}", "istio: {services: [ordr]}", "ordr", &["no service `ordr`", "`order`"]),
    (
        "istio: {}",
        "istio: {services: [order]}",
        "{host: product",
        &["`istio` of service `product` has no effect", "istio: {}"],
    ),
    (
        "    istio: {}",
        "    listeners: [{name: a, address: \"127.0.0.1:10000\", services: [\"*\"]}]\n    istio: {}",
        "{}\nservices",
        &["fleet `mesh` has `istio` and `listeners`"],
    ),
    ("port: 80}", "port: 0}", "0}", &["cannot have port 0"]),
    (
        "Order.default.svc.cluster.local",
        "order",
        "order, port",
        &["`order` is not a full host name"],
    ),
    (
        "product.shop.svc.cluster.local",
        "order.default.svc.cluster.local",
        "order.default.svc.cluster.local, port: 8080",
        &["Istio host `order.default.svc.cluster.local` is already defined", "by `order`"],
    ),
    (
        "    istio: {host: Order.default.svc.cluster.local, port: 80}\n    strategy: {canary: {}}\n    stable: v1\n    versions:\n      - {name: v1, istio: {subset: v1}}\n      - {name: v2, istio: {host: order-v2.default.svc.cluster.local}}\n",
        "    hosts: [order.local]\n    strategy: {canary: {}}\n    stable: v1\n    versions: [{name: v1, istio: {subset: v1}}]\n",
        "{subset: v1}}]",
        &["`v1` has a target in Istio, but its service `order` has no `istio`"],
    ),
    (
        "{name: v1, istio: {subset: v1}}",
        "{name: v1}",
        "v1}",
        &["`v1` of service `order` has no target"],
    ),
    ("{subset: v1}", "{}", "{}}\n      - {name: v2", &["`v1` has neither `subset` nor `host`"]),
    (
        "{subset: v1}",
        "{subset: v1, host: order-v1.default.svc.cluster.local}",
        "order-v1",
        &["`subset` and `host` exclude each other"],
    ),
    ("{subset: v1}", "{subset: V1}", "V1", &["`V1` is not the name of a subset"]),
    ("{subset: v1}", "{subset: v1, labels: {}}", "{}}}", &["a subset has 1 to 16 labels, not 0"]),
    (
        "{host: order-v2.default.svc.cluster.local}",
        "{host: order-v2.default.svc.cluster.local, labels: {a: b}}",
        "{a: b}",
        &["`labels` have no effect with `host`"],
    ),
    (
        "{host: order-v2.default.svc.cluster.local}",
        "{subset: v2, labels: {version: v1}}",
        "{subset: v2",
        &["`v1` and `v2` have one target in Istio"],
    ),
    (
        "labels: {slot: green}",
        "labels: {slot: blue}",
        "{subset: green",
        &["`blue` and `green` have one target in Istio"],
    ),
    (
        "{canary: {}}",
        "{canary: {smoke_tests: [{path: /, expect: 200}]}}",
        "order\n    istio",
        &["has no endpoints, so its smoke tests and health checks cannot be sent"],
    ),
    // Resources: at the service.
    (
        "    hosts: [\"product.local\"]\n    istio: {host: product.shop.svc.cluster.local, port: 8080}\n    strategy: {blue_green: {}}\n    environments:\n      blue: {istio: {subset: blue, labels: {slot: blue}}, version: v7}\n      green: {istio: {subset: green, labels: {slot: green}}}\n    active: blue\n",
        "    hosts: [\"product.local\"]\n    strategy: {canary: {}}\n    stable: v1\n    versions: [{name: v1, endpoints: [\"127.0.0.1:1\"]}]\n",
        "product\n",
        &[
            "fleet `mesh` is one of an Istio mesh, and the declaration of service `product` has no `istio`",
        ],
    ),
    (
        "    istio: {}",
        "    istio: {}\n  - name: own\n    listeners: [{name: a, address: \"127.0.0.1:10000\", services: [product]}]",
        "product\n    hosts",
        &["fleet `own`: version `v7` of service `product` has no endpoints"],
    ),
];

#[test]
fn mistakes_are_reported_at_their_place() {
    check_all(MESH, MISTAKES);
}

#[test]
fn the_target_of_a_registered_version_has_the_grammar_of_the_file() {
    let target = istio_target("v3", &serde_json::json!({"subset": "v3"})).unwrap();
    let IstioTarget::Subset(subset) = target else { panic!("a subset") };
    assert_eq!(subset.labels.get()["version"], "v3");
    assert!(istio_target("v3", &serde_json::json!({"subsets": "v3"})).is_err());
    assert!(istio_target("v3", &serde_json::json!({"subset": "v3", "host": "a.b"})).is_err());
}
