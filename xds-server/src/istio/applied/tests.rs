//! What is printed has no problems; each mistake in it has one, at its place.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::istio::manifests::tests::{configuration, one_key, options, printed};
use crate::istio::manifests::{Options, RouteKind};

/// A directory with everything that the configuration needs.
fn applied() -> (TempDir, String, String) {
    let config = configuration();
    let mut options = options();
    let filter = options.filter.as_mut().unwrap();
    filter.waypoints = vec!["waypoint".parse().unwrap()];
    let mesh = printed(&config, "mesh", &[], &one_key(), &options).unwrap();
    let outside = printed(&config, "outside", &[], &one_key(), &options).unwrap();
    // The routes of `user`, which both fleets have.
    let outside = outside.split("---\n").filter(|it| !it.contains("kind: VirtualService"));
    (tempfile::tempdir().unwrap(), mesh, outside.collect::<Vec<_>>().join("---\n"))
}

fn problems(dir: &Path, mesh: &str, outside: &str, keys: Option<&Keys>) -> Vec<String> {
    fs::create_dir_all(dir.join("below")).unwrap();
    fs::write(dir.join("mesh.yaml"), mesh).unwrap();
    fs::write(dir.join("below/outside.yml"), outside).unwrap();
    fs::write(dir.join("notes.txt"), "not: [read").unwrap();
    let applied = check(dir, &configuration(), keys).unwrap();
    applied.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_printed_has_no_problems() {
    let (dir, mesh, outside) = applied();
    assert_eq!(problems(dir.path(), &mesh, &outside, Some(&one_key())), [""; 0]);
}

/// The text without the first line that begins with `key`, and the lines that belong to it.
fn without(text: &str, key: &str) -> String {
    let (before, block, after) = block(text, key);
    assert!(!block.is_empty(), "{key}");
    before + &after
}

/// The text with that block twice.
fn twice(text: &str, key: &str) -> String {
    let (before, block, after) = block(text, key);
    before + &block + &block + &after
}

fn block(text: &str, key: &str) -> (String, String, String) {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let start = lines.iter().position(|line| line.trim_start().starts_with(key)).unwrap();
    let below = |line: &&&str| indent(line) > indent(lines[start]);
    let end = start + 1 + lines[start + 1..].iter().take_while(below).count();
    (lines[..start].concat(), lines[start..end].concat(), lines[end..].concat())
}

fn without_kind(text: &str, kind: &str) -> String {
    let kept = text.split("---\n").filter(|it| !it.contains(&format!("kind: {kind}\n")));
    kept.collect::<Vec<_>>().join("---\n")
}

/// Some problem has these words, at the line of the first occurrence of `at`, if that is not empty.
fn assert_found(dir: &TempDir, mesh: &str, outside: &str, at: &str, words: &str) {
    let found = problems(dir.path(), mesh, outside, Some(&one_key()));
    let place = match at {
        "" => String::new(),
        at => {
            let before = mesh.split(at).next().unwrap();
            assert!(before.len() < mesh.len(), "{at:?} is in {mesh}");
            format!("mesh.yaml:{}:", before.matches('\n').count() + 1)
        }
    };
    let is_it = |it: &&String| it.contains(words) && it.contains(&place);
    assert!(found.iter().any(|it| is_it(&it)), "{words:?} at {place:?}: {found:#?}");
}

#[test]
fn wrong_values_are_found_at_their_place() {
    let token = |route: &str| one_key().sent().of_route(&"order".parse().unwrap(), route);
    let (v1, v2) = (token("v1"), token("v2"));
    let (dir, mesh, outside) = applied();
    for (old, new, at, words) in [
        ("FAIL_OPEN", "FAIL_CLOSE", "FAIL_CLOSE", "fails closed"),
        ("@sha256:", ":v1-", "url:", "not pinned by a digest"),
        ("outbound|18000|", "outbound|18001|", "outbound|18001", "sends reports to"),
        (
            "    report:\n",
            "    report:\n      authority: other.example.com\n",
            "authority: other",
            "with the authority `other.example.com`",
        ),
        ("mode: CLIENT", "mode: SERVER", "mode: SERVER", "requests that pods receive too"),
        ("fleet: mesh", "other: mesh", "", "has no `pluginConfig.fleet`"),
        ("appProtocol: grpc", "appProtocol: tcp", "name: grpc-xds", "is not HTTP/2"),
        ("port: 18000", "port: 18001", "name: grpc-xds", "has no port 18000"),
        ("attempts: 0", "attempts: 2", "attempts: 2", "hides errors"),
        (&v2, "0", "name: tidegate-v1", "no route matches the token of `order/v2`"),
        (&v1, &v2, "name: tidegate-v1", "the token of `order/v2` leads elsewhere"),
        ("track: \"canary\"", "track: stable", "track: stable", "other labels"),
        (
            "- name: \"v2\"\n",
            "- name: v3\n",
            "- name: \"v1\"\n",
            "the subset `v2` of `order.default",
        ),
        ("- x-tidegate-version\n", "- x-other\n", "name: tidegate-v1", "passes the token"),
        (
            "  subsets:\n",
            "  trafficPolicy: {outlierDetection: {interval: 1s}}\n  subsets:\n",
            "outlierDetection",
            "ejects pods",
        ),
        ("kind: Service\n", "kind: [Service\n", "", "not YAML"),
    ] {
        assert!(mesh.contains(old), "{old}");
        assert_found(&dir, &mesh.replacen(old, new, 1), &outside, at, words);
    }
    // The default route, after those with a token.
    let (before, after) = mesh.split_once("name: tidegate-stable").unwrap();
    let text = format!(
        "{before}name: tidegate-stable{}",
        after.replacen("subset: \"v1\"", "subset: \"v2\"", 1)
    );
    assert_found(&dir, &text, &outside, "name: tidegate-stable", "requests without token");
}

#[test]
fn missing_values_and_objects_are_found() {
    let (dir, mesh, outside) = applied();
    let found = |mesh: &str, outside: &str, at, words| assert_found(&dir, mesh, outside, at, words);
    found(&without(&mesh, "failStrategy:"), &outside, "apiVersion: extensions", "(the default)");
    found(&without(&mesh, "retries:"), &outside, "name: tidegate-v1", "(the default)");
    found(&without(&mesh, "report:"), &outside, "", "no `pluginConfig.report.cluster`");
    found(&without(&mesh, "- name: tidegate-stable"), &outside, "", "without token, so they fail");
    found(&twice(&mesh, "- destination:"), &outside, "", "divides requests by weight");
    let twice = format!("{mesh}---\n{}", mesh.rsplit("---\n").next().unwrap());
    found(&twice, &outside, "", "two VirtualServices");
    for (kind, words) in [
        (
            "WasmPlugin",
            "no WasmPlugin and no TrafficExtension installs the filter for fleet `mesh`",
        ),
        ("Service", "there is no Service `tidegate` in namespace `tidegate`"),
        ("EnvoyFilter", "waypoint `default/waypoint` has no cluster of the control plane"),
        ("DestinationRule", "no DestinationRule of `order.default.svc.cluster.local` declares"),
        (
            "VirtualService",
            "no VirtualService and no HTTPRoute routes `user.shop.svc.cluster.local`",
        ),
    ] {
        found(&without_kind(&mesh, kind), &outside, "", words);
    }
    let other = without_kind(&outside, "ServiceEntry");
    found(&mesh, &other, "", "no ServiceEntry has the host of the control plane");
}

#[test]
fn a_match_on_a_waypoint_is_found() {
    let (dir, mesh, outside) = applied();
    let text = mesh.replacen("  targetRefs:\n", "  match: [{mode: CLIENT}]\n  targetRefs:\n", 1);
    assert_found(&dir, &text, &outside, "match: [{mode", "a waypoint matches no mode");
}

#[test]
fn without_keys_tokens_are_not_compared() {
    let (dir, mesh, outside) = applied();
    let other = mesh.replace(&one_key().sent().of_route(&"order".parse().unwrap(), "v2"), "0");
    assert_eq!(problems(dir.path(), &other, &outside, None), [""; 0]);
}

#[test]
fn short_hosts_are_completed_with_the_namespace() {
    let (dir, mesh, outside) = applied();
    for short in ["order", "order.default", "order.default.svc"] {
        let text = mesh.replace("order.default.svc.cluster.local", short);
        assert_eq!(problems(dir.path(), &text, &outside, Some(&one_key())), [""; 0], "{short}");
    }
}

#[test]
fn routes_of_the_gateway_api_are_checked() {
    let (dir, mesh, outside) = applied();
    let http = Options { filter: None, routes: RouteKind::HttpRoute, ..options() };
    let http = printed(&configuration(), "mesh", &["user"], &one_key(), &http).unwrap();
    let others = mesh.split("---\n").filter(|it| !it.contains("name: user-tidegate"));
    let text = format!("{}---\n{http}", others.collect::<Vec<_>>().join("---\n"));
    assert_eq!(problems(dir.path(), &text, &outside, Some(&one_key())), [""; 0]);
    let wrong = text.replacen("- name: user-v2", "- name: user-v1", 1);
    assert_found(&dir, &wrong, &outside, "", "the token of `user/v2` leads elsewhere");
}
