//! Verdicts on the counts of whole releases.

mod outcomes;

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_core::config::{RequestMatch, ResponseMatch};

use super::guardrails::{BusinessMetric, CommonMode, Guardrails, WorseThanStable};
use super::history::{StableCounts, StableHistory};
use super::statistics::Units;
use super::{
    Counted, Evidence, Finding, Guardrail, Level, Limit, ReleaseJudge, ResourceSamples,
    ResourceUse, Share, SlowRequests, Verdict,
};
use crate::units::{Ppm, Timestamp};

/// One release, its counts and its clock.
struct Run {
    now: Timestamp,
    counted: Counted,
    guardrails: Guardrails,
    history: StableHistory,
    judge: ReleaseJudge,
    alerts: BTreeMap<Guardrail, Level>,
}

fn evidence(requests: u64, errors: u64) -> Evidence {
    Evidence { requests, errors, ..Evidence::default() }
}

fn add(sum: &mut Evidence, more: Evidence) {
    let zero = Evidence::default();
    assert_eq!(more.business, zero.business, "added by the test itself");
    sum.requests += more.requests;
    sum.errors += more.errors;
    sum.client_errors += more.client_errors;
    sum.unanswered += more.unanswered;
    sum.repeated = sum.repeated.plus(more.repeated);
    sum.slower.all += more.slower.all;
    for (sum, more) in sum.slower.bad.iter_mut().zip(more.slower.bad) {
        *sum += more;
    }
    sum.slow.unfinished += more.slow.unfinished;
    sum.slow.warning += more.slow.warning;
    sum.slow.critical += more.slow.critical;
    sum.slow.rollback += more.slow.rollback;
}

impl Run {
    fn new(weight: u32, guardrails: Guardrails) -> Self {
        let (now, history) = (Timestamp(0), StableHistory::default());
        let counted = Counted::default();
        let weight = Ppm::percent(weight);
        let judge = ReleaseJudge::begin(now, weight, 1.0, counted, &guardrails, &history);
        let mut run = Self { now, counted, guardrails, history, judge, alerts: BTreeMap::new() };
        run.judge.begin_evidence(now, counted, &run.history);
        run
    }

    /// Adds these counts a quarter of a second later.
    fn report(&mut self, candidate: Evidence, stable: Evidence) -> Verdict {
        self.now = self.now.after(Duration::from_millis(250));
        add(&mut self.counted.candidate, candidate);
        add(&mut self.counted.stable, stable);
        self.look(1)
    }

    fn look(&mut self, group: usize) -> Verdict {
        let stable = &self.counted.stable;
        let total = StableCounts {
            failures: stable.first_failures(),
            client_failures: stable.client_failures(),
            slower: stable.slower,
        };
        self.history.observe(self.now, &"v1".parse().unwrap(), total);
        let Self { now, counted, guardrails, history, .. } = self;
        self.judge.observe(*now, *counted, guardrails, history, group);
        let verdict = self.judge.verdict(guardrails, &self.alerts);
        self.alerts =
            verdict.findings().iter().map(|it| (it.guardrail.clone(), it.level)).collect();
        verdict
    }

    /// The first rollback within so many reports, with their number.
    fn until_rollback(
        &mut self,
        reports: u32,
        candidate: Evidence,
        stable: Evidence,
    ) -> Option<(u32, Finding)> {
        (1..=reports).find_map(|number| match self.report(candidate, stable) {
            Verdict::RollBack { findings } => Some((number, findings[0].clone())),
            _ => None,
        })
    }
}

#[test]
fn a_version_that_fails_wholly_is_rolled_back_within_a_second_at_five_percent() {
    // 200 requests a second; with a good stable, with one that has had few requests, and with none.
    for stable in [evidence(47, 0), evidence(1, 0), evidence(0, 0)] {
        let mut run = Run::new(5, Guardrails::default());
        let (reports, finding) = run.until_rollback(4, evidence(3, 3), stable).unwrap();
        assert!(reports <= 4);
        assert_eq!(finding.guardrail, Guardrail::ErrorRate);
        assert!(finding.e_value.unwrap().0 > 1_000, "{finding:?}");
        assert_eq!(finding.bad, finding.requests);
    }
}

#[test]
fn a_version_that_breaks_late_is_rolled_back() {
    let mut run = Run::new(5, Guardrails::default());
    assert_eq!(run.until_rollback(1_200, evidence(12, 0), evidence(238, 1)), None);
    let (reports, finding) = run.until_rollback(20, evidence(12, 4), evidence(238, 1)).unwrap();
    assert!(reports <= 8, "{reports}");
    assert!(finding.window_ms.is_some() && finding.bad > 0, "{finding:?}");
    assert!(finding.stable.unwrap().requests > 1_000);
}

