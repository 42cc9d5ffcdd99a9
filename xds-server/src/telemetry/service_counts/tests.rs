//! Sums of reports, and the evidence in them.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_proto::report::v1::{Histogram as Sparse, ReportRequest, VersionCounts};

use super::super::clients::ReportedClients;
use super::super::intake::{InvalidReport, Report};
use super::*;
use tidegate_delivery::fixtures::{declared, order, run, start};
use tidegate_delivery::judge::SlowRequests;
use tidegate_delivery::units::Timestamp;

fn entry(version: &str, release: &str, requests: u64, slow: bool) -> Entry {
    let mut counts = Counts { requests, errors: 1, ..Counts::default() };
    for _ in 0..requests {
        counts.latency.record(Duration::from_secs(if slow { 20 } else { 0 }));
    }
    let clients = ReportedClients::default();
    let (service, version, release) = ("order".into(), version.into(), release.into());
    Entry { service, version, release, counts, clients }
}

/// A running release with this id.
fn release(id: &str) -> Release {
    let mut state = declared();
    run(&mut state, Timestamp(0), &start("order", "v2")).unwrap();
    let release = state.services["order"].running().unwrap().clone();
    Release { id: id.parse().unwrap(), ..release }
}

fn counts_of(id: &str) -> ServiceCounts {
    let mut counts = ServiceCounts::default();
    counts.update(&order(), &"v1".parse().unwrap(), Some(&release(id)));
    counts
}

#[test]
fn only_entries_of_the_running_release_are_evidence() {
    let mut counts = counts_of("order.2");
    assert_eq!(counts.add(Timestamp(0), &entry("v2", "order.2", 5, false)), Ok(true));
    assert_eq!(counts.add(Timestamp(0), &entry("v2", "order.1", 7, false)), Ok(false));
    assert_eq!(counts.add(Timestamp(0), &entry("v2", "", 9, false)), Ok(false));
    let (v2, guardrails) = ("v2".parse().unwrap(), Guardrails::default());
    let seen = counts.evidence(&"order.2".parse().unwrap(), &v2, &guardrails);
    assert_eq!((seen.requests, seen.errors), (5, 1));
    let other = counts.evidence(&"order.1".parse().unwrap(), &v2, &guardrails);
    assert_eq!(other, Evidence::default());
    assert_eq!(counts.totals().get(&v2).unwrap().requests, 21);
}

#[test]
fn a_new_release_starts_without_evidence() {
    let mut counts = counts_of("order.1");
    counts.add(Timestamp(0), &entry("v2", "order.1", 5, false)).unwrap();
    let mut spec = order();
    spec.versions.retain(|name, _| name.as_str() == "v2");
    counts.update(&spec, &"v2".parse().unwrap(), Some(&release("order.2")));
    let v2 = "v2".parse().unwrap();
    let seen = counts.evidence(&"order.2".parse().unwrap(), &v2, &Guardrails::default());
    assert_eq!(seen, Evidence::default());
    assert_eq!(counts.totals().get("v2").unwrap().requests, 5, "totals continue");
    assert_eq!(
        counts.add(Timestamp(0), &entry("v1", "", 1, false)),
        Err(UnknownVersion),
        "v1 was removed"
    );
}

#[test]
fn a_slow_request_counts_for_each_limit_it_exceeds() {
    let mut counts = counts_of("order.1");
    counts.add(Timestamp(0), &entry("v2", "order.1", 3, true)).unwrap();
    let seen = counts.evidence(
        &"order.1".parse().unwrap(),
        &"v2".parse().unwrap(),
        &Guardrails::default(),
    );
    assert_eq!(seen.slow, SlowRequests { warning: 3, critical: 3, rollback: 3, unfinished: 0 });
}

fn waited(version: &str, seconds: &[u64], gave_up: &[u64]) -> Entry {
    let of = |seconds: &[u64]| {
        let mut waits = Histogram::default();
        seconds.iter().for_each(|it| waits.record(Duration::from_secs(*it)));
        waits
    };
    let counts = Counts {
        requests: seconds.len() as u64,
        latency: of(seconds),
        cancelled: gave_up.len() as u64,
        abandoned: of(gave_up),
        ..Counts::default()
    };
    let (service, release) = ("order".into(), "order.1".into());
    let clients = ReportedClients::default();
    Entry { service, version: version.into(), release, counts, clients }
}

fn evidence(counts: &ServiceCounts, version: &str) -> Evidence {
    let version = version.parse().unwrap();
    counts.evidence(&"order.1".parse().unwrap(), &version, &Guardrails::default())
}

