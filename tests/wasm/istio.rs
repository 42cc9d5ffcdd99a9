//! The filter in an Istio mesh: it accepts every configuration, takes its own from report responses,
//! and selects routes by tokens.

use crate::host::{Exchange, ReportServer, Vm};
use prost::Message as _;
use serde_json::{Value, json};
use tidegate_proto::report::v1::{ReportRequest, ReportResponse};

use crate::support::{config, configured, exchange, flush_reports, values, vm};

pub(crate) const PLUGIN: &str = r#"{"fleet":"mesh","report":{"cluster":"outbound|18000||tidegate.tidegate.svc.cluster.local"}}"#;
const CLUSTER: &str = "outbound|18000||tidegate.tidegate.svc.cluster.local";
const STABLE: &str = "outbound|80|v1|order.default.svc.cluster.local";
const CANDIDATE: &str = "outbound|80|v2|order.default.svc.cluster.local";
const V1: &str = "6f1c0d5a9b7e4c3f8a2d1e0b9c8f7a6d";
const V2: &str = "0b9c8f7a6d6f1c0d5a9b7e4c3f8a2d1e";
const VERSION: &str = "x-tidegate-version";
const BUCKET: &str = "x-tidegate-bucket";

/// A configuration with this share of v2.
fn mesh(version: &str, share: u32) -> Value {
    let candidate = (share > 0).then(|| json!({"version": "v2", "below": share}));
    let stable = (share < 1_000_000).then(|| json!({"version": "v1", "below": 1_000_000}));
    let split: Vec<_> = candidate.into_iter().chain(stable).collect();
    let mut config = config();
    config["version"] = json!(version);
    config["fleet"] = json!("mesh");
    config["report"] = json!({"interval_ms": 250});
    config["mesh"] = json!({"istio": {"services": [{
        "service": "order", "host": "order.default.svc.cluster.local", "port": 80,
        "versions": [
            {"name": "v1", "target": {"subset": "v1"}, "token": V1},
            {"name": "v2", "target": {"subset": "v2"}, "token": V2},
        ],
        "split": split,
    }]}});
    config["services"][0].as_object_mut().unwrap().remove("hosts");
    config
}

/// A VM whose sidecar reaches the control plane, with a root of this plugin configuration.
fn plugin(config: &str) -> (Vm, u32) {
    let mut vm = vm(1);
    vm.host().clusters.insert(CLUSTER.to_owned());
    let root = vm.root(config).unwrap().unwrap();
    (vm, root)
}

/// Lets the root report, and responds with a configuration. Returns the version in the report.
fn answer(vm: &mut Vm, root: u32, config: Option<&str>) -> String {
    respond(vm, root, config).config_version
}

fn respond(vm: &mut Vm, root: u32, config: Option<&str>) -> ReportRequest {
    vm.tick_after(root, 1_000).unwrap();
    let call = vm.host().take_calls().remove(0);
    let report = call.report().unwrap();
    assert!(report.config_requested);
    let response = ReportResponse {
        acknowledged: report.sequence,
        interval_ms: 250,
        config: config.map(str::to_owned),
    };
    vm.respond(root, call.token, response.encode_to_vec()).unwrap();
    report
}

/// A request whose route leads to this cluster before the filter.
fn routed(vm: &mut Vm, cluster: &str, headers: &[(&str, &[u8])]) -> Exchange {
    vm.host().properties.insert("xds.cluster_name".to_owned(), cluster.as_bytes().to_vec());
    let mut exchange = exchange(headers);
    exchange.completion.cluster = Some(cluster.to_owned());
    exchange
}

fn tokens(vm: &mut Vm, root: u32, cluster: &str, headers: &[(&str, &[u8])]) -> Vec<String> {
    let exchange = routed(vm, cluster, headers);
    let done = vm.exchange(root, exchange).unwrap();
    assert!(values(&done, BUCKET).is_empty(), "the bucket does not travel upstream");
    values(&done, VERSION)
}

