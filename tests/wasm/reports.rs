//! Reports: at-least-once delivery, exactly-once counts.

use std::{sync::mpsc, thread};

use crate::host::ReportServer;
use prost::Message as _;

use crate::support::{config, configured, exchange, flush_reports};

#[test]
fn a_report_carries_node_fleet_and_configuration() {
    let (mut vm, root) = configured(1);
    assert_eq!(vm.host().tick_period, Some(250));
    vm.exchange(root, exchange(&[])).unwrap();
    vm.tick_after(root, 250).unwrap();
    let call = vm.host().take_calls().remove(0);
    assert_eq!(call.cluster, "tidegate");
    assert_eq!(call.method, "tidegate.report.v1.ReportService/Report");
    assert_eq!(call.timeout_millis, 2000);
    let report = call.report().unwrap();
    assert_eq!((report.node_id.as_str(), report.fleet.as_str()), ("edge-1", "demo"));
    assert_eq!(report.config_version, "c1");
}

#[test]
fn a_failed_report_is_retransmitted_unchanged() {
    let (mut vm, root) = configured(1);
    vm.exchange(root, exchange(&[])).unwrap();
    vm.tick_after(root, 250).unwrap();
    let first = vm.host().take_calls().remove(0);
    vm.exchange(root, exchange(&[])).unwrap();
    vm.fail(root, first.token, 14).unwrap();
    vm.tick_after(root, 250).unwrap();
    let again = vm.host().take_calls().remove(0);
    assert_eq!(again.message, first.message);
    // A second result of the same call is ignored.
    vm.fail(root, first.token, 14).unwrap();
    assert!(vm.host().take_calls().is_empty());
}

#[test]
fn reports_to_an_unknown_cluster_are_retried() {
    let (mut vm, root) = configured(1);
    vm.host().clusters.clear();
    vm.exchange(root, exchange(&[])).unwrap();
    for _ in 0..20 {
        vm.tick_after(root, 250).unwrap();
    }
    let warnings = vm.host().logs.iter().filter(|line| line.level == 3);
    assert_eq!(warnings.count(), 1, "one line in ten seconds");
    vm.host().clusters.insert("tidegate".to_owned());
    let mut server = ReportServer::default();
    flush_reports(&mut vm, root, &mut server);
    assert_eq!(server.version("order", "v1").requests, 1);
}

#[test]
fn a_rejected_report_is_dropped() {
    let (mut vm, root) = configured(1);
    vm.exchange(root, exchange(&[])).unwrap();
    vm.tick_after(root, 250).unwrap();
    let rejected = vm.host().take_calls().remove(0);
    vm.fail(root, rejected.token, 3).unwrap();
    vm.tick_after(root, 1000).unwrap();
    let next = vm.host().take_calls().remove(0).report().unwrap();
    assert_eq!((next.sequence, next.dropped), (2, 1));
}

#[test]
fn the_number_of_counted_versions_is_bounded() {
    let (mut vm, root) = configured(1);
    for version in 0..600 {
        let mut exchange = exchange(&[("x-user-id", b"u")]);
        exchange.completion.cluster = Some(format!("order/v{version}"));
        vm.exchange(root, exchange).unwrap();
    }
    vm.tick_after(root, 250).unwrap();
    let report = vm.host().take_calls().remove(0).report().unwrap();
    assert_eq!((report.counts.len(), report.dropped), (512, 88));
}

/// Four VMs on four threads, a network that loses requests and responses, and one server.
#[test]
fn parallel_vms_are_counted_exactly_once() {
    const THREADS: u64 = 4;
    const REQUESTS: u64 = 60;
    let (to_server, reports) = mpsc::channel();
    let threads: Vec<_> = (0..THREADS)
        .map(|seed| {
            let to_server = to_server.clone();
            thread::spawn(move || {
                let (mut vm, mut root) = configured(seed);
                let receive = |report| {
                    let (respond_to, response) = mpsc::channel();
                    to_server.send((report, respond_to)).unwrap();
                    response.recv().unwrap()
                };
                for request in 0..REQUESTS {
                    vm.exchange(root, exchange(&[])).unwrap();
                    if request == REQUESTS / 2 {
                        // A new configuration arrives halfway.
                        let old = root;
                        root = vm.root(&config().to_string()).unwrap().unwrap();
                        vm.delete(old).unwrap();
                    }
                    vm.tick_after(root, 250).unwrap();
                    for call in vm.host().take_calls() {
                        let case = (request + seed) % 4;
                        if case == 0 {
                            // The request is lost.
                            vm.fail(root, call.token, 14).unwrap();
                            continue;
                        }
                        let response: Vec<u8> = receive(call.report().unwrap());
                        if case == 1 {
                            // The server counts the report, but the response is lost.
                            vm.fail(root, call.token, 4).unwrap();
                        } else {
                            vm.respond(root, call.token, response).unwrap();
                        }
                    }
                }
                for _ in 0..3 {
                    vm.tick_after(root, 10_000).unwrap();
                    for call in vm.host().take_calls() {
                        let response: Vec<u8> = receive(call.report().unwrap());
                        vm.respond(root, call.token, response).unwrap();
                    }
                }
            })
        })
        .collect();
    drop(to_server);
    let mut server = ReportServer::default();
    for (report, respond_to) in reports {
        let response = server.receive(&report).encode_to_vec();
        respond_to.send(response).unwrap();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(server.instances(), 4);
    assert_eq!(server.version("order", "v1").requests, THREADS * REQUESTS);
}