#[test]
fn a_request_that_was_given_up_late_is_unanswered_and_slow() {
    let mut counts = counts_of("order.1");
    counts.add(Timestamp(0), &waited("v2", &[0], &[0, 3, 20])).unwrap();
    let seen = evidence(&counts, "v2");
    assert_eq!((seen.requests, seen.unanswered), (1, 2));
    assert_eq!(seen.failures(), Units { bad: 2, all: 3 });
    let slow = SlowRequests { warning: 2, critical: 1, rollback: 1, unfinished: 3 };
    assert_eq!(seen.slow, slow);
    let v2 = counts.totals().get("v2").unwrap();
    assert_eq!(v2.failures(UNANSWERED), Units { bad: 2, all: 3 });
}

#[test]
fn requests_in_flight_are_slow_until_they_are_not_in_flight() {
    let mut counts = counts_of("order.1");
    counts.add(Timestamp(0), &waited("v2", &[], &[])).unwrap();
    let mut ages = Histogram::default();
    [3, 20].iter().for_each(|it| ages.record(Duration::from_secs(*it)));
    counts.change_waiting("order.1", "v2", |sum| sum.merge(&ages));
    counts.change_waiting("order.0", "v2", |sum| sum.merge(&ages));
    let slow = SlowRequests { warning: 2, critical: 1, rollback: 1, unfinished: 2 };
    assert_eq!(evidence(&counts, "v2").slow, slow);
    counts.change_waiting("order.1", "v2", |sum| sum.remove(&ages));
    assert_eq!(evidence(&counts, "v2").slow, SlowRequests::default());
}

#[test]
fn waits_are_compared_from_when_those_of_stable_are_known() {
    let mut counts = counts_of("order.1");
    counts.add(Timestamp(0), &waited("v2", &[9; 10], &[])).unwrap();
    assert_eq!(evidence(&counts, "v2").slower.all, 0);
    counts.add(Timestamp(0), &waited("v1", &[1; 1_000], &[])).unwrap();
    counts.add(Timestamp(0), &waited("v2", &[0, 3], &[3])).unwrap();
    counts.add(Timestamp(0), &waited("v1", &[1, 3], &[])).unwrap();
    let (candidate, stable) = (evidence(&counts, "v2").slower, evidence(&counts, "v1").slower);
    assert_eq!((candidate.all, candidate.bad[0]), (3, 2));
    assert_eq!((stable.all, stable.bad[0]), (2, 1));
}

#[test]
fn the_quantiles_of_stable_are_known_before_a_release() {
    let stable = "v1".parse().unwrap();
    let mut counts = ServiceCounts::default();
    counts.update(&order(), &stable, None);
    let unreleased = |entry: Entry| Entry { release: String::new(), ..entry };
    counts.add(Timestamp(0), &unreleased(waited("v1", &[1; 1_000], &[]))).unwrap();
    assert_eq!(counts.of_stable(&stable).slower.all, 1_000);
    counts.add(Timestamp(0), &unreleased(waited("v1", &[3; 10], &[]))).unwrap();
    assert_eq!(counts.of_stable(&stable).slower.bad[0], 10);
    counts.update(&order(), &stable, Some(&release("order.1")));
    counts.add(Timestamp(0), &waited("v2", &[0, 3], &[])).unwrap();
    assert_eq!((evidence(&counts, "v2").slower.all, evidence(&counts, "v2").slower.bad[0]), (2, 1));
}

/// An entry as it arrives from a filter instance.
fn received(counts: VersionCounts) -> Result<Entry, InvalidReport> {
    let request = ReportRequest {
        node_id: "edge-1".into(),
        fleet: "edge".into(),
        sequence: 1,
        counts: vec![VersionCounts {
            service: "order".into(),
            release: "order.1".into(),
            ..counts
        }],
        ..ReportRequest::default()
    };
    Report::try_from(request).map(|mut report| report.entries.remove(0))
}

#[test]
fn a_client_whose_retries_arrive_at_several_instances_is_one_failure() {
    let mut counts = counts_of("order.1");
    let report = |requests, errors, repeated, clients: &[u32]| VersionCounts {
        version: "v2".into(),
        requests,
        errors,
        repeated_requests: repeated,
        repeated_errors: repeated,
        failed_clients: clients.to_vec(),
        ..VersionCounts::default()
    };
    let mut add = |report| counts.add(Timestamp(0), &received(report).unwrap()).unwrap();
    add(report(60, 50, 49, &[7]));
    add(report(20, 11, 9, &[7, 8]));
    // Without identity.
    add(report(2, 2, 0, &[]));
    let seen = evidence(&counts, "v2");
    assert_eq!(seen.failures(), Units { bad: 63, all: 82 });
    assert_eq!(seen.first_failures(), Units { bad: 4, all: 82 - 59 });
}

