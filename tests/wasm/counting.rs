//! Outcomes: which version a request counts for, and as what.

use crate::host::{Finish, ReportServer, Sums, Vm};

use crate::support::{config, configured, ending, exchange, settle};
use tidegate_proto::report::v1::{Histogram, VersionCounts};

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

/// What the one report said of order/v1.
fn reported(vm: &mut Vm, root: u32) -> VersionCounts {
    vm.tick_after(root, 1000).unwrap();
    let mut report = vm.world().take_calls()[0].report().unwrap();
    report.counts.remove(0)
}

fn header(name: &str, value: &str) -> Vec<(String, Vec<u8>)> {
    vec![(name.to_owned(), value.as_bytes().to_vec())]
}

#[test]
fn how_busy_an_instance_says_it_is_comes_along_while_a_release_runs() {
    let (mut vm, root) = configured(1);
    let text = "TEXT cpu_utilization=0.97,mem_utilization=0.5,named_metrics.disk_utilization=0.81";
    let busy = Finish { answer: header("endpoint-load-metrics", text), ..status(200) };
    vm.exchange(root, ending(busy.clone())).unwrap();
    // A gRPC service says it in its trailers: `OrcaLoadReport{cpu_utilization: 0.5}`.
    let trailers = header("endpoint-load-metrics-bin", "CQAAAAAAAOA/");
    let mut grpc = ending(Finish { trailers, ..status(200) });
    grpc.headers.push(("content-type".to_owned(), b"application/grpc".to_vec()));
    vm.exchange(root, grpc).unwrap();
    vm.exchange(root, ending(status(200))).unwrap();
    vm.exchange(root, ending(status(0))).unwrap();
    let counts = reported(&mut vm, root);
    let samples = |sparse: Option<Histogram>| sparse.unwrap_or_default().index;
    assert_eq!(counts.requests, 4);
    assert_eq!(samples(counts.cpu), [50, 97]);
    assert_eq!((samples(counts.memory), samples(counts.disk)), (vec![50], vec![81]));

    let mut idle = config();
    idle["services"][0]["release"] = "".into();
    let root = vm.root(&idle.to_string()).unwrap().unwrap();
    vm.exchange(root, ending(busy)).unwrap();
    let mut server = ReportServer::default();
    settle(&mut vm, root, &mut server);
    assert_eq!(server.version("order", "v1").requests, 5, "the first report is sent again");
}

#[test]
fn business_is_counted_by_method_path_status_and_header() {
    let (mut vm, root) = configured(1);
    let order = |path: &str, code: u64, outcome: &str| {
        let answer = if outcome.is_empty() { Vec::new() } else { header("x-outcome", outcome) };
        let mut exchange = ending(Finish { answer, ..status(code) });
        exchange.headers.push((":method".to_owned(), b"POST".to_vec()));
        exchange.headers.push((":path".to_owned(), path.as_bytes().to_vec()));
        exchange
    };
    for exchange in [
        order("/orders?x=1", 201, "placed"),
        order("/orders", 200, "out-of-stock"),
        order("/orders", 402, "placed"),
        order("/orders", 0, ""),
        order("/baskets", 500, ""),
        ending(status(200)),
    ] {
        vm.exchange(root, exchange).unwrap();
    }
    let counts = reported(&mut vm, root);
    let [orders] = counts.business.as_slice() else { panic!("{counts:?}") };
    assert_eq!((orders.rule.as_str(), orders.requests, orders.bad), ("order_success", 4, 3));
}
