//! Client errors, unanswered requests and waits.

use proptest::prelude::*;

use super::*;
use crate::judge::statistics::two_by_two::{QUANTILES, SlowerRequests};

fn with_client_errors(requests: u64, client_errors: u64) -> Evidence {
    Evidence { client_errors, ..evidence(requests, 0) }
}

#[test]
fn a_candidate_that_answers_only_404_is_rolled_back_or_held_as_configured() {
    let (candidate, stable) = (with_client_errors(12, 12), with_client_errors(238, 20));
    let mut run = Run::new(5, Guardrails::default());
    let (reports, finding) = run.until_rollback(8, candidate, stable).unwrap();
    assert!(reports <= 4, "{reports}");
    assert_eq!((finding.guardrail, finding.limit), (Guardrail::ClientErrors, Limit::Stable));
    assert_eq!(finding.bad, finding.requests);
    let mut guardrails = Guardrails::default();
    guardrails.client_errors.worse_than_stable = WorseThanStable::Hold;
    let mut held = Run::new(5, guardrails);
    assert_eq!(held.until_rollback(400, candidate, stable), None);
    assert!(held.alerts.contains_key(&Guardrail::ClientErrors));
}

#[test]
fn an_equal_share_of_client_errors_is_nothing_and_a_few_more_hold() {
    let mut run = Run::new(50, Guardrails::default());
    let equal = with_client_errors(50, 20);
    assert_eq!(run.until_rollback(400, equal, equal), None);
    assert!(run.alerts.is_empty(), "{:?}", run.alerts);
    // One client in ten has 404 on the candidate.
    let more = with_client_errors(50, 25);
    assert_eq!(run.until_rollback(400, more, equal), None);
    assert_eq!(run.alerts.get(&Guardrail::ClientErrors), Some(&Level::Warning));
}

#[test]
fn client_errors_have_limits_only_if_configured() {
    let mut guardrails = Guardrails::default();
    guardrails.client_errors.rollback = Some(Ppm::percent(20));
    guardrails.client_errors.alert = Some(Ppm::percent(10));
    let bad = with_client_errors(100, 60);
    // At 100 % there is no stable to compare with.
    let mut run = Run::new(100, guardrails);
    let (_, finding) = run.until_rollback(100, bad, evidence(0, 0)).unwrap();
    assert_eq!(finding.limit, Limit::Share { max_ppm: Ppm::percent(20) });
    let mut without = Run::new(100, Guardrails::default());
    assert_eq!(without.until_rollback(100, bad, evidence(0, 0)), None);
}

#[test]
fn a_candidate_that_gives_no_answer_is_rolled_back_at_any_weight() {
    // Its clients give up, so that no request finishes.
    let hangs = Evidence { unanswered: 12, ..Evidence::default() };
    for (weight, stable) in [(5, evidence(238, 1)), (100, evidence(0, 0))] {
        let mut run = Run::new(weight, Guardrails::default());
        let (_, finding) = run.until_rollback(8, hangs, stable).unwrap();
        assert_eq!(finding.guardrail, Guardrail::ErrorRate, "{weight}");
        assert_eq!(finding.bad, finding.requests);
    }
    // Impatient clients of both versions are common to them.
    let mut run = Run::new(50, Guardrails::default());
    let impatient = Evidence { unanswered: 8, ..evidence(92, 0) };
    assert_eq!(run.until_rollback(400, impatient, impatient), None);
}

fn waits(all: u64, slower: u64) -> Evidence {
    let slower = SlowerRequests { all, bad: [slower; QUANTILES] };
    Evidence { slower, ..evidence(all, 0) }
}

#[test]
fn a_slower_candidate_is_rolled_back_or_held_as_configured() {
    let (candidate, stable) = (waits(12, 8), waits(238, 12));
    let mut guardrails = Guardrails::default();
    guardrails.latency.worse_than_stable = WorseThanStable::Rollback;
    let mut run = Run::new(5, guardrails);
    // The jitter of stable is learnt.
    assert_eq!(run.until_rollback(800, waits(12, 0), stable), None);
    let (reports, finding) = run.until_rollback(80, candidate, stable).unwrap();
    assert!(reports > 40, "it takes three blocks of 5 s: {reports}");
    assert_eq!((&finding.guardrail, finding.limit), (&Guardrail::Latency, Limit::Stable));
    assert!(finding.bad > 0 && finding.stable.unwrap().bad > 0, "{finding:?}");
    // The default.
    let mut held = Run::new(5, Guardrails::default());
    assert_eq!(held.until_rollback(400, candidate, stable), None);
    assert_eq!(held.alerts.get(&Guardrail::Latency), Some(&Level::Warning));
    // It recovers.
    assert_eq!(held.until_rollback(400, waits(12, 0), stable), None);
    assert!(held.alerts.is_empty(), "{:?}", held.alerts);
}

#[test]
fn a_candidate_that_pauses_once_is_held_and_not_rolled_back() {
    let mut guardrails = Guardrails::default();
    guardrails.latency.worse_than_stable = WorseThanStable::Rollback;
    let mut run = Run::new(5, guardrails);
    let (good, stable) = (waits(12, 0), waits(238, 12));
    assert_eq!(run.until_rollback(810, good, stable), None);
    // Four seconds, in two blocks.
    assert_eq!(run.until_rollback(16, waits(12, 12), stable), None);
    assert_eq!(run.alerts.get(&Guardrail::Latency), Some(&Level::Warning));
    assert_eq!(run.until_rollback(400, good, stable), None);
    assert!(run.alerts.is_empty(), "{:?}", run.alerts);
}

#[test]
fn requests_in_flight_are_slow_when_they_are_older_than_a_limit() {
    // At 100 %, without a single answer; most wait for longer than 10 seconds.
    let mut run = Run::new(100, Guardrails::default());
    let slow = SlowRequests { warning: 20, critical: 20, rollback: 18, unfinished: 20 };
    let hangs = Evidence { slow, ..Evidence::default() };
    let (_, finding) = run.until_rollback(8, hangs, evidence(0, 0)).unwrap();
    assert_eq!(finding.guardrail, Guardrail::Latency);
    assert!(finding.bad <= finding.requests);
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    let few = || 0_u64..30;
    let slower = (few(), prop::array::uniform6(few()));
    (prop::array::uniform4(few()), prop::array::uniform4(few()), slower).prop_map(
        |([requests, errors, client_errors, unanswered], slow, (all, bad))| {
            let [warning, critical, rollback, unfinished] = slow;
            Evidence {
                requests,
                errors,
                client_errors,
                unanswered,
                slow: SlowRequests { warning, critical, rollback, unfinished },
                slower: SlowerRequests { all, bad },
                ..Evidence::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Also of counts that cannot be, such as those of a hostile sidecar.
    #[test]
    fn no_finding_has_more_bad_requests_than_requests(
        reports in prop::collection::vec((any_evidence(), any_evidence()), 1..60),
        weight in 1_u32..=100,
    ) {
        let mut guardrails = Guardrails::default();
        guardrails.client_errors.alert = Some(Ppm::percent(5));
        let mut run = Run::new(weight, guardrails);
        for (candidate, stable) in reports {
            for finding in run.report(candidate, stable).findings() {
                prop_assert!(finding.bad <= finding.requests, "{finding:?}");
                let stable = finding.stable.unwrap_or_default();
                prop_assert!(stable.bad <= stable.requests, "{finding:?}");
            }
        }
    }
}