#[test]
fn retries_of_one_client_are_one_failure() {
    let storms = |clients: u64, each: u64| {
        let retries = clients * (each - 1);
        let repeated = Units { bad: retries, all: retries };
        Evidence { repeated, ..evidence(12 + clients * each, clients * each) }
    };
    let mut run = Run::new(5, Guardrails::default());
    assert_eq!(run.until_rollback(240, evidence(12, 0), evidence(238, 1)), None);
    assert_eq!(run.until_rollback(1, storms(1, 50), evidence(238, 1)), None);
    assert_eq!(run.until_rollback(20, evidence(12, 0), evidence(238, 1)), None);
    assert!(run.alerts.is_empty(), "{:?}", run.alerts);
    // Each report other clients.
    let (_, finding) = run.until_rollback(20, storms(4, 10), evidence(238, 1)).unwrap();
    let judged = finding.first_failures.unwrap().candidate;
    assert!(judged.bad < finding.bad && judged.requests < finding.requests, "{finding:?}");
}

#[test]
fn few_slow_requests_are_no_rollback() {
    let latency = super::guardrails::Latency {
        rollback: Duration::from_secs(1),
        critical: Duration::from_millis(800),
        warning: Duration::from_millis(600),
        ..Guardrails::default().latency
    };
    let mut run = Run::new(5, Guardrails { latency, ..Guardrails::default() });
    let slow = SlowRequests { warning: 1, critical: 1, rollback: 1, unfinished: 0 };
    let verdict = run.report(Evidence { slow, ..evidence(58, 0) }, evidence(1_000, 0));
    assert!(matches!(verdict, Verdict::Inconclusive { .. }), "{verdict:?}");
}

#[test]
fn slow_requests_warn_then_alert_then_roll_back() {
    let slow = |warning, critical, rollback| Evidence {
        slow: SlowRequests { warning, critical, rollback, unfinished: 0 },
        ..evidence(50, 0)
    };
    let mut run = Run::new(50, Guardrails::default());
    let level = |verdict: &Verdict| verdict.findings().first().map(|it| it.level);
    assert_eq!(level(&run.report(slow(50, 0, 0), evidence(50, 0))), Some(Level::Warning));
    assert_eq!(level(&run.report(slow(50, 50, 0), evidence(50, 0))), Some(Level::Critical));
    let (_, finding) = run.until_rollback(4, slow(50, 50, 50), evidence(50, 0)).unwrap();
    let max = Duration::from_secs(10);
    assert_eq!(finding.limit, Limit::Latency { quantile_ppm: Ppm::percent(99), max });
}

#[test]
fn an_outage_of_both_versions_is_common_and_holds() {
    let mut run = Run::new(5, Guardrails::default());
    assert_eq!(run.until_rollback(240, evidence(12, 0), evidence(238, 1)), None);
    let mut common = 0;
    for _ in 0..80 {
        let verdict = run.report(evidence(12, 4), evidence(238, 72));
        assert!(!matches!(verdict, Verdict::RollBack { .. }), "{verdict:?}");
        common += usize::from(verdict.findings().iter().any(|it| it.common_mode));
    }
    assert!(common > 70, "{common} of 80");
    let mut asked =
        Run::new(5, Guardrails { common_mode: CommonMode::Rollback, ..Guardrails::default() });
    assert!(asked.until_rollback(80, evidence(12, 4), evidence(238, 72)).is_some());
}

#[test]
fn a_release_that_repairs_stable_is_not_rolled_back() {
    let mut run = Run::new(50, Guardrails::default());
    // 6 % instead of 8 %; the limit is 5 %.
    assert_eq!(run.until_rollback(2_400, evidence(100, 6), evidence(100, 8)), None);
    assert!(run.alerts.contains_key(&Guardrail::ErrorRate), "it is held");
}

#[test]
fn a_worse_candidate_below_the_limit_is_rolled_back_or_held_as_configured() {
    let worse = || (evidence(50, 1), evidence(950, 4));
    let mut run = Run::new(5, Guardrails::default());
    let (candidate, stable) = worse();
    let (_, finding) = run.until_rollback(400, candidate, stable).unwrap();
    assert_eq!(finding.limit, Limit::Stable);
    let ratio = finding.ratio.unwrap();
    assert!(ratio.low_percent > 100 && ratio.high_percent > 400, "{ratio:?}");
    let mut guardrails = Guardrails::default();
    guardrails.error_rate.worse_than_stable = WorseThanStable::Hold;
    let mut held = Run::new(5, guardrails);
    assert_eq!(held.until_rollback(400, candidate, stable), None);
    assert!(held.alerts.contains_key(&Guardrail::ErrorRate));
}

