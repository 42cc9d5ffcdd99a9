//! Clients that fail at several filter instances, and before a release.

use super::*;

const NONE: KnownClients = KnownClients { errors: 0, given_up: 0 };

fn at(seconds: u64) -> Timestamp {
    Timestamp(1_000_000 + seconds * 1_000)
}

fn failed(clients: &[u32]) -> ReportedClients {
    ReportedClients { failed: clients.to_vec(), ..ReportedClients::default() }
}

fn known(errors: u64) -> KnownClients {
    KnownClients { errors, given_up: 0 }
}

#[test]
fn a_client_that_fails_at_two_instances_has_one_first_failure() {
    let mut release = StableClients::default().begin_release();
    assert_eq!(release.add(at(0), &failed(&[1, 2])), NONE);
    assert_eq!(release.add(at(1), &failed(&[2, 3])), known(1));
    let gave_up = ReportedClients { gave_up: vec![3, 4], ..failed(&[1, 4]) };
    assert_eq!(release.add(at(2), &gave_up), KnownClients { errors: 1, given_up: 2 });
}

#[test]
fn a_client_is_forgotten_after_five_to_six_minutes_unless_it_still_fails() {
    let mut release = StableClients::default().begin_release();
    release.add(at(0), &failed(&[1, 2]));
    let failing = ReportedClients { failing: vec![2], ..ReportedClients::default() };
    release.add(at(300), &failing);
    assert_eq!(release.add(at(300), &failed(&[1])), known(1));
    assert_eq!(release.add(at(360), &failed(&[1, 2])), known(1));
    assert!(release.recent.0.len() as u64 <= PERIOD_SLOTS);
    // Time that steps back.
    assert_eq!(release.add(at(0), &failed(&[1])), known(1));
    assert_eq!(release.add(at(100_000), &failed(&[1, 2])), NONE);
    assert_eq!(release.recent.0.len(), 1);
}

#[test]
fn clients_that_failed_on_stable_before_a_release_do_not_count_in_it() {
    let mut stable = StableClients::default();
    let requests = Units { bad: 10, all: 100 };
    assert_eq!(stable.add(at(0), requests, &failed(&[7])), NONE);
    stable.add(at(1_000), requests, &failed(&[1]));
    assert_eq!(stable.add(at(1_200), requests, &failed(&[1, 2])), known(1));
    let mut release = stable.begin_release();
    assert_eq!(release.add(at(1_500), &failed(&[1, 2, 3, 7])), known(2));
    assert_eq!(release.add(at(5_000), &failed(&[1, 2, 3, 7])), known(2), "until it ends");
}

#[test]
fn clients_count_if_too_many_of_them_failed_before() {
    let mut stable = StableClients::default();
    stable.add(at(0), Units { bad: 11, all: 100 }, &failed(&[1, 2]));
    assert_eq!(stable.begin_release().add(at(1), &failed(&[1, 2])), NONE);
}

/// A container has at most 8 kB.
#[test]
fn memory_is_bounded() {
    let mut recent = RecentClients::default();
    for minute in 0..12 {
        let failing = (0..BUCKETS).step_by(5).collect();
        let clients = ReportedClients { failing, ..ReportedClients::default() };
        recent.add(at(minute * 60), SLOTS_BEFORE, &clients, &RoaringBitmap::new());
    }
    assert_eq!(recent.0.len() as u64, SLOTS_BEFORE);
    assert!(recent.0.iter().all(|it| it.clients.statistics().n_containers <= 16));
}
