//! The definitions of the figures, by example.

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

/// The figures of a journal with the releases of one service.
#[derive(Default)]
struct Journal {
    figures: Figures,
    number: u64,
}

impl Journal {
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
            by: "anne".to_owned(),
            commit: committed_at.map(|at| Commit { id: None, at: Some(at) }),
        };
        self.figures.take(at, &started);
    }

    fn enter(&mut self, at: Timestamp, step: usize, percent: u32) {
        let weight = Ppm::percent(percent);
        let entered =
            Event::StepEntered { id: self.id(), step, weight, holdback: Ppm::ZERO, evidence: None };
        self.figures.take(at, &entered);
    }

    fn complete(&mut self, at: Timestamp) {
        self.figures
            .take(at, &Event::Completed { id: self.id(), version: name("v2"), evidence: None });
    }

    fn roll_back(&mut self, at: Timestamp) {
        let cause = RollbackCause::Operator;
        self.figures.take(at, &Event::RolledBack { id: self.id(), version: name("v1"), cause });
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
fn a_release_without_traffic_is_not_a_deployment() {
    let mut journal = Journal::default();
    journal.start(NOON, None);
    journal.enter(NOON, 0, 0);
    journal.roll_back(NOON.after(MINUTE));
    let all = journal.all();
    assert_eq!((all.deployments, all.failures), (0, 0));
    assert_eq!((all.recovery_time, all.change_failure_rate), (None, None));
    assert_eq!(all.meets.change_failure_rate, None);
}

#[test]
fn lead_time_ends_at_100_percent() {
    let mut journal = Journal::default();
    journal.good(NOON, Some(Timestamp(NOON.0 - 10 * 60 * 1000)));
    journal.good(NOON, None);
    journal.good(NOON, Some(NOON.after(DAY)));
    let all = journal.all();
    assert_eq!(all.deployments, 3);
    let ms = 12 * 60 * 1000;
    assert_eq!(all.lead_time, Some(Spread { count: 1, median_ms: ms, mean_ms: ms }));
    assert_eq!(all.meets.lead_time, Some(true));
    assert_eq!(all.change_failure_rate, Some(Ppm::ZERO));
}

/// The recovery time in milliseconds of a release with two steps, one minute apart, and a rollback three minutes after its
/// start. `happens` adds events before the rollback.
fn recovery(happens: impl FnOnce(&mut Journal)) -> u64 {
    let mut journal = Journal::default();
    journal.start(NOON, None);
    journal.enter(NOON, 0, 5);
    journal.enter(NOON.after(MINUTE), 1, 100);
    happens(&mut journal);
    journal.roll_back(NOON.after(3 * MINUTE));
    journal.roll_back(NOON.after(4 * MINUTE));
    let all = journal.all();
    assert_eq!((all.deployments, all.failures), (1, 1));
    assert_eq!(all.meets.change_failure_rate, Some(false));
    all.recovery_time.unwrap().mean_ms
}

#[test]
fn a_failure_begins_with_the_oldest_active_alert_or_with_the_last_step() {
    let alert = |journal: &mut Journal, at, level| {
        journal.figures.take(at, &Event::AlertRaised { id: journal.id(), finding: finding(level) });
    };
    assert_eq!(recovery(|_| {}), 2 * 60_000);
    let raised = recovery(|journal| {
        alert(journal, NOON.after(2 * MINUTE), Level::Warning);
        alert(journal, NOON.after(2 * MINUTE + MINUTE / 2), Level::Critical);
    });
    assert_eq!(raised, 60_000);
    let cleared = recovery(|journal| {
        alert(journal, NOON.after(2 * MINUTE), Level::Warning);
        let guardrail = Guardrail::ErrorRate;
        let cleared = Event::AlertCleared { id: journal.id(), guardrail };
        journal.figures.take(NOON.after(2 * MINUTE + MINUTE / 2), &cleared);
    });
    assert_eq!(cleared, 2 * 60_000);
}

#[test]
fn a_rollback_after_completion_counts_on_the_day_of_the_deployment() {
    let mut journal = Journal::default();
    journal.good(NOON, None);
    journal.restore(NOON.after(2 * DAY));
    journal.restore(NOON.after(3 * DAY));
    let report = journal.report(10, NOON.after(4 * DAY), Bucket::Day);
    let [slice] = report.over_time.as_slice() else { panic!("{report:?}") };
    assert_eq!(slice.from, Timestamp(NOON.0 - 12 * 60 * 60 * 1000));
    assert_eq!((slice.summary.deployments, slice.summary.failures), (1, 1));
    let two_days = 2 * 24 * 60 * 60 * 1000;
    assert_eq!(report.all.recovery_time.unwrap().mean_ms, two_days - 30 * 60 * 1000);
    assert_eq!(report.all.meets.recovery_time, Some(false));
}

#[test]
fn a_completed_deployment_that_is_restored_counts_after_a_later_release_was_aborted() {
    let mut journal = Journal::default();
    journal.good(NOON, None);
    journal.start(NOON.after(DAY), None);
    journal.enter(NOON.after(DAY), 0, 0);
    journal.roll_back(NOON.after(DAY + MINUTE));
    journal.restore(NOON.after(2 * DAY));
    let all = journal.all();
    assert_eq!((all.deployments, all.failures), (1, 1));
    let recovery_ms = 2 * 24 * 60 * 60_000 - 30 * 60_000;
    assert_eq!(all.recovery_time.unwrap().mean_ms, recovery_ms);
}

#[test]
fn a_security_signal_that_ends_a_running_and_a_completed_release_counts_both() {
    let mut journal = Journal::default();
    journal.good(NOON, None);
    journal.start(NOON.after(DAY), None);
    journal.enter(NOON.after(DAY), 0, 5);
    journal.roll_back(NOON.after(DAY + MINUTE));
    journal.restore(NOON.after(DAY + MINUTE));
    let all = journal.all();
    assert_eq!((all.deployments, all.failures), (2, 2));
}

#[test]
fn a_release_that_a_guardrail_paused_counts_as_a_failure_once() {
    let paused = |journal: &mut Journal, at| {
        let finding = finding(Level::Rollback);
        journal.figures.take(at, &Event::PausedByGuardrail { id: journal.id(), finding });
    };
    let mut journal = Journal::default();
    journal.start(NOON, None);
    journal.enter(NOON, 0, 5);
    paused(&mut journal, NOON.after(MINUTE));
    assert_eq!((journal.all().deployments, journal.all().failures), (1, 1));
    assert_eq!(journal.all().recovery_time, None);

    // It is resumed, paused again on the next step, completed and taken back.
    journal.enter(NOON.after(2 * MINUTE), 1, 100);
    paused(&mut journal, NOON.after(3 * MINUTE));
    journal.complete(NOON.after(4 * MINUTE));
    journal.restore(NOON.after(5 * MINUTE));
    let all = journal.all();
    assert_eq!((all.deployments, all.failures), (1, 1));
    assert_eq!(all.recovery_time.unwrap().mean_ms, 60_000);

    // A rollback after the pause: the failure began with the pause.
    journal.start(NOON, None);
    journal.enter(NOON, 0, 5);
    paused(&mut journal, NOON.after(MINUTE));
    journal.roll_back(NOON.after(4 * MINUTE));
    let all = journal.all();
    assert_eq!((all.deployments, all.failures), (2, 2));
    assert_eq!(all.recovery_time.unwrap().mean_ms, 2 * 60_000);
}

#[test]
fn days_are_counted_from_the_first_record() {
    let mut journal = Journal::default();
    for day in [0, 1, 3, 5] {
        journal.good(NOON.after(day * DAY), None);
    }
    let now = NOON.after(7 * DAY);
    let all = journal.report(30, now, Bucket::Week);
    assert!((all.all.per_day - 0.5).abs() < 1e-9, "{all:?}");
    assert!(!all.all.meets.deployment_frequency);
    // Wednesday, Thursday and Saturday; then Monday.
    let weeks: Vec<_> = all.over_time.iter().map(|it| it.summary.deployments).collect();
    assert_eq!(weeks, [3, 1]);
    assert!((all.over_time[0].summary.per_day - 0.6).abs() < 1e-9);
    let one = journal.report(1, NOON, Bucket::Day).all;
    assert!(one.meets.deployment_frequency);
}

#[test]
fn the_history_is_bounded_and_survives_a_snapshot() {
    let mut journal = Journal::default();
    for day in 0..500 {
        journal.good(NOON.after(day * DAY), Some(NOON));
    }
    for _ in 0..1100 {
        journal.good(NOON.after(600 * DAY), Some(NOON));
    }
    let history = &journal.figures.services["order"];
    assert_eq!(history.days.len(), 400);
    let day = history.days.values().last().unwrap();
    assert_eq!((day.deployments, day.lead_times.len()), (1100, 1000));
    let json = serde_json::to_string(&journal.figures).unwrap();
    assert_eq!(serde_json::from_str::<Figures>(&json).unwrap(), journal.figures);
}
