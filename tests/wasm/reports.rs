//! Reports: at least once on the wire, exactly once in the sums.

use std::{sync::mpsc, thread};

use crate::host::ReportServer;
use prost::Message as _;

use crate::support::{config, configured, exchange, settle};

#[test]
fn a_report_says_who_and_what() {
    let (mut vm, root) = configured(1);
    assert_eq!(vm.world().tick_period, Some(250));
    vm.exchange(root, exchange(&[])).unwrap();
    vm.tick_after(root, 250).unwrap();
    let call = vm.world().take_calls().remove(0);
    assert_eq!(call.cluster, "tidegate");
    assert_eq!(call.method, "tidegate.report.v1.ReportService/Report");
    assert_eq!(call.timeout_millis, 2000);
    let report = call.report().unwrap();
    assert_eq!((report.node_id.as_str(), report.fleet.as_str()), ("edge-1", "demo"));
    assert_eq!(report.config_version, "c1");
}

#[test]
fn an_unanswered_report_is_sent_again_as_it_was() {
    let (mut vm, root) = configured(1);
    vm.exchange(root, exchange(&[])).unwrap();
    vm.tick_after(root, 250).unwrap();
    let first = vm.world().take_calls().remove(0);
    vm.exchange(root, exchange(&[])).unwrap();
    vm.fail(root, first.token, 14).unwrap();
    vm.tick_after(root, 250).unwrap();
    let again = vm.world().take_calls().remove(0);
    assert_eq!(again.message, first.message);
    // An answer to a call that was given up is nobody's.
    vm.fail(root, first.token, 14).unwrap();
    assert!(vm.world().take_calls().is_empty());
}

#[test]
fn an_unknown_cluster_is_tried_again_until_it_is_there() {
    let (mut vm, root) = configured(1);
    vm.world().clusters.clear();
    vm.exchange(root, exchange(&[])).unwrap();
    for _ in 0..20 {
        vm.tick_after(root, 250).unwrap();
    }
    let warnings = vm.world().logs.iter().filter(|line| line.level == 3);
    assert_eq!(warnings.count(), 1, "one line in ten seconds");
    vm.world().clusters.insert("tidegate".to_owned());
    let mut server = ReportServer::default();
    settle(&mut vm, root, &mut server);
    assert_eq!(server.version("order", "v1").requests, 1);
}

#[test]
fn a_refused_report_makes_way_for_the_next() {
    let (mut vm, root) = configured(1);
    vm.exchange(root, exchange(&[])).unwrap();
    vm.tick_after(root, 250).unwrap();
    let refused = vm.world().take_calls().remove(0);
    vm.fail(root, refused.token, 3).unwrap();
    vm.tick_after(root, 1000).unwrap();
    let next = vm.world().take_calls().remove(0).report().unwrap();
    assert_eq!((next.sequence, next.dropped), (2, 1));
}

#[test]
fn memory_is_bounded_whatever_clusters_serve() {
    let (mut vm, root) = configured(1);
    for version in 0..600 {
        let mut exchange = exchange(&[("x-user-id", b"u")]);
        exchange.finish.cluster = Some(format!("order/v{version}"));
        vm.exchange(root, exchange).unwrap();
    }
    vm.tick_after(root, 250).unwrap();
    let report = vm.world().take_calls().remove(0).report().unwrap();
    assert_eq!((report.counts.len(), report.dropped), (512, 88));
}

/// Four VMs on four threads, a network that loses requests and answers, one server.
#[test]
fn threads_in_parallel_are_counted_exactly_once() {
    const THREADS: u64 = 4;
    const REQUESTS: u64 = 60;
    let (to_server, reports) = mpsc::channel();
    let threads: Vec<_> = (0..THREADS)
        .map(|seed| {
            let to_server = to_server.clone();
            thread::spawn(move || {
                let (mut vm, mut root) = configured(seed);
                let reply = |report| {
                    let (answer_to, answer) = mpsc::channel();
                    to_server.send((report, answer_to)).unwrap();
                    answer.recv().unwrap()
                };
                for request in 0..REQUESTS {
                    vm.exchange(root, exchange(&[])).unwrap();
                    if request == REQUESTS / 2 {
                        // In the middle a new configuration comes.
                        let old = root;
                        root = vm.root(&config().to_string()).unwrap().unwrap();
                        vm.delete(old).unwrap();
                    }
                    vm.tick_after(root, 250).unwrap();
                    for call in vm.world().take_calls() {
                        let fate = (request + seed) % 4;
                        if fate == 0 {
                            // The request is lost.
                            vm.fail(root, call.token, 14).unwrap();
                            continue;
                        }
                        let answer: Vec<u8> = reply(call.report().unwrap());
                        if fate == 1 {
                            // The answer is lost: the server has counted.
                            vm.fail(root, call.token, 4).unwrap();
                        } else {
                            vm.answer(root, call.token, answer).unwrap();
                        }
                    }
                }
                for _ in 0..3 {
                    vm.tick_after(root, 10_000).unwrap();
                    for call in vm.world().take_calls() {
                        let answer: Vec<u8> = reply(call.report().unwrap());
                        vm.answer(root, call.token, answer).unwrap();
                    }
                }
            })
        })
        .collect();
    drop(to_server);
    let mut server = ReportServer::default();
    for (report, answer_to) in reports {
        let answer = server.receive(&report).encode_to_vec();
        answer_to.send(answer).unwrap();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(server.instances(), 4);
    assert_eq!(server.version("order", "v1").requests, THREADS * REQUESTS);
}
