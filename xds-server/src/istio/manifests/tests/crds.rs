//! The objects against the schemas of Istio's custom resource definitions, and those of their CEL rules that concern them.
//!
//! The definitions are not part of this repository. They are read from `TIDEGATE_ISTIO_CRDS`, or from `shared/istio/crds`
//! beside the checkout; without them, the test says that it was left out.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::cases;
use super::schema::errors;

/// Kinds that Istio does not define.
const OTHERS: [&str; 2] = ["Service", "HTTPRoute"];

fn crds() -> Option<BTreeMap<(String, String), Value>> {
    let sibling = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/istio/crds");
    let dir = env::var_os("TIDEGATE_ISTIO_CRDS").map_or(sibling, PathBuf::from);
    if !dir.is_dir() {
        println!("left out: no custom resource definitions in {}", dir.display());
        return None;
    }
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(&dir).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let crd: Value = serde_saphyr::from_str(&text).unwrap();
        let spec = &crd["spec"];
        for version in spec["versions"].as_array().unwrap() {
            let schema = version["schema"]["openAPIV3Schema"].clone();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let api_version = format!("{}/{}", text(&spec["group"]), text(&version["name"]));
            all.insert((api_version, text(&spec["names"]["kind"])), schema);
        }
    }
    Some(all)
}

/// An object without what every object has, which the definitions do not contain.
fn body(object: &Value) -> Value {
    let mut object = object.as_object().unwrap().clone();
    object.retain(|key, _| !["apiVersion", "kind", "metadata"].contains(&key.as_str()));
    object.into()
}

fn has(value: &Value, key: &str) -> bool {
    value.get(key).is_some()
}

/// The CEL rules of the definitions, for the fields that are printed. The path names the rule that is violated.
fn violated(object: &Value) -> Vec<&'static str> {
    let spec = &object["spec"];
    let mut violated = Vec::new();
    let mut require = |holds: bool, rule: &'static str| {
        if !holds {
            violated.push(rule);
        }
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let places = ["selector", "targetRef", "targetRefs", "workloadSelector"];
    require(
        places.iter().filter(|it| has(spec, it)).count() <= 1,
        "one of selector and targetRefs",
    );
    let targets = list(&spec["targetRefs"]);
    require(
        targets.iter().all(|it| it.get("namespace").is_none_or(|it| it == "")),
        "no target in another namespace",
    );
    let labels = spec["selector"]["matchLabels"].as_object().cloned().unwrap_or_default();
    let label_rule = |(key, value): (&String, &Value)| {
        !key.is_empty() && !key.contains('*') && !value.as_str().unwrap().contains('*')
    };
    require(labels.iter().all(label_rule), "no wildcards in labels");
    match object["kind"].as_str().unwrap() {
        kind @ ("WasmPlugin" | "TrafficExtension") => {
            let wasm = if kind == "WasmPlugin" { spec } else { &spec["wasm"] };
            let scheme = wasm["url"].as_str().and_then(|url| url.split_once("://")).map(|it| it.0);
            let known = [Some("oci"), Some("http"), Some("https"), Some("file")].contains(&scheme);
            require(known, "the scheme of the URL");
            require(kind == "WasmPlugin" || has(spec, "wasm") != has(spec, "lua"), "wasm or lua");
        }
        "EnvoyFilter" => {
            let of_waypoint = |it: &Value| {
                (it["match"]["context"] == "WAYPOINT") == has(&it["match"], "waypoint")
            };
            require(list(&spec["configPatches"]).iter().all(of_waypoint), "waypointMatch");
        }
        "ServiceEntry" => {
            require(list(&spec["hosts"]).iter().all(|it| it != "*"), "no wildcard host");
            let mut numbers: Vec<u64> =
                list(&spec["ports"]).iter().map(|it| it["number"].as_u64().unwrap()).collect();
            require(numbers.iter().all(|it| (1..=65535).contains(it)), "the range of ports");
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            require(numbers.len() == count, "no port twice");
            require(
                spec["resolution"] != "NONE" || !has(spec, "endpoints"),
                "NONE has no endpoints",
            );
        }
        _ => {}
    }
    violated
}

fn objects() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (name, text) in cases() {
        for object in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
            all.push((
                format!("{name}: {} {}", object["kind"], object["metadata"]["name"]),
                object,
            ));
        }
    }
    all
}

fn errors_of(crds: &BTreeMap<(String, String), Value>, object: &Value) -> Vec<String> {
    let text = |key: &str| object[key].as_str().unwrap().to_owned();
    let schema = crds.get(&(text("apiVersion"), text("kind"))).expect("a definition");
    errors(schema, &body(object))
}

#[test]
fn the_objects_fit_istios_definitions() {
    let Some(crds) = crds() else { return };
    let mut checked = 0;
    for (name, object) in objects() {
        assert_eq!(violated(&object), [""; 0], "{name}");
        if OTHERS.contains(&object["kind"].as_str().unwrap()) {
            continue;
        }
        assert_eq!(errors_of(&crds, &object), [""; 0], "{name}");
        checked += 1;
    }
    assert!(checked >= 15, "{checked}");
}

/// The checks above find an unknown field, a wrong type and a wrong value.
#[test]
fn an_object_that_does_not_fit_is_found() {
    let Some(crds) = crds() else { return };
    let (_, plugin) =
        objects().into_iter().find(|(_, it)| it["kind"] == "WasmPlugin").expect("a WasmPlugin");
    for (key, value) in
        [("phse", json!("AUTHN")), ("phase", json!("FIRST")), ("priority", json!("high"))]
    {
        let mut broken = plugin.clone();
        broken["spec"][key] = value;
        assert!(!errors_of(&crds, &broken).is_empty(), "{key}");
    }
}

#[test]
fn the_rules_beyond_the_schema_are_found() {
    let (_, plugin) =
        objects().into_iter().find(|(_, it)| it["kind"] == "WasmPlugin").expect("a WasmPlugin");
    let mut broken = plugin.clone();
    broken["spec"]["targetRefs"] = json!([{"kind": "Gateway", "name": "a", "namespace": "b"}]);
    broken["spec"]["url"] = json!("ftp://a");
    let rules = [
        "one of selector and targetRefs",
        "no target in another namespace",
        "the scheme of the URL",
    ];
    assert_eq!(violated(&broken), rules);
    assert!(violated(&plugin).is_empty());
}
