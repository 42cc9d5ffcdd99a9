//! What counts as what, on which day.

use std::time::Duration;

use super::history::DAY;
use super::*;
use crate::fixtures::{canary, finding, name};
use crate::judge::{Guardrail, Level};
use crate::model::commit::Commit;
use crate::model::release::RollbackCause;
use crate::units::Ppm;

const MINUTE: Duration = Duration::from_secs(60);
/// A Wednesday, at noon.
const NOON: Timestamp = Timestamp(1_700_049_600_000);

/// A fold that tells of one service.
#[derive(Default)]
struct Told {
    figures: Figures,
    number: u64,
}

impl Told {
    fn id(&self) -> ReleaseId {
        ReleaseId::of(&name("order"), self.number).unwrap()
    }

    fn start(&mut self, at: Timestamp, committed_at: Option<Timestamp>) {
        self.number += 1;
        let started = Event::ReleaseStarted {
            id: self.id(),
            service: name("order"),
            candidate: name("v2"),
            stable: name("v1"),
            plan: canary(&[0, 5, 100]),
            by: None,
            commit: committed_at.map(|at| Commit { id: None, at: Some(at) }),
        };
        self.figures.take(at, &started);
    }

    fn enter(&mut self, at: Timestamp, step: usize, percent: u32) {
        let weight = Ppm::percent(percent);
        let entered = Event::StepEntered { id: self.id(), step, weight, evidence: None };
        self.figures.take(at, &entered);
    }

    fn complete(&mut self, at: Timestamp) {
        self.figures.take(at, &Event::Completed { id: self.id(), evidence: None });
    }

    fn back(&mut self, at: Timestamp) {
        let cause = RollbackCause::Operator;
        self.figures.take(at, &Event::RolledBack { id: self.id(), cause });
    }

    fn restore(&mut self, at: Timestamp) {
        let restored = Event::StableRestored {
            service: name("order"),
            version: name("v1"),
            cause: RollbackCause::Operator,
        };
        self.figures.take(at, &restored);
    }

    fn good(&mut self, at: Timestamp, committed_at: Option<Timestamp>) {
        self.start(at, committed_at);
        self.enter(at.after(MINUTE), 1, 5);
        self.enter(at.after(2 * MINUTE), 2, 100);
        self.complete(at.after(30 * MINUTE));
    }

    fn report(&self, days: u32, until: Timestamp, bucket: Bucket) -> ServiceReport {
        let report = self.figures.report(ReportPeriod::days_before(days, until), bucket, None);
        report.services.into_iter().next().unwrap()
    }

    fn all(&self) -> Summary {
        self.report(400, NOON.after(10 * DAY), Bucket::Day).all
    }
}

#[test]
fn a_release_that_nobody_met_is_no_deployment() {
    let mut told = Told::default();
    told.start(NOON, None);
    told.enter(NOON, 0, 0);
    told.back(NOON.after(MINUTE));
    let all = told.all();
    assert_eq!((all.deployments, all.failures), (0, 0));
    assert_eq!((all.recovery_time, all.change_failure_rate), (None, None));
    assert_eq!(all.meets.change_failure_rate, None);
}

#[test]
fn lead_time_ends_where_the_candidate_serves_everybody() {
    let mut told = Told::default();
    told.good(NOON, Some(Timestamp(NOON.0 - 10 * 60 * 1000)));
    told.good(NOON, None);
    told.good(NOON, Some(NOON.after(DAY)));
    let all = told.all();
    assert_eq!(all.deployments, 3);
    let ms = 12 * 60 * 1000;
    assert_eq!(all.lead_time, Some(Spread { count: 1, median_ms: ms, mean_ms: ms }));
    assert_eq!(all.meets.lead_time, Some(true));
    assert_eq!(all.change_failure_rate, Some(Ppm::ZERO));
}

