//! Counting: the version and the outcome that a request is counted for.

use crate::host::{Completion, Exchange, ReportServer, VersionTotals, Vm};

use crate::support::{config, configured, exchange, exchange_with, flush_reports};
use tidegate_core::bucket::bucket;
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
fn a_grpc_status_counts_only_for_grpc_responses() {
    let (mut vm, root) = configured(1);
    let with = |content_type: &str, trailers| Completion {
        response_headers: header("content-type", content_type),
        trailers,
        ..status(200)
    };
    let unavailable = || header("grpc-status", "14");
    // What the request says does not count: gRPC-Web has its status in the body.
    let mut web = exchange_with(with("application/grpc-web+proto", Vec::new()));
    web.headers.push(("content-type".into(), b"application/grpc-web+proto".to_vec()));
    vm.exchange(root, web).unwrap();
    let mut json = exchange_with(with("application/json", Vec::new()));
    json.headers.push(("content-type".into(), b"application/grpc".to_vec()));
    vm.exchange(root, json).unwrap();
    vm.exchange(root, exchange_with(with("application/grpc+proto", header("grpc-status", "0"))))
        .unwrap();
    vm.exchange(root, exchange_with(with("application/grpc+proto", unavailable()))).unwrap();
    let totals = totals(&mut vm, root, "v1");
    assert_eq!((totals.requests, totals.errors), (4, 1));
}