#[test]
fn the_members_of_a_group_share_the_bound() {
    let reports = |group| {
        let mut run = Run::new(50, Guardrails::default());
        (1..).find(|_| {
            run.now = run.now.after(Duration::from_millis(250));
            add(&mut run.counted.candidate, evidence(1, 1));
            add(&mut run.counted.stable, evidence(1, 0));
            matches!(run.look(group), Verdict::RollBack { .. })
        })
    };
    assert!(reports(100) > reports(1), "{:?} {:?}", reports(100), reports(1));
}

#[test]
fn a_step_passes_with_enough_good_requests() {
    let mut run = Run::new(5, Guardrails::default());
    let Verdict::Inconclusive { missing, at_limit: None } =
        run.report(evidence(0, 0), evidence(0, 0))
    else {
        panic!("nothing is known");
    };
    assert!((300..600).contains(&missing), "{missing}");
    let mut before = missing;
    for reported in (12..).step_by(12) {
        match run.report(evidence(12, 0), evidence(238, 0)) {
            Verdict::Healthy => {
                assert!((300..600).contains(&reported), "{reported}");
                break;
            }
            Verdict::Inconclusive { missing, .. } => {
                assert!(missing <= before, "{missing} after {before}");
                before = missing;
            }
            other => panic!("{other:?}"),
        }
    }
    run.judge.enter_step(run.now, Ppm::percent(50), run.counted, &run.history);
    assert!(matches!(run.look(1), Verdict::Inconclusive { .. }), "each step has its own evidence");
}

