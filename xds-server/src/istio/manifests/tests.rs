//! What is printed, in golden files: `TIDEGATE_REWRITE=1 cargo test -p tidegate istio::manifests` writes them again.

mod crds;
mod schema;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::config::{self, Config};
use tidegate_xds::tokens::TokenKey;

const CONFIG: &str = r#"
listen: {xds: "0.0.0.0:18000", insecure_plaintext: true, api: "0.0.0.0:8080"}
filter: {wasm: dist/filter.wasm}
fleets:
  - name: mesh
    istio: {}
  - name: outside
    istio: {report_cluster: outbound|443||tidegate.example.com, authority: td.example.com, services: [user]}
services:
  - name: order
    hosts: [order.default.svc.cluster.local, order.example.com]
    istio: {host: order.default.svc.cluster.local, port: 80}
    strategy: {canary: {}}
    stable: v1
    versions:
      - {name: v1, istio: {subset: v1}}
      - {name: v2, istio: {subset: v2, labels: {version: v2, track: canary}}}
  - name: user
    istio: {host: user.shop.svc.cluster.local, port: 8080}
    strategy: {canary: {}}
    stable: v1
    versions:
      - {name: v1, istio: {host: user-v1.shop.svc.cluster.local}}
      - {name: v2, istio: {host: user-v2.shop.svc.cluster.local}}
  - name: product
    istio: {host: product.example.com, port: 80}
    strategy: {blue_green: {}}
    environments:
      blue: {istio: {subset: blue}, version: v7}
      green: {istio: {subset: green}}
    active: blue
"#;

const IMAGE: &str = "oci://registry.example.com/tidegate/filter@sha256:0d00f61cb3c6112eb3ca898957ad586cf1f090a478c1ef45cc7f0235ff054256";

pub(crate) fn configuration() -> Config {
    config::check(CONFIG, Path::new("")).unwrap()
}

pub(crate) fn one_key() -> Keys {
    Keys::One(TokenKey::new([7; 32]))
}

fn two_keys() -> Keys {
    Keys::Added { current: TokenKey::new([7; 32]), next: TokenKey::new([8; 32]) }
}

pub(crate) fn options() -> Options {
    Options {
        filter: Some(FilterOptions {
            image: IMAGE.parse().unwrap(),
            pull_secret: None,
            extension: ExtensionKind::WasmPlugin,
            fail_strategy: FailStrategy::Open,
            waypoints: Vec::new(),
            ports: ControlPlanePorts { xds: 18000, api: 8080 },
        }),
        routes: RouteKind::VirtualService,
        gateways: Vec::new(),
        strip: false,
    }
}

fn with(edit: impl FnOnce(&mut FilterOptions)) -> Options {
    let mut options = options();
    edit(options.filter.as_mut().unwrap());
    options
}

/// The objects of a fleet, with these services, or all.
pub(crate) fn printed(
    config: &Config,
    fleet: &str,
    services: &[&str],
    keys: &Keys,
    options: &Options,
) -> Result<String, ManifestError> {
    let fleet = config.mesh.fleets.iter().find(|it| it.name.as_str() == fleet).unwrap();
    let chosen = config.services.iter().filter(|it| fleet.serves(&it.name));
    let chosen: Vec<_> =
        chosen.filter(|it| services.is_empty() || services.contains(&it.name.as_str())).collect();
    let built = build(&fleet.name, fleet.istio().unwrap(), &chosen, keys, options)?;
    Ok(built.to_yaml())
}

/// Each golden file, and what it contains.
fn cases() -> Vec<(&'static str, String)> {
    let config = configuration();
    let services_only = Options { filter: None, ..options() };
    let print = |fleet, services: &[&str], keys: &Keys, options: &Options| {
        printed(&config, fleet, services, keys, options).unwrap()
    };
    let waypoints = with(|filter| {
        filter.extension = ExtensionKind::TrafficExtension;
        filter.waypoints = vec!["waypoint".parse().unwrap(), "shop/edge".parse().unwrap()];
        filter.fail_strategy = FailStrategy::Reload;
    });
    let outside = with(|filter| {
        filter.pull_secret = Some("registry".to_owned());
        filter.waypoints = vec!["waypoint".parse().unwrap()];
    });
    let gateway = Options {
        gateways: vec!["istio-system/edge".to_owned()],
        strip: true,
        ..services_only.clone()
    };
    let http_route = Options { routes: RouteKind::HttpRoute, ..services_only.clone() };
    vec![
        ("all", print("mesh", &[], &one_key(), &options())),
        ("rotation", print("mesh", &["order"], &two_keys(), &services_only)),
        ("waypoints", print("mesh", &["order"], &one_key(), &waypoints)),
        ("outside", print("outside", &[], &one_key(), &outside)),
        ("gateway", print("mesh", &["order"], &one_key(), &gateway)),
        ("http_route", print("mesh", &["user"], &two_keys(), &http_route)),
    ]
}