#[test]
fn every_configuration_is_accepted_and_forged_headers_are_removed() {
    for config in [
        "",
        "{}",
        "\"\u{0}",
        "null",
        "{",
        "\u{1f600}",
        r#"{"fleet": 7}"#,
        r#"{"version": 1}"#,
        r#"{"fleet":"mesh","report":{"cluster":"no such cluster"}}"#,
        PLUGIN,
    ] {
        let (mut vm, root) = plugin(config);
        let forged: &[(&str, &[u8])] = &[(VERSION, V2.as_bytes()), (VERSION, b""), (BUCKET, b"0")];
        assert!(tokens(&mut vm, root, CANDIDATE, forged).is_empty(), "{config}");
        vm.tick_after(root, 1_000).unwrap();
        let calls = vm.host().take_calls();
        assert_eq!(calls.len(), usize::from(config == PLUGIN), "{config}");
        let is_logged = vm.host().logs.iter().any(|line| line.level > 2);
        assert_eq!(is_logged, config != PLUGIN, "{config}: {:?}", vm.host().logs);
    }
}

#[test]
fn a_report_has_the_host_of_the_cluster_as_authority() {
    let (mut vm, root) = plugin(PLUGIN);
    vm.tick_after(root, 1_000).unwrap();
    let call = vm.host().take_calls().remove(0);
    assert_eq!(call.cluster, CLUSTER);
    assert_eq!(call.authority, "tidegate.tidegate.svc.cluster.local");
    let report = call.report().unwrap();
    assert_eq!((report.fleet.as_str(), report.config_version.as_str()), ("mesh", ""));
    let own = r#"{"fleet":"mesh","report":{"authority":"t.example.com","cluster":"tidegate"}}"#;
    let (mut vm, root) = plugin(own);
    vm.tick_after(root, 1_000).unwrap();
    let call = vm.host().take_calls().remove(0);
    assert_eq!((call.cluster.as_str(), call.authority.as_str()), ("tidegate", "t.example.com"));
}

#[test]
fn the_filter_splits_users_and_counts_by_cluster() {
    let (mut vm, root) = plugin(PLUGIN);
    assert_eq!(answer(&mut vm, root, Some(&mesh("c1", 500_000).to_string())), "");
    let mut candidates = 0;
    for user in 0..100 {
        let user = format!("u{user}");
        let is_candidate = tidegate_core::bucket::bucket(b"order/1", user.as_bytes()) < 500_000;
        candidates += u32::from(is_candidate);
        let headers: &[(&str, &[u8])] = &[("x-user-id", user.as_bytes())];
        let set = tokens(&mut vm, root, STABLE, headers);
        assert_eq!(set, if is_candidate { vec![V2] } else { vec![] });
        // A client cannot choose by the token of the other version.
        let forged: &[(&str, &[u8])] =
            &[("x-user-id", user.as_bytes()), (VERSION, V2.as_bytes()), (BUCKET, b"0")];
        let set = tokens(&mut vm, root, CANDIDATE, forged);
        assert_eq!(set, if is_candidate { [V2] } else { [V1] });
    }
    assert!((30..70).contains(&candidates), "{candidates}");
    let pinned: &[(&str, &[u8])] = &[("x-user-id", b"u1"), ("x-beta", b"yes")];
    assert_eq!(tokens(&mut vm, root, STABLE, pinned), [V2]);
    for other in ["inbound|80||", "PassthroughCluster", "outbound|80||user.default.svc"] {
        assert!(tokens(&mut vm, root, other, &[]).is_empty(), "{other}");
    }
    let mut server = ReportServer::default();
    flush_reports(&mut vm, root, &mut server);
    assert_eq!(server.version("order", "v1").requests, 101);
    assert_eq!(server.version("order", "v2").requests, 100);
}

#[test]
fn a_request_on_the_right_route_is_not_changed() {
    let (mut vm, root) = plugin(PLUGIN);
    answer(&mut vm, root, Some(&mesh("c1", 0).to_string()));
    let headers: &[(&str, &[u8])] = &[("x-user-id", b"u1")];
    let stable = routed(&mut vm, STABLE, headers);
    vm.host().counts.clear();
    let done = vm.exchange(root, stable).unwrap();
    assert_eq!((done.request.len(), done.response.len()), (2, 1));
    // Every change of a request header makes Envoy select the route anew.
    for change in ["proxy_add_header_map_value", "proxy_remove_header_map_value"] {
        assert_eq!(vm.host().counts.get(change), None);
    }
}