#[test]
fn a_rate_above_the_alert_limit_that_may_be_chance_is_inconclusive() {
    let mut run = Run::new(5, Guardrails::default());
    let verdict = run.report(evidence(100, 2), evidence(1_900, 30));
    let Verdict::Inconclusive { at_limit, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(at_limit, Some(Guardrail::ErrorRate));
}

/// One client is too little evidence for a rollback, and blocks the step if only the candidate fails it.
#[test]
fn a_version_that_fails_one_large_client_does_not_pass() {
    let repeated = |failed| Units { bad: failed, all: 99 };
    let mut run = Run::new(5, Guardrails::default());
    let failing = Evidence { repeated: repeated(99), ..evidence(100, 100) };
    let verdict = run.report(failing, evidence(1_900, 10));
    let Verdict::Inconclusive { at_limit, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(at_limit, Some(Guardrail::ErrorRate));
    let everywhere =
        Evidence { repeated: Units { bad: 1_899, all: 1_899 }, ..evidence(1_900, 1_900) };
    let verdict = run.report(Evidence::default(), everywhere);
    assert!(!matches!(verdict, Verdict::Inconclusive { at_limit: Some(_), .. }), "{verdict:?}");
}

#[test]
fn an_alert_ends_only_well_below_its_limit() {
    let mut guardrails = Guardrails::default();
    guardrails.error_rate.rollback = Ppm::percent(90);
    guardrails.error_rate.worse_than_stable = WorseThanStable::Hold;
    let mut run = Run::new(100, guardrails);
    (0..8).for_each(|_| {
        run.report(evidence(100, 5), evidence(0, 0));
    });
    assert_eq!(run.alerts.get(&Guardrail::ErrorRate), Some(&Level::Critical));
    // The rate of the step falls slowly: at 0.95 % the alert stands, below 0.9 % it ends.
    while run.judge.since_step().candidate.errors * 10_000
        > run.judge.since_step().candidate.requests * 95
    {
        run.report(evidence(100, 0), evidence(0, 0));
    }
    assert!(run.alerts.contains_key(&Guardrail::ErrorRate), "{:?}", run.judge.since_step());
    (0..40).for_each(|_| {
        run.report(evidence(100, 0), evidence(0, 0));
    });
    assert!(run.alerts.is_empty(), "{:?}", run.judge.since_step());
}

#[test]
fn at_full_weight_a_rate_above_that_of_before_holds() {
    let mut run = Run::new(5, Guardrails::default());
    assert_eq!(run.until_rollback(400, evidence(12, 0), evidence(238, 0)), None);
    run.judge.enter_step(run.now, Ppm::ALL, run.counted, &run.history);
    let mut found = None;
    for _ in 0..400 {
        // 0.8 %: below the alert limit.
        let verdict = run.report(evidence(250, 2), evidence(0, 0));
        assert!(!matches!(verdict, Verdict::RollBack { .. }), "{verdict:?}");
        found = found.or(verdict.findings().first().cloned());
    }
    assert_eq!(found.unwrap().limit, Limit::Before { max_percent: 150 });
}

#[test]
fn changed_limits_judge_the_step_again_and_mix_no_counts() {
    let mut run = Run::new(5, Guardrails::default());
    (0..4).for_each(|_| {
        run.report(evidence(100, 0), evidence(1_900, 0));
    });
    let baseline = run.counted;
    run.judge.begin_evidence(run.now, run.counted, &run.history);
    run.report(evidence(40, 0), evidence(760, 0));
    // By the tightened limit all requests were slow, also those of before the step.
    let slow = SlowRequests { warning: 100, ..SlowRequests::default() };
    let by_new = |mut counted: Counted, all| {
        counted.candidate.slow = SlowRequests { warning: all, ..slow };
        counted
    };
    let guardrails = run.guardrails.clone();
    let now = by_new(run.counted, 440);
    run.judge.rejudge(run.now, by_new(baseline, 400), now, &guardrails, &run.history);
    run.counted = now;
    assert_eq!(run.judge.since_step().candidate.slow.warning, 40);
    for _ in 0..8 {
        let verdict = run.report(Evidence { slow, ..evidence(100, 0) }, evidence(1_900, 0));
        for finding in verdict.findings() {
            assert!(finding.bad <= finding.requests, "{finding:?}");
        }
    }
    assert_eq!(run.alerts.get(&Guardrail::Latency), Some(&Level::Warning));
}

#[test]
fn resource_use_alerts_by_its_current_values() {
    let with = |run: &mut Run, samples, warning| {
        let disk = &mut run.counted.candidate.resource_use.disk;
        *disk = ResourceSamples {
            samples: disk.samples + samples,
            warning: disk.warning + warning,
            critical: 0,
        };
        run.now = run.now.after(Duration::from_secs(1));
        run.look(1);
        run.alerts.get(&Guardrail::Disk).copied()
    };
    let mut run = Run::new(5, Guardrails::default());
    assert_eq!(with(&mut run, 1_000, 100), None, "one in ten");
    assert_eq!(with(&mut run, 1_000, 1_000), Some(Level::Warning));
    run.now = run.now.after(Duration::from_secs(100));
    assert_eq!(with(&mut run, 0, 0), Some(Level::Warning), "missing samples clear nothing");
    (0..40).for_each(|_| {
        with(&mut run, 200, 0);
    });
    assert_eq!(run.alerts.get(&Guardrail::Disk), None);
    assert_eq!(run.counted.stable.resource_use, ResourceUse::default());
}

#[test]
fn a_bad_business_metric_is_an_alert_and_no_rollback() {
    let metric = BusinessMetric {
        name: "order_success".parse().unwrap(),
        of: RequestMatch::default(),
        good: ResponseMatch { status: (200, 299), header: None },
        at_least: Ppm::percent(95),
    };
    let mut run = Run::new(5, Guardrails { business: vec![metric], ..Guardrails::default() });
    let share = Share { requests: 1_000, bad: 1_000 };
    run.counted.candidate =
        Evidence { business: [share].into_iter().collect(), ..evidence(1_000, 0) };
    let Verdict::Alert { findings } = run.look(1) else { panic!("no alert") };
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(finding.level, Level::Critical);
    assert_eq!(finding.guardrail.to_string(), "share of bad `order_success`");
    let limit = Limit::Share { max_ppm: Ppm::percent(5) };
    assert_eq!((finding.limit, finding.bad), (limit, 1_000));
}

#[test]
fn an_alert_does_not_depend_on_stable() {
    let mut run = Run::new(50, Guardrails::default());
    (0..100).for_each(|_| {
        run.report(evidence(100, 3), evidence(100, 3));
    });
    let verdict = run.report(evidence(100, 3), evidence(100, 3));
    let [finding] = verdict.findings() else { panic!("{verdict:?}") };
    assert_eq!((finding.level, finding.common_mode), (Level::Critical, true));
}

#[test]
fn all_broken_guardrails_are_found() {
    let slow = SlowRequests { warning: 50, critical: 50, rollback: 50, unfinished: 0 };
    let bad = Evidence { slow, ..evidence(50, 50) };
    let mut run = Run::new(50, Guardrails::default());
    run.until_rollback(4, bad, evidence(50, 0)).unwrap();
    (0..4).for_each(|_| {
        run.report(bad, evidence(50, 0));
    });
    let expected = [(Guardrail::ErrorRate, Level::Rollback), (Guardrail::Latency, Level::Rollback)];
    assert_eq!(run.alerts, expected.into());
}