#[test]
fn an_incomplete_response_is_an_error_behind_any_status() {
    let (mut vm, root) = configured(1);
    // UT, UR, UC, UPE.
    for flag in [2, 4, 6, 23] {
        let truncated = Completion { flags: 1 << flag, ..status(200) };
        vm.exchange(root, exchange_with(truncated)).unwrap();
    }
    vm.exchange(root, exchange_with(status(200))).unwrap();
    let by_envoy = Completion { details: Some("request_payload_too_large"), ..status(413) };
    vm.exchange(root, exchange_with(by_envoy)).unwrap();
    let totals = totals(&mut vm, root, "v1");
    assert_eq!((totals.requests, totals.errors, totals.client_errors), (5, 4, 0));
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

/// The number of requests that took at least so many seconds.
fn at_least(sparse: Option<&Histogram>, seconds: u64) -> u64 {
    let histogram = sparse.map(|it| tidegate_core::histogram::Histogram::try_from(it).unwrap());
    histogram.map_or(0, |it| it.count_above(std::time::Duration::from_secs(seconds)))
}

#[test]
fn the_time_of_the_clients_upload_is_not_the_versions() {
    let (mut vm, root) = configured(1);
    let exchange = exchange_with(status(200));
    let context = vm.open(root, exchange.headers).unwrap();
    vm.on_headers_before_body(context).unwrap();
    for part in 0..12 {
        vm.host().advance(1_000);
        vm.on_request_body(context, part == 11).unwrap();
    }
    vm.host().advance(20);
    vm.on_response_headers(context).unwrap();
    // Neither is the time of its download.
    vm.host().advance(30_000);
    vm.close(context, &exchange.completion).unwrap();
    let counts = reported(&mut vm, root);
    assert_eq!((counts.requests, at_least(counts.latency.as_ref(), 1)), (1, 0));
    assert_eq!(counts.latency.unwrap().index.len(), 1);
}

#[test]
fn a_client_that_gives_up_is_counted_with_the_time_that_it_waited() {
    let (mut vm, root) = configured(1);
    let left = Completion { flags: 1 << 14, code: 0, millis: 2_100, ..status(0) };
    vm.exchange(root, exchange_with(left.clone())).unwrap();
    // One that leaves in the middle of its request waited for nothing.
    let unsent = vm.open(root, exchange_with(left.clone()).headers).unwrap();
    vm.on_headers_before_body(unsent).unwrap();
    vm.host().advance(60_000);
    vm.close(unsent, &exchange_with(left).completion).unwrap();
    let counts = reported(&mut vm, root);
    assert_eq!((counts.requests, counts.cancelled), (0, 2));
    assert_eq!(counts.abandoned.as_ref().map(|it| it.count.clone()), Some(vec![1]));
    assert_eq!(at_least(counts.abandoned.as_ref(), 2), 1);
}

#[test]
fn a_request_without_a_response_is_reported_while_it_waits() {
    let (mut vm, root) = configured(1);
    let mut contexts = Vec::new();
    for cluster in ["order/v2", "order/v2", "elsewhere"] {
        let context = vm.open(root, exchange_with(status(200)).headers).unwrap();
        vm.set_route(context, cluster);
        vm.on_request_headers(context).unwrap();
        contexts.push(context);
    }
    // One that is still sent does not wait.
    let sending = vm.open(root, exchange_with(status(200)).headers).unwrap();
    vm.set_route(sending, "order/v2");
    vm.on_headers_before_body(sending).unwrap();
    let waiting = |vm: &mut Vm, seconds| {
        vm.tick_after(root, 1_000).unwrap();
        let calls = vm.host().take_calls();
        let Some(call) = calls.first() else { return Vec::new() };
        let report = call.report().unwrap();
        let response = ReportServer::default().receive(&report);
        vm.respond(root, call.token, prost::Message::encode_to_vec(&response)).unwrap();
        let each = report.counts.iter();
        each.map(|it| (it.version.clone(), it.requests, at_least(it.waiting.as_ref(), seconds)))
            .collect::<Vec<_>>()
    };
    assert_eq!(waiting(&mut vm, 0), [("v2".to_owned(), 0, 2)]);
    assert_eq!(waiting(&mut vm, 1), [("v2".to_owned(), 0, 2)]);
    vm.on_response_headers(contexts[0]).unwrap();
    assert_eq!(waiting(&mut vm, 2), [("v2".to_owned(), 0, 1)]);
    let completion = Completion { cluster: Some("order/v2".to_owned()), ..status(200) };
    for context in &contexts[..2] {
        vm.close(*context, &completion).unwrap();
    }
    assert_eq!(waiting(&mut vm, 0), [("v2".to_owned(), 2, 0)]);
}

#[test]
fn excluded_requests_are_routed_and_not_counted() {
    let mut config = config();
    config["services"][0]["excluded"] = serde_json::json!([
        {"path": "/healthz"},
        {"prefix": "/internal/"},
        {"header": {"name": "x-probe", "value": "yes"}},
        {"user_agent": "kube-probe/"},
    ]);
    let mut vm = crate::support::vm(1);
    let root = vm.root(&config.to_string()).unwrap().unwrap();
    for headers in [
        &[(":path", b"/healthz?x=1".as_slice())],
        &[(":path", b"/internal/metrics")],
        &[("x-probe", b"yes")],
        &[("user-agent", b"kube-probe/1.31")],
        &[("user-agent", b"Envoy/HC")],
    ] {
        let done = vm.exchange(root, exchange(headers)).unwrap();
        assert!(done.request.iter().any(|(name, _)| name == "x-tidegate-bucket"), "{headers:?}");
    }
    vm.exchange(root, exchange(&[(":path", b"/orders")])).unwrap();
    // One that waits is not reported either.
    let waiting = vm.open(root, exchange(&[(":path", b"/healthz")]).headers).unwrap();
    vm.set_route(waiting, "order/v1");
    vm.on_request_headers(waiting).unwrap();
    let counts = reported(&mut vm, root);
    assert_eq!((counts.requests, counts.waiting), (1, None));
    vm.close(waiting, &exchange(&[]).completion).unwrap();
    assert_eq!(totals(&mut vm, root, "v1").requests, 1);
}

/// The counts of order/v1 in the next report.
fn reported(vm: &mut Vm, root: u32) -> VersionCounts {
    vm.tick_after(root, 1000).unwrap();
    let mut report = vm.host().take_calls()[0].report().unwrap();
    report.counts.remove(0)
}

#[test]
fn requests_of_a_client_that_failed_are_repeated() {
    let (mut vm, root) = configured(1);
    for code in [500, 500, 200, 0] {
        vm.exchange(root, exchange_with(status(code))).unwrap();
    }
    // Without identity each request is of another client.
    for _ in 0..3 {
        let failed = Completion { cluster: Some("order/v1".to_owned()), ..status(500) };
        vm.exchange(root, Exchange { completion: failed, ..exchange(&[]) }).unwrap();
    }
    let counts = reported(&mut vm, root);
    assert_eq!((counts.requests, counts.errors), (7, 6));
    assert_eq!((counts.repeated_requests, counts.repeated_errors), (3, 2));
    assert_eq!(counts.failed_clients, [bucket(b"order", b"u1")]);
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
    let mut trailers = header("endpoint-load-metrics-bin", "CQAAAAAAAOA/");
    trailers.extend(header("grpc-status", "0"));
    let response_headers = header("content-type", "application/grpc");
    let grpc = exchange_with(Completion { response_headers, trailers, ..status(200) });
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