#[test]
fn a_response_replaces_the_configuration_and_an_unusable_one_does_not() {
    let (mut vm, root) = plugin(PLUGIN);
    answer(&mut vm, root, Some(&mesh("c1", 1_000_000).to_string()));
    let headers: &[(&str, &[u8])] = &[("x-user-id", b"u1")];
    assert_eq!(tokens(&mut vm, root, STABLE, headers), [V2]);
    let mut foreign = mesh("c9", 0);
    foreign["fleet"] = json!("other");
    for unusable in ["{}".to_owned(), config().to_string(), foreign.to_string()] {
        for _ in 0..2 {
            assert_eq!(answer(&mut vm, root, Some(&unusable)), "c1");
        }
        assert_eq!(tokens(&mut vm, root, STABLE, headers), [V2]);
    }
    let rejected = vm.host().logs.iter().filter(|line| line.text.contains("rejected")).count();
    assert_eq!(rejected, 2, "each reason once: {:?}", vm.host().logs);
    let report = respond(&mut vm, root, Some(&mesh("c2", 0).to_string()));
    assert_eq!(report.config_error, "it is for another mesh or fleet");
    assert!(tokens(&mut vm, root, STABLE, headers).is_empty());
    let report = respond(&mut vm, root, None);
    assert_eq!((report.config_version.as_str(), report.config_error.as_str()), ("c2", ""));
}

#[test]
fn a_configuration_is_acknowledged_without_waiting_for_the_interval() {
    let (mut vm, root) = plugin(PLUGIN);
    answer(&mut vm, root, Some(&mesh("c1", 0).to_string()));
    let calls = vm.host().take_calls();
    let [call] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(call.report().unwrap().config_version, "c1");
}

#[test]
fn an_edited_plugin_configuration_keeps_the_decisions() {
    let (mut vm, old) = plugin(PLUGIN);
    answer(&mut vm, old, Some(&mesh("c1", 1_000_000).to_string()));
    let edited = r#"{"fleet":"mesh","note":"edited","report":{"cluster":"tidegate"}}"#;
    let new = vm.root(edited).unwrap().unwrap();
    for root in [new, old] {
        assert_eq!(tokens(&mut vm, root, STABLE, &[("x-user-id", b"u1")]), [V2]);
    }
    // The newest root reports to its own upstream, and an older one has what the report brings.
    assert_eq!(answer(&mut vm, new, Some(&mesh("c2", 0).to_string())), "c1");
    for root in [new, old] {
        assert!(tokens(&mut vm, root, STABLE, &[("x-user-id", b"u1")]).is_empty());
    }
    vm.delete(old).unwrap();
    assert_eq!(answer(&mut vm, new, None), "c2");
    // The configuration of one fleet is not used for another.
    answer(&mut vm, new, Some(&mesh("c3", 1_000_000).to_string()));
    assert_eq!(answer(&mut vm, new, None), "c3");
    let other = vm.root(r#"{"fleet":"other","report":{"cluster":"tidegate"}}"#).unwrap().unwrap();
    assert!(tokens(&mut vm, other, STABLE, &[("x-user-id", b"u1")]).is_empty());
    assert_eq!(answer(&mut vm, other, None), "");
}

#[test]
fn decisions_continue_without_a_control_plane() {
    let (mut vm, root) = plugin(PLUGIN);
    answer(&mut vm, root, Some(&mesh("c1", 1_000_000).to_string()));
    vm.host().clusters.clear();
    for _ in 0..10 {
        vm.tick_after(root, 10_000).unwrap();
        assert_eq!(tokens(&mut vm, root, STABLE, &[("x-user-id", b"u1")]), [V2]);
    }
    vm.host().clusters.insert(CLUSTER.to_owned());
    let mut server = ReportServer::default();
    flush_reports(&mut vm, root, &mut server);
    assert_eq!(server.version("order", "v1").requests, 10);
}

#[test]
fn in_tidegates_own_mesh_a_broken_configuration_is_still_rejected() {
    let (mut vm, root) = configured(1);
    for broken in [r#"{"version":"c2","services":[]}"#, r#"{"version":"c2","serv"#] {
        assert_eq!(vm.root(broken).unwrap(), None, "{broken}");
    }
    vm.tick_after(root, 1_000).unwrap();
    let call = vm.host().take_calls().remove(0);
    assert_eq!((call.cluster.as_str(), call.authority.as_str()), ("tidegate", "tidegate"));
    assert!(!call.report().unwrap().config_requested);
}
