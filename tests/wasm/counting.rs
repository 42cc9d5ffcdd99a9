//! Outcomes: which version a request counts for, and as what.

use crate::host::{Finish, ReportServer, Sums, Vm};

use crate::support::{configured, ending, exchange, settle};

fn sums(vm: &mut Vm, root: u32, version: &str) -> Sums {
    let mut server = ReportServer::default();
    settle(vm, root, &mut server);
    server.version("order", version)
}

fn status(code: u64) -> Finish {
    Finish { code, millis: 5, ..Finish::default() }
}

#[test]
fn outcomes_are_told_apart() {
    let (mut vm, root) = configured(1);
    for code in [200, 204, 302, 404, 500, 503, 0] {
        vm.exchange(root, ending(status(code))).unwrap();
    }
    let client_left = Finish { flags: 1 << 14, ..status(0) };
    vm.exchange(root, ending(client_left)).unwrap();
    let rate_limited = Finish { flags: 1 << 11, ..status(429) };
    vm.exchange(root, ending(rate_limited)).unwrap();
    assert_eq!(
        sums(&mut vm, root, "v1"),
        Sums { requests: 7, errors: 3, client_errors: 1, cancelled: 1 }
    );
}

#[test]
fn the_cluster_that_served_is_counted_not_the_decision() {
    let (mut vm, root) = configured(1);
    for cluster in ["order/v2", "order/v2", "order/v1"] {
        let finish = Finish { cluster: Some(cluster.to_owned()), ..status(200) };
        vm.exchange(root, ending(finish)).unwrap();
    }
    for cluster in ["other/v1", "order", "", "outbound|80|v2|elsewhere"] {
        let finish = Finish { cluster: Some(cluster.to_owned()), ..status(200) };
        vm.exchange(root, ending(finish)).unwrap();
    }
    let mut server = ReportServer::default();
    settle(&mut vm, root, &mut server);
    assert_eq!(server.version("order", "v1").requests, 1);
    assert_eq!(server.version("order", "v2").requests, 2);
    assert_eq!(server.sums.len(), 2, "{:?}", server.sums);
    assert!(server.sums.keys().all(|(_, _, release)| release == "r1"));
}

#[test]
fn grpc_status_counts_only_for_grpc() {
    let (mut vm, root) = configured(1);
    let unavailable = Finish { grpc_status: Some(14), ..status(200) };
    // Envoy makes up a gRPC status for any request.
    vm.exchange(root, ending(unavailable.clone())).unwrap();
    let mut grpc = ending(unavailable);
    grpc.headers.push(("content-type".into(), b"application/grpc+proto".to_vec()));
    vm.exchange(root, grpc).unwrap();
    let sums = sums(&mut vm, root, "v1");
    assert_eq!((sums.requests, sums.errors), (2, 1));
}

#[test]
fn a_filter_that_answered_before_us_is_no_versions_doing() {
    let (mut vm, root) = configured(1);
    let mut early = exchange(&[("x-user-id", b"u1")]);
    early.reaches_filter = false;
    early.finish.code = 503;
    vm.exchange(root, early).unwrap();
    assert_eq!(sums(&mut vm, root, "v1"), Sums::default());
}

#[test]
fn durations_arrive_in_the_histogram() {
    let (mut vm, root) = configured(1);
    let slow = Finish { millis: 3_000, ..status(200) };
    vm.exchange(root, ending(status(200))).unwrap();
    vm.exchange(root, ending(slow)).unwrap();
    vm.tick_after(root, 1000).unwrap();
    let report = vm.world().take_calls()[0].report().unwrap();
    let histogram = report.counts[0].latency.as_ref().unwrap();
    let histogram = tidegate_core::histogram::Histogram::try_from(histogram).unwrap();
    assert_eq!(histogram.total(), 2);
    assert_eq!(histogram.count_above(std::time::Duration::from_secs(2)), 1);
}
