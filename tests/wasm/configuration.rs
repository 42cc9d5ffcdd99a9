//! Configurations: validation, replacement and removal.

use crate::host::ReportServer;
use prost::Message as _;
use serde_json::json;
use tidegate_proto::report::v1::ReportResponse;

use crate::support::{config, configured, exchange, flush_reports, values, vm};

#[test]
fn invalid_configurations_are_rejected_and_logged() {
    let bad = [
        ("{\"version\": 1, \"services\": []}", "cannot be parsed"),
        ("{\"version\": \"c1\", \"serv", "cannot be parsed"),
    ];
    let mut cluster = config();
    cluster["report"]["cluster"] = json!("envoy");
    let mut flags = config();
    flags["flags"]["flags"]["beta"]["targeting"] = json!({"nope": 1});
    let cluster = cluster.to_string();
    let flags = flags.to_string();
    let huge = " ".repeat((4 << 20) + 1);
    let bad = bad.into_iter().chain([
        (cluster.as_str(), "rename the cluster"),
        (flags.as_str(), "flags.beta.targeting.nope: operator `nope` is unknown"),
        (huge.as_str(), "larger than"),
    ]);
    let mut vm = vm(1);
    for (config, reason) in bad {
        assert_eq!(vm.root(config).unwrap(), None);
        let last = vm.host().logs.last().unwrap();
        assert!(last.level == 4 && last.text.contains(reason), "{last:?}");
    }
    assert!(vm.host().calls.is_empty());
}

#[test]
fn a_canary_vm_sends_nothing() {
    let (mut vm, root) = configured(1);
    assert!(vm.host().calls.is_empty());
    vm.delete(root).unwrap();
    assert!(vm.host().calls.is_empty());
    let errors: Vec<_> = vm.host().logs.iter().filter(|l| l.level > 2).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn unknown_fields_are_ignored_at_every_level() {
    let mut newer = config();
    for at in [
        "",
        "/report",
        "/services/0",
        "/services/0/business/0",
        "/services/0/business/0/of",
        "/services/0/business/0/good",
        "/services/0/business/0/good/header",
        "/flags",
        "/flags/flags/beta",
    ] {
        newer.pointer_mut(at).unwrap()["future"] = json!({"nested": [1]});
    }
    let mut vm = vm(1);
    let root = vm.root(&newer.to_string()).unwrap().unwrap();
    let mut request = exchange(&[("x-user-id", b"u"), ("x-beta", b"yes")]);
    request.headers.push((":method".into(), b"POST".to_vec()));
    request.headers.push((":path".into(), b"/orders".to_vec()));
    let done = vm.exchange(root, request).unwrap();
    let bucket = tidegate_core::bucket::bucket(b"order/1", b"u").to_string();
    assert_eq!(values(&done, "x-tidegate-bucket"), [bucket]);
    assert_eq!(values(&done, "x-tidegate-version"), ["v2"]);

    vm.tick_after(root, 1000).unwrap();
    let report = vm.host().take_calls()[0].report().unwrap();
    assert_eq!(report.config_version, "c1");
    assert_eq!((report.counts[0].requests, report.counts[0].business[0].requests), (1, 1));
}

#[test]
fn counts_survive_a_configuration_change() {
    let (mut vm, old) = configured(1);
    let in_flight = vm.open(old, exchange(&[]).headers).unwrap();
    vm.on_request_headers(in_flight).unwrap();
    vm.exchange(old, exchange(&[])).unwrap();

    let mut newer = config();
    newer["version"] = json!("c2");
    newer["services"][0]["release"] = json!("r2");
    let new = vm.root(&newer.to_string()).unwrap().unwrap();
    vm.exchange(new, exchange(&[])).unwrap();
    // The old root's last request ends after the change, and counts for the release at its start.
    vm.close(in_flight, &exchange(&[]).completion).unwrap();
    vm.delete(old).unwrap();

    vm.tick_after(new, 1000).unwrap();
    let calls = vm.host().take_calls();
    assert_eq!(calls.len(), 1);
    let report = calls[0].report().unwrap();
    assert_eq!((report.config_version.as_str(), report.sequence), ("c2", 1));
    let counted: Vec<_> = report.counts.iter().map(|c| (c.release.as_str(), c.requests)).collect();
    assert_eq!(counted, [("r1", 2), ("r2", 1)]);
}

#[test]
fn only_the_newest_root_reports_and_an_older_one_takes_over() {
    let (mut vm, old) = configured(1);
    let new = vm.root(&config().to_string()).unwrap().unwrap();
    vm.tick_after(old, 1000).unwrap();
    assert!(vm.host().take_calls().is_empty());
    vm.tick_after(new, 1000).unwrap();
    let lost = vm.host().take_calls();
    assert_eq!(lost.len(), 1);
    // The newer root is deleted together with its call. Envoy reuses an older root with requests.
    vm.delete(new).unwrap();
    vm.tick_after(old, 1000).unwrap();
    let again = vm.host().take_calls();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].message, lost[0].message);
}

#[test]
fn behind_tidegates_xds_a_report_response_changes_no_configuration() {
    let (mut vm, root) = configured(1);
    vm.tick_after(root, 1000).unwrap();
    let call = vm.host().take_calls().remove(0);
    assert!(!call.report().unwrap().config_requested);
    let mut other = config();
    other["services"][0]["salt"] = json!("other");
    let response =
        ReportResponse { acknowledged: 1, interval_ms: 250, config: Some(other.to_string()) };
    vm.respond(root, call.token, response.encode_to_vec()).unwrap();
    let done = vm.exchange(root, exchange(&[("x-user-id", b"u")])).unwrap();
    let bucket = tidegate_core::bucket::bucket(b"order/1", b"u").to_string();
    assert_eq!(values(&done, "x-tidegate-bucket"), [bucket]);
}

#[test]
fn an_envoy_without_a_node_id_reports_under_a_derived_one() {
    let mut vm = vm(9);
    let root = vm.root(&config().to_string()).unwrap().unwrap();
    vm.exchange(root, exchange(&[])).unwrap();
    vm.tick_after(root, 1000).unwrap();
    let report = vm.host().calls[0].report().unwrap();
    assert_eq!(report.node_id, format!("unnamed-{:016x}", report.instance));
    let mut server = ReportServer::default();
    flush_reports(&mut vm, root, &mut server);
    assert_eq!(server.version("order", "v1").requests, 1);
}
