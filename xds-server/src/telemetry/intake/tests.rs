//! Invalid reports.

use super::*;

fn orders(requests: u64, bad: u64) -> BusinessCounts {
    BusinessCounts { rule: "order_success".into(), requests, bad }
}

fn request() -> ReportRequest {
    ReportRequest {
        node_id: "envoy-1".into(),
        fleet: "demo".into(),
        instance: 7,
        sequence: 1,
        counts: vec![VersionCounts {
            service: "order".into(),
            version: "v2".into(),
            requests: 3,
            errors: 1,
            latency: Some(Sparse { index: vec![4, 9], count: vec![1, 2] }),
            cpu: Some(Sparse { index: vec![80, 101], count: vec![1, 1] }),
            business: vec![orders(3, 1)],
            ..VersionCounts::default()
        }],
        ..ReportRequest::default()
    }
}

#[test]
fn a_valid_report_is_accepted() {
    let report = Report::try_from(request()).unwrap();
    let counts = &report.entries[0].counts;
    assert_eq!((counts.latency.total(), counts.utilization.cpu.total()), (3, 2));
    assert_eq!(counts.business["order_success"], Share { requests: 3, bad: 1 });
    assert_eq!(report.sender, Sender { node: "envoy-1".into(), instance: 7 });
}

#[test]
fn each_invalid_field_is_named() {
    type Change = fn(&mut ReportRequest);
    let cases: [(&str, Change); 29] = [
        ("`node_id` must have", |r| r.node_id.clear()),
        ("`fleet` must have", |r| r.fleet = "x".repeat(257)),
        ("`sequence` must be", |r| r.sequence = 0),
        ("`config_version` must", |r| r.config_version = "x".repeat(257)),
        ("`config_error` must have", |r| r.config_error = "x".repeat(1025)),
        ("1025 entries", |r| r.counts = vec![r.counts[0].clone(); 1025]),
        ("`counts.service` must", |r| r.counts[0].service.clear()),
        ("`counts.release` must", |r| r.counts[0].release = "x".repeat(257)),
        ("4 errors and client errors in 3", |r| r.counts[0].client_errors = 3),
        ("`counts[0].latency`: ", |r| {
            r.counts[0].latency = Some(Sparse { index: vec![9, 4], count: vec![1, 1] });
        }),
        ("`counts[0].latency` holds 9 samples of 3", |r| {
            r.counts[0].latency = Some(Sparse { index: vec![9], count: vec![9] });
        }),
        ("`counts[0].cpu`: bucket index 102", |r| {
            r.counts[0].cpu = Some(Sparse { index: vec![102], count: vec![1] });
        }),
        ("`counts[0].disk` holds 4 samples of 3", |r| {
            r.counts[0].disk = Some(Sparse { index: vec![9], count: vec![4] });
        }),
        ("`counts[0].abandoned` holds 2 samples of 1", |r| {
            r.counts[0].cancelled = 1;
            r.counts[0].abandoned = Some(Sparse { index: vec![9], count: vec![2] });
        }),
        ("`counts[0].waiting` holds 4097 samples of 4096", |r| {
            r.counts[0].waiting = Some(Sparse { index: vec![9, 90], count: vec![4096, 1] });
        }),
        ("`counts[0].waiting`: bucket index 170", |r| {
            r.counts[0].waiting = Some(Sparse { index: vec![170], count: vec![1] });
        }),
        ("2 errors in 2 repeated requests are no part of 1 errors in 3", |r| {
            (r.counts[0].repeated_errors, r.counts[0].repeated_requests) = (2, 2);
        }),
        ("1 errors in 0 repeated requests", |r| r.counts[0].repeated_errors = 1),
        ("0 errors in 3 repeated requests", |r| r.counts[0].repeated_requests = 3),
        ("`counts[0].repeated_abandoned` is no part", |r| {
            r.counts[0].cancelled = 2;
            r.counts[0].abandoned = Some(Sparse { index: vec![9], count: vec![2] });
            r.counts[0].repeated_abandoned = Some(Sparse { index: vec![90], count: vec![1] });
        }),
        ("`counts[0].failed_clients`: 2 clients of 1 failures", |r| {
            r.counts[0].failed_clients = vec![1, 2];
        }),
        ("`counts[0].gave_up_clients`: 1 clients of 0", |r| r.counts[0].gave_up_clients = vec![1]),
        ("`counts[0].failing_clients`: 1 clients of 0", |r| r.counts[0].failing_clients = vec![1]),
        ("`counts[0].failed_clients`: client 1000000 is out of range", |r| {
            r.counts[0].failed_clients = vec![1_000_000];
        }),
        ("`counts[0].failed_clients`: client 7 is not above", |r| {
            (r.counts[0].requests, r.counts[0].errors) = (5_000, 3_000);
            r.counts[0].failed_clients = vec![7, 7];
        }),
        ("17 business metrics", |r| r.counts[0].business = vec![orders(1, 0); 17]),
        ("`order_success` has 2 bad of 1 matching requests, in 3", |r| {
            r.counts[0].business = vec![orders(1, 2)]
        }),
        ("`order_success` has 0 bad of 4 matching requests, in 3", |r| {
            r.counts[0].business = vec![orders(4, 0)]
        }),
        ("`order_success` has 0 bad", |r| r.counts[0].business = vec![orders(1, 0); 2]),
    ];
    for (expected, change) in cases {
        let mut request = request();
        change(&mut request);
        let error = Report::try_from(request).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_clients_of_a_report_are_bounded() {
    let mut request = request();
    let counts = &mut request.counts[0];
    (counts.requests, counts.errors) = (3_000, 3_000);
    counts.failed_clients = (0..2_048).collect();
    assert!(Report::try_from(request.clone()).is_ok());
    request.counts[0].failed_clients.push(9_999);
    let error = Report::try_from(request).unwrap_err().to_string();
    assert!(error.contains("2049 clients; at most 2048"), "{error}");
}