#[test]
fn a_client_that_gives_up_at_several_instances_is_one_failure() {
    let mut counts = counts_of("order.1");
    let waits = |waits: &[u64]| {
        let mut histogram = Histogram::default();
        waits.iter().for_each(|it| histogram.record(Duration::from_secs(*it)));
        Some(Sparse::from(&histogram))
    };
    let report = |abandoned: &[u64], repeated: &[u64], clients: &[u32]| VersionCounts {
        version: "v2".into(),
        cancelled: abandoned.len() as u64,
        abandoned: waits(abandoned),
        repeated_abandoned: waits(repeated),
        gave_up_clients: clients.to_vec(),
        ..VersionCounts::default()
    };
    let mut add = |report| counts.add(Timestamp(0), &received(report).unwrap()).unwrap();
    add(report(&[3, 3, 3], &[3, 3], &[7]));
    add(report(&[3, 4], &[4], &[7]));
    // It left too soon to be a failure, so it takes away none.
    add(report(&[0, 4], &[], &[7, 8]));
    let seen = evidence(&counts, "v2");
    assert_eq!(seen.failures(), Units { bad: 6, all: 6 });
    assert_eq!(seen.first_failures(), Units { bad: 1, all: 1 });
}

#[test]
fn the_history_of_stable_has_first_failures() {
    let mut counts = ServiceCounts::default();
    counts.update(&order(), &"v1".parse().unwrap(), None);
    for _ in 0..2 {
        let report = VersionCounts {
            version: "v1".into(),
            requests: 10,
            errors: 3,
            repeated_requests: 2,
            repeated_errors: 2,
            failed_clients: vec![7],
            ..VersionCounts::default()
        };
        counts.add(Timestamp(0), &received(report).unwrap()).unwrap();
    }
    let seen = counts.of_stable(&"v1".parse().unwrap()).failures;
    assert_eq!(seen, Units { bad: 1, all: 20 - 5 });
    counts.update(&order(), &"v1".parse().unwrap(), Some(&release("order.1")));
    let again = VersionCounts {
        version: "v2".into(),
        requests: 10,
        errors: 1,
        failed_clients: vec![7],
        ..VersionCounts::default()
    };
    counts.add(Timestamp(0), &received(again).unwrap()).unwrap();
    // Five of the 20 requests were repeated: too many to leave their clients out.
    assert_eq!(evidence(&counts, "v2").first_failures(), Units { bad: 1, all: 10 });
}

prop_compose! {
    /// Any counts, most of them impossible.
    fn arbitrary_counts()(
        (requests, errors, client_errors) in (0_u64..9, 0_u64..6, 0_u64..3),
        (repeated_requests, repeated_errors) in (0_u64..5, 0_u64..5),
        abandoned in prop::collection::vec(0_u64..4, 2),
        repeated in prop::collection::vec(0_u64..3, 2),
        (failed, gave_up, failing) in (client_list(), client_list(), client_list()),
        candidate in any::<bool>(),
    ) -> VersionCounts {
        let sparse = |count: Vec<u64>| Some(Sparse { index: vec![90, 150], count });
        VersionCounts {
            version: if candidate { "v2" } else { "v1" }.into(),
            requests,
            errors,
            client_errors,
            cancelled: abandoned.iter().sum(),
            abandoned: sparse(abandoned),
            repeated_requests,
            repeated_errors,
            repeated_abandoned: sparse(repeated),
            failed_clients: failed,
            gave_up_clients: gave_up,
            failing_clients: failing,
            ..VersionCounts::default()
        }
    }
}

fn client_list() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::btree_set(0_u32..4, 0..3).prop_map(|clients| clients.into_iter().collect())
}

proptest! {
    /// No sequence of reports makes more bad requests than requests, or more repeated ones than there are.
    #[test]
    fn bad_requests_are_requests(
        reports in prop::collection::vec((arbitrary_counts(), 0_u64..100_000), 0..200),
    ) {
        let mut counts = counts_of("order.1");
        let mut now = Timestamp(0);
        for (report, millis) in reports {
            now = Timestamp(now.0 + millis);
            let Ok(entry) = received(report) else { continue };
            counts.add(now, &entry).unwrap();
            for version in ["v1", "v2"] {
                let seen = evidence(&counts, version);
                let (failures, repeated) = (seen.failures(), seen.repeated);
                prop_assert!(seen.errors + seen.client_errors <= seen.requests);
                prop_assert!(failures.bad <= failures.all && repeated.bad <= failures.bad);
                let succeeded = |units: Units| units.all.checked_sub(units.bad).unwrap();
                prop_assert!(succeeded(repeated) <= succeeded(failures));
                let first = seen.first_failures();
                prop_assert_eq!(first.bad, failures.bad - repeated.bad);
                prop_assert!(first.bad <= first.all);
            }
        }
    }
}
