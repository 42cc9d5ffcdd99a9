//! Configurations: how they come, change and go.

use crate::host::ReportServer;
use prost::Message as _;
use serde_json::json;
use tidegate_proto::report::v1::ReportResponse;

use crate::support::{config, configured, exchange, settle, values, vm};

#[test]
fn bad_configurations_are_refused_and_the_log_says_why() {
    let bad = [
        ("", "not what was expected"),
        ("null", "not what was expected"),
        ("{\"version\": 1}", "not what was expected"),
        ("\u{1f600}", "not what was expected"),
    ];
    let mut cluster = config();
    cluster["report"]["cluster"] = json!("envoy");
    let mut flags = config();
    flags["flags"]["flags"]["beta"]["targeting"] = json!({"nope": 1});
    let cluster = cluster.to_string();
    let flags = flags.to_string();
    let huge = " ".repeat((4 << 20) + 1);
    let bad = bad.into_iter().chain([
        (cluster.as_str(), "call the cluster something else"),
        (flags.as_str(), "flags.beta.targeting.nope: operator `nope` is unknown"),
        (huge.as_str(), "larger than"),
    ]);
    let mut vm = vm(1);
    for (config, reason) in bad {
        assert_eq!(vm.root(config).unwrap(), None);
        let last = vm.world().logs.last().unwrap();
        assert!(last.level == 4 && last.text.contains(reason), "{last:?}");
    }
    assert!(vm.world().calls.is_empty());
}

#[test]
fn configuring_a_canary_has_no_effect_outside() {
    let (mut vm, root) = configured(1);
    assert!(vm.world().calls.is_empty());
    vm.delete(root).unwrap();
    assert!(vm.world().calls.is_empty());
    let errors: Vec<_> = vm.world().logs.iter().filter(|l| l.level > 2).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn counts_outlive_a_change_of_configuration() {
    let (mut vm, old) = configured(1);
    let in_flight = vm.open(old, exchange(&[]).headers).unwrap();
    vm.on_request_headers(in_flight).unwrap();
    vm.exchange(old, exchange(&[])).unwrap();

    let mut newer = config();
    newer["version"] = json!("c2");
    newer["services"][0]["release"] = json!("r2");
    let new = vm.root(&newer.to_string()).unwrap().unwrap();
    vm.exchange(new, exchange(&[])).unwrap();
    // The old root's last request ends after the change: it belongs to the release it began under.
    vm.close(in_flight, &exchange(&[]).finish).unwrap();
    vm.delete(old).unwrap();

    vm.tick_after(new, 1000).unwrap();
    let calls = vm.world().take_calls();
    assert_eq!(calls.len(), 1);
    let report = calls[0].report().unwrap();
    assert_eq!((report.config_version.as_str(), report.sequence), ("c2", 1));
    let counted: Vec<_> = report.counts.iter().map(|c| (c.release.as_str(), c.requests)).collect();
    assert_eq!(counted, [("r1", 2), ("r2", 1)]);
}

#[test]
fn only_the_newest_root_reports_and_an_older_one_steps_in() {
    let (mut vm, old) = configured(1);
    let new = vm.root(&config().to_string()).unwrap().unwrap();
    vm.tick_after(old, 1000).unwrap();
    assert!(vm.world().take_calls().is_empty());
    vm.tick_after(new, 1000).unwrap();
    let lost = vm.world().take_calls();
    assert_eq!(lost.len(), 1);
    // The newer root goes, and its call with it: Envoy reuses a root that still has requests.
    vm.delete(new).unwrap();
    vm.tick_after(old, 1000).unwrap();
    let again = vm.world().take_calls();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].message, lost[0].message);
}

#[test]
fn a_standalone_filter_takes_its_configuration_from_the_reply() {
    let mut vm = vm(1);
    let mut first = config();
    first["standalone"] = json!(true);
    let root = vm.root(&first.to_string()).unwrap().unwrap();
    let reply = |config: &str| {
        ReportResponse { acknowledged: u64::MAX, interval_ms: 100, config: Some(config.to_owned()) }
            .encode_to_vec()
    };
    let mut second = first.clone();
    second["version"] = json!("c2");
    second["services"][0]["salt"] = json!("other");

    vm.tick_after(root, 1000).unwrap();
    let call = vm.world().take_calls().remove(0);
    assert!(call.report().unwrap().config_requested);
    vm.answer(root, call.token, reply(&second.to_string())).unwrap();
    assert_eq!(vm.world().tick_period, Some(100));
    let done = vm.exchange(root, exchange(&[("x-user-id", b"u")])).unwrap();
    let bucket = tidegate_core::bucket::bucket(b"other", b"u").to_string();
    assert_eq!(values(&done, "x-tidegate-bucket"), [bucket.as_str()]);

    // A configuration that is none changes nothing.
    vm.tick_after(root, 1000).unwrap();
    let call = vm.world().take_calls().remove(0);
    assert_eq!(call.report().unwrap().config_version, "c2");
    vm.answer(root, call.token, reply("{}")).unwrap();
    let done = vm.exchange(root, exchange(&[("x-user-id", b"u")])).unwrap();
    assert_eq!(values(&done, "x-tidegate-bucket"), [bucket]);
}

#[test]
fn behind_our_own_xds_a_reply_changes_nothing() {
    let (mut vm, root) = configured(1);
    vm.tick_after(root, 1000).unwrap();
    let call = vm.world().take_calls().remove(0);
    assert!(!call.report().unwrap().config_requested);
    let mut other = config();
    other["services"][0]["salt"] = json!("other");
    let answer =
        ReportResponse { acknowledged: 1, interval_ms: 250, config: Some(other.to_string()) };
    vm.answer(root, call.token, answer.encode_to_vec()).unwrap();
    let done = vm.exchange(root, exchange(&[("x-user-id", b"u")])).unwrap();
    let bucket = tidegate_core::bucket::bucket(b"order/1", b"u").to_string();
    assert_eq!(values(&done, "x-tidegate-bucket"), [bucket]);
}

#[test]
fn an_envoy_without_a_node_id_reports_all_the_same() {
    let mut vm = vm(9);
    let root = vm.root(&config().to_string()).unwrap().unwrap();
    vm.exchange(root, exchange(&[])).unwrap();
    vm.tick_after(root, 1000).unwrap();
    let report = vm.world().calls[0].report().unwrap();
    assert_eq!(report.node_id, format!("unnamed-{:016x}", report.instance));
    let mut server = ReportServer::default();
    settle(&mut vm, root, &mut server);
    assert_eq!(server.version("order", "v1").requests, 1);
}