fn golden(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/istio/manifests/golden");
    dir.join(format!("{name}.yaml"))
}

#[test]
fn the_objects_are_those_of_the_golden_files() {
    for (name, text) in cases() {
        let path = golden(name);
        if env::var_os("TIDEGATE_REWRITE").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, fs::read_to_string(&path).unwrap(), "{name}");
    }
}

/// An object that is applied once: a release changes none.
#[test]
fn another_version_in_an_environment_changes_nothing() {
    let deployed = CONFIG.replace("version: v7", "version: v8");
    let deployed = config::check(&deployed, Path::new("")).unwrap();
    let print = |config| printed(config, "mesh", &["product"], &one_key(), &options()).unwrap();
    assert_eq!(print(&deployed), print(&configuration()));
}

#[test]
fn an_http_route_has_services_and_few_rules() {
    let http_route = Options { filter: None, routes: RouteKind::HttpRoute, ..options() };
    let error = |service: &str| {
        printed(&configuration(), "mesh", &[service], &one_key(), &http_route).unwrap_err()
    };
    assert!(
        matches!(error("order"), ManifestError::SubsetInHttpRoute { version, .. } if version == "v1")
    );
    assert!(
        matches!(error("product"), ManifestError::NotAService { host, .. } if host == "product.example.com")
    );
    let version = |number: usize| {
        format!(
            "      - {{name: w{number}, istio: {{host: user-w{number}.shop.svc.cluster.local}}}}\n"
        )
    };
    let many: String = (0..14).map(version).collect();
    let text = CONFIG.replace("  - name: product", &format!("{many}  - name: product"));
    let many = config::check(&text, Path::new("")).unwrap();
    let error = printed(&many, "mesh", &["user"], &one_key(), &http_route).unwrap_err();
    assert!(matches!(error, ManifestError::TooManyRules { versions: 16, .. }), "{error}");
}

#[test]
fn images_are_pinned_and_waypoints_are_names() {
    let digest = "0".repeat(64);
    assert!(
        format!("oci://registry.example.com/filter:v1@sha256:{digest}").parse::<ImageUrl>().is_ok()
    );
    for bad in [
        "registry.example.com/filter".to_owned(),
        "oci://registry.example.com/filter:latest".to_owned(),
        format!("oci://registry@sha256:{digest}"),
        format!("oci://registry.example.com/filter@sha256:{}", "0".repeat(63)),
        format!("https://registry.example.com/filter@sha256:{digest}"),
    ] {
        assert!(bad.parse::<ImageUrl>().is_err(), "{bad}");
    }
    for bad in ["", "/a", "a/", "A", "a/b/c"] {
        assert!(bad.parse::<Waypoint>().is_err(), "{bad}");
    }
}

/// Kubernetes reads YAML 1.1, where more texts are booleans and numbers.
#[test]
fn texts_that_could_be_other_values_are_quoted() {
    let texts = ["on", "y", "1e3", "0123", "1_000", "0x1f", "2001-01-01", "null"];
    for text in texts {
        let config = CONFIG
            .replace("{version: v2, track: canary}", &format!("{{track: \"{text}\"}}"))
            .replace("name: v2, istio: {subset: v2,", "name: v2, istio: {subset: \"1e3\",");
        let config = config::check(&config, Path::new("")).unwrap();
        let options = Options { filter: None, ..options() };
        let printed = printed(&config, "mesh", &["order"], &one_key(), &options).unwrap();
        assert!(printed.contains(&format!("track: \"{text}\"\n")), "{text}: {printed}");
        assert!(printed.contains("name: \"1e3\"\n") && printed.contains("subset: \"1e3\"\n"));
    }
    let all = cases().into_iter().map(|(_, text)| text).collect::<String>();
    let tokens = all.lines().filter(|line| line.contains("exact: ") || line.contains(" value: "));
    for line in tokens.filter(|line| !line.contains("value: {}")) {
        assert!(line.ends_with('"'), "{line}");
    }
}
