//! Counting: the version and the outcome that a request is counted for.

use crate::host::{Completion, ReportServer, VersionTotals, Vm};

use crate::support::{config, configured, exchange, exchange_with, flush_reports};
use tidegate_proto::report::v1::{Histogram, VersionCounts};

fn totals(vm: &mut Vm, root: u32, version: &str) -> VersionTotals {
    let mut server = ReportServer::default();
    flush_reports(vm, root, &mut server);
    server.version("order", version)
}

fn status(code: u64) -> Completion {
    Completion { code, millis: 5, ..Completion::default() }
}

#[test]
fn requests_are_counted_by_outcome() {
    let (mut vm, root) = configured(1);
    for code in [200, 204, 302, 404, 500, 503, 0] {
        vm.exchange(root, exchange_with(status(code))).unwrap();
    }
    let client_left = Completion { flags: 1 << 14, ..status(0) };
    vm.exchange(root, exchange_with(client_left)).unwrap();
    let rate_limited = Completion { flags: 1 << 11, ..status(429) };
    vm.exchange(root, exchange_with(rate_limited)).unwrap();
    assert_eq!(
        totals(&mut vm, root, "v1"),
        VersionTotals { requests: 7, errors: 3, client_errors: 1, cancelled: 1 }
    );
}

#[test]
fn requests_count_for_the_upstream_cluster_not_for_the_decision() {
    let (mut vm, root) = configured(1);
    for cluster in ["order/v2", "order/v2", "order/v1"] {
        let completion = Completion { cluster: Some(cluster.to_owned()), ..status(200) };
        vm.exchange(root, exchange_with(completion)).unwrap();
    }
    for cluster in ["other/v1", "order", "", "outbound|80|v2|elsewhere"] {
        let completion = Completion { cluster: Some(cluster.to_owned()), ..status(200) };
        vm.exchange(root, exchange_with(completion)).unwrap();
    }
    let mut server = ReportServer::default();
    flush_reports(&mut vm, root, &mut server);
    assert_eq!(server.version("order", "v1").requests, 1);
    assert_eq!(server.version("order", "v2").requests, 2);
    assert_eq!(server.totals.len(), 2, "{:?}", server.totals);
    assert!(server.totals.keys().all(|(_, _, release)| release == "r1"));
}

#[test]
fn a_grpc_status_counts_only_for_grpc_requests() {
    let (mut vm, root) = configured(1);
    let unavailable = Completion { grpc_status: Some(14), ..status(200) };
    // Envoy derives a gRPC status for every request.
    vm.exchange(root, exchange_with(unavailable.clone())).unwrap();
    let mut grpc = exchange_with(unavailable);
    grpc.headers.push(("content-type".into(), b"application/grpc+proto".to_vec()));
    vm.exchange(root, grpc).unwrap();
    let totals = totals(&mut vm, root, "v1");
    assert_eq!((totals.requests, totals.errors), (2, 1));
}

#[test]
fn responses_of_earlier_filters_are_not_counted() {
    let (mut vm, root) = configured(1);
    let mut early = exchange(&[("x-user-id", b"u1")]);
    early.reaches_filter = false;
    early.completion.code = 503;
    vm.exchange(root, early).unwrap();
    assert_eq!(totals(&mut vm, root, "v1"), VersionTotals::default());
}

#[test]
fn durations_are_reported_in_the_histogram() {
    let (mut vm, root) = configured(1);
    let slow = Completion { millis: 3_000, ..status(200) };
    vm.exchange(root, exchange_with(status(200))).unwrap();
    vm.exchange(root, exchange_with(slow)).unwrap();
    vm.tick_after(root, 1000).unwrap();
    let report = vm.host().take_calls()[0].report().unwrap();
    let histogram = report.counts[0].latency.as_ref().unwrap();
    let histogram = tidegate_core::histogram::Histogram::try_from(histogram).unwrap();
    assert_eq!(histogram.total(), 2);
    assert_eq!(histogram.count_above(std::time::Duration::from_secs(2)), 1);
}

/// The counts of order/v1 in the next report.
fn reported(vm: &mut Vm, root: u32) -> VersionCounts {
    vm.tick_after(root, 1000).unwrap();
    let mut report = vm.host().take_calls()[0].report().unwrap();
    report.counts.remove(0)
}

fn header(name: &str, value: &str) -> Vec<(String, Vec<u8>)> {
    vec![(name.to_owned(), value.as_bytes().to_vec())]
}

#[test]
fn orca_load_is_reported_while_a_release_runs() {
    let (mut vm, root) = configured(1);
    let text = "TEXT cpu_utilization=0.97,mem_utilization=0.5,named_metrics.disk_utilization=0.81";
    let busy =
        Completion { response_headers: header("endpoint-load-metrics", text), ..status(200) };
    vm.exchange(root, exchange_with(busy.clone())).unwrap();
    // A gRPC service sends it in the trailers: `OrcaLoadReport{cpu_utilization: 0.5}`.
    let trailers = header("endpoint-load-metrics-bin", "CQAAAAAAAOA/");
    let mut grpc = exchange_with(Completion { trailers, ..status(200) });
    grpc.headers.push(("content-type".to_owned(), b"application/grpc".to_vec()));
    vm.exchange(root, grpc).unwrap();
    vm.exchange(root, exchange_with(status(200))).unwrap();
    vm.exchange(root, exchange_with(status(0))).unwrap();
    let counts = reported(&mut vm, root);
    let samples = |sparse: Option<Histogram>| sparse.unwrap_or_default().index;
    assert_eq!(counts.requests, 4);
    assert_eq!(samples(counts.cpu), [50, 97]);
    assert_eq!((samples(counts.memory), samples(counts.disk)), (vec![50], vec![81]));

    let mut idle = config();
    idle["services"][0]["release"] = "".into();
    let root = vm.root(&idle.to_string()).unwrap().unwrap();
    vm.exchange(root, exchange_with(busy)).unwrap();
    let mut server = ReportServer::default();
    flush_reports(&mut vm, root, &mut server);
    assert_eq!(server.version("order", "v1").requests, 5, "the first report is retransmitted");
}

#[test]
fn business_metrics_match_method_path_status_and_header() {
    let (mut vm, root) = configured(1);
    let order = |path: &str, code: u64, outcome: &str| {
        let response_headers =
            if outcome.is_empty() { Vec::new() } else { header("x-outcome", outcome) };
        let mut exchange = exchange_with(Completion { response_headers, ..status(code) });
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
        exchange_with(status(200)),
    ] {
        vm.exchange(root, exchange).unwrap();
    }
    let counts = reported(&mut vm, root);
    let [orders] = counts.business.as_slice() else { panic!("{counts:?}") };
    assert_eq!((orders.rule.as_str(), orders.requests, orders.bad), ("order_success", 4, 3));
}