/// The recovery time of a release of two steps, a minute apart, with what happens before it goes
/// back three minutes after its beginning.
fn recovery(happens: impl FnOnce(&mut Told)) -> u64 {
    let mut told = Told::default();
    told.start(NOON, None);
    told.enter(NOON, 0, 5);
    told.enter(NOON.after(MINUTE), 1, 100);
    happens(&mut told);
    told.back(NOON.after(3 * MINUTE));
    told.back(NOON.after(4 * MINUTE));
    let all = told.all();
    assert_eq!((all.deployments, all.failures), (1, 1));
    assert_eq!(all.meets.change_failure_rate, Some(false));
    all.recovery_time.unwrap().mean_ms
}

#[test]
fn a_failure_begins_with_the_oldest_alert_that_stands_or_with_the_last_step() {
    let alert = |told: &mut Told, at, level| {
        told.figures.take(at, &Event::AlertRaised { id: told.id(), finding: finding(level) });
    };
    assert_eq!(recovery(|_| {}), 2 * 60_000);
    let raised = recovery(|told| {
        alert(told, NOON.after(2 * MINUTE), Level::Warning);
        alert(told, NOON.after(2 * MINUTE + MINUTE / 2), Level::Critical);
    });
    assert_eq!(raised, 60_000);
    let cleared = recovery(|told| {
        alert(told, NOON.after(2 * MINUTE), Level::Warning);
        let guardrail = Guardrail::ErrorRate;
        let over = Event::AlertCleared { id: told.id(), guardrail };
        told.figures.take(NOON.after(2 * MINUTE + MINUTE / 2), &over);
    });
    assert_eq!(cleared, 2 * 60_000);
}

#[test]
fn a_complete_release_that_is_called_back_failed_on_the_day_of_its_deployment() {
    let mut told = Told::default();
    told.good(NOON, None);
    told.restore(NOON.after(2 * DAY));
    told.restore(NOON.after(3 * DAY));
    let report = told.report(10, NOON.after(4 * DAY), Bucket::Day);
    let [slice] = report.over_time.as_slice() else { panic!("{report:?}") };
    assert_eq!(slice.from, Timestamp(NOON.0 - 12 * 60 * 60 * 1000));
    assert_eq!((slice.summary.deployments, slice.summary.failures), (1, 1));
    let two_days = 2 * 24 * 60 * 60 * 1000;
    assert_eq!(report.all.recovery_time.unwrap().mean_ms, two_days - 30 * 60 * 1000);
    assert_eq!(report.all.meets.recovery_time, Some(false));
}

#[test]
fn days_are_counted_from_where_the_journal_begins() {
    let mut told = Told::default();
    for day in [0, 1, 3, 5] {
        told.good(NOON.after(day * DAY), None);
    }
    let now = NOON.after(7 * DAY);
    let all = told.report(30, now, Bucket::Week);
    assert!((all.all.per_day - 0.5).abs() < 1e-9, "{all:?}");
    assert!(!all.all.meets.deployment_frequency);
    // Wednesday, Thursday and Saturday; then Monday.
    let weeks: Vec<_> = all.over_time.iter().map(|it| it.summary.deployments).collect();
    assert_eq!(weeks, [3, 1]);
    assert!((all.over_time[0].summary.per_day - 0.6).abs() < 1e-9);
    let one = told.report(1, NOON, Bucket::Day).all;
    assert!(one.meets.deployment_frequency);
}

#[test]
fn what_is_kept_is_bounded_and_survives_a_snapshot() {
    let mut told = Told::default();
    for day in 0..500 {
        told.good(NOON.after(day * DAY), Some(NOON));
    }
    for _ in 0..1100 {
        told.good(NOON.after(600 * DAY), Some(NOON));
    }
    let history = &told.figures.services["order"];
    assert_eq!(history.days.len(), 400);
    let day = history.days.values().last().unwrap();
    assert_eq!((day.deployments, day.lead_times.len()), (1100, 1000));
    let json = serde_json::to_string(&told.figures).unwrap();
    assert_eq!(serde_json::from_str::<Figures>(&json).unwrap(), told.figures);
}
