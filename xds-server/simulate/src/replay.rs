//! A recorded event log judged by other guardrails, as far as its events carry evidence.
//!
//! The log has the counts of each step that a release left, and of a rollback the counts of the guardrail that broke. They are
//! spread evenly over the time of the step. So a total is judged as it was, and what happened within a step is not seen: an
//! outage of seconds, a late break. Also not in the log, and not judged: the comparison of the latency, how much stable's rate
//! varied, segments, and counts by other latency limits than those of that time ([`Note`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::history::StableHistory;
use tidegate_delivery::judge::{
    Counted, Evidence, Finding, Guardrail, ReleaseJudge, Share, SlowRequests, Verdict,
};
use tidegate_delivery::model::event::{Event, StepEvidence};
use tidegate_delivery::model::fold_error::FoldError;
use tidegate_delivery::model::release::{Release, RollbackCause};
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{ReleaseId, VersionName};
use tidegate_delivery::units::{Ppm, Timestamp};

/// Evaluations of a step, at most.
const MAX_TICKS: u32 = 600;

/// A release of the log.
#[derive(Debug, Clone, Serialize)]
pub struct Replayed {
    /// Its id.
    pub release: ReleaseId,
    /// Its candidate.
    pub candidate: VersionName,
    /// How it ended in the log.
    pub recorded: Recorded,
    /// What the other guardrails find.
    pub replayed: Found,
    /// Steps whose counts are in the log.
    pub steps: u32,
    /// What could not be judged.
    pub notes: BTreeSet<Note>,
}

/// How a release ended in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum Recorded {
    /// It had not ended.
    Running,
    /// It completed.
    Completed,
    /// It was rolled back.
    RolledBack {
        /// By this guardrail; absent: by an operator, a signal or its group.
        guardrail: Option<Guardrail>,
    },
}

/// What the other guardrails find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Found {
    /// The log has no counts of it.
    NoEvidence,
    /// Nothing.
    Nothing,
    /// An alert, at this weight for the first time.
    Alert {
        /// The worst finding.
        finding: Finding,
        /// The candidate's share.
        #[serde(rename = "weight_percent", with = "tidegate_delivery::units::percent")]
        weight: Ppm,
    },
    /// A rollback, at this weight.
    RollBack {
        /// Why.
        finding: Finding,
        /// The candidate's share.
        #[serde(rename = "weight_percent", with = "tidegate_delivery::units::percent")]
        weight: Ppm,
    },
}

/// What of a release could not be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The counts of slow requests are by other limits.
    OtherLatencyLimits,
    /// Of the last step only the counts of the broken guardrail are known.
    LastStepPartly,
    /// The counts of the last step are not known.
    LastStepUnknown,
}

/// Replays the releases of a log, in their order. Without `guardrails`, by those of the log.
///
/// # Errors
/// If the events do not follow each other: a part of a log cannot be replayed.
pub fn replay<'a>(
    events: impl IntoIterator<Item = (Timestamp, &'a Event)>,
    guardrails: Option<&Guardrails>,
) -> Result<Vec<Replayed>, FoldError> {
    let mut state = State::default();
    let mut running: BTreeMap<ReleaseId, Judged> = BTreeMap::new();
    let mut ended = Vec::new();
    for (at, event) in events {
        // The step that ends is judged by what was in force until now.
        match event {
            Event::StepEntered { id, evidence, .. } => {
                judge_step(&mut running, &state, id, at, evidence.as_ref(), guardrails);
            }
            Event::Completed { id, evidence, .. } => {
                judge_step(&mut running, &state, id, at, evidence.as_ref(), guardrails);
                ended.extend(running.remove(id).map(|it| it.end(Recorded::Completed)));
            }
            Event::RolledBack { id, cause, .. } => {
                let finding = match cause {
                    RollbackCause::Guardrail { finding } => Some(finding),
                    _ => None,
                };
                if let Some(mut judged) = running.remove(id) {
                    judged.last_step(&state, at, finding, guardrails);
                    let guardrail = finding.map(|it| it.guardrail.clone());
                    ended.push(judged.end(Recorded::RolledBack { guardrail }));
                }
            }
            _ => {}
        }
        state.apply(at, event)?;
        match event {
            Event::ReleaseStarted { id, .. } => {
                running.extend(state.release(id).map(|it| (id.clone(), Judged::of(it))));
            }
            Event::StepEntered { id, .. } | Event::StepConverged { id, .. } => {
                if let (Some(judged), Some(release)) = (running.get_mut(id), state.release(id)) {
                    judged.enter(at, release.weight());
                }
            }
            _ => {}
        }
    }
    ended.extend(running.into_values().map(|it| it.end(Recorded::Running)));
    Ok(ended)
}

fn judge_step(
    running: &mut BTreeMap<ReleaseId, Judged>,
    state: &State,
    id: &ReleaseId,
    at: Timestamp,
    evidence: Option<&StepEvidence>,
    guardrails: Option<&Guardrails>,
) {
    if let (Some(judged), Some(StepEvidence { candidate, stable, .. })) =
        (running.get_mut(id), evidence)
    {
        let counted = Counted { candidate: *candidate, stable: *stable };
        judged.step(state, at, counted, guardrails);
    }
}

/// A release of the log while it is read.
struct Judged {
    release: ReleaseId,
    candidate: VersionName,
    /// When its step began.
    since: Timestamp,
    weight: Ppm,
    judge: Option<ReleaseJudge>,
    counted: Counted,
    found: Found,
    steps: u32,
    notes: BTreeSet<Note>,
}

impl Judged {
    fn of(release: &Release) -> Self {
        Self {
            release: release.id.clone(),
            candidate: release.candidate.clone(),
            since: release.started_at,
            weight: release.weight(),
            judge: None,
            counted: Counted::default(),
            found: Found::NoEvidence,
            steps: 0,
            notes: BTreeSet::new(),
        }
    }

    const fn enter(&mut self, at: Timestamp, weight: Ppm) {
        self.since = at;
        self.weight = weight;
    }

    /// The counts of a step that ends, spread over its time.
    fn step(
        &mut self,
        state: &State,
        at: Timestamp,
        mut counts: Counted,
        guardrails: Option<&Guardrails>,
    ) {
        if self.weight == Ppm::ZERO {
            return;
        }
        let Some(service) = state.service_of(&self.release) else { return };
        let in_force = &service.spec.guardrails;
        let guardrails = guardrails.unwrap_or(in_force);
        if guardrails.latency != in_force.latency {
            self.notes.insert(Note::OtherLatencyLimits);
            for evidence in [&mut counts.candidate, &mut counts.stable] {
                evidence.slow = SlowRequests::default();
            }
        }
        self.steps = self.steps.saturating_add(1);
        let history = StableHistory::default();
        let (since, weight, before) = (self.since, self.weight, self.counted);
        let is_first = self.judge.is_none();
        let judge = self.judge.get_or_insert_with(|| {
            ReleaseJudge::begin(since, weight, 1.0, before, guardrails, &history)
        });
        if is_first {
            judge.begin_evidence(since, before, &history);
        } else {
            judge.enter_step(since, weight, before, &history);
        }
        let time = at.since(since);
        let ticks = u32::try_from(time.as_secs()).unwrap_or(MAX_TICKS).clamp(1, MAX_TICKS);
        if self.found == Found::NoEvidence {
            self.found = Found::Nothing;
        }
        for tick in 1..=ticks {
            let now = since.after(time.mul_f64(f64::from(tick) / f64::from(ticks)));
            let counted = Counted {
                candidate: part(&before.candidate, &counts.candidate, tick, ticks),
                stable: part(&before.stable, &counts.stable, tick, ticks),
            };
            judge.observe(now, counted, guardrails, &history, 1);
            self.counted = counted;
            let verdict = judge.verdict(guardrails, &BTreeMap::new());
            let Some(finding) = verdict.findings().first().cloned() else { continue };
            match (&self.found, &verdict) {
                (Found::RollBack { .. }, _) => {}
                (_, Verdict::RollBack { .. }) => self.found = Found::RollBack { finding, weight },
                (Found::Alert { .. }, _) => {}
                _ => self.found = Found::Alert { finding, weight },
            }
        }
    }

    /// The step in which it was rolled back: the log has the counts of the broken guardrail only.
    fn last_step(
        &mut self,
        state: &State,
        at: Timestamp,
        finding: Option<&Finding>,
        guardrails: Option<&Guardrails>,
    ) {
        let counts = finding.and_then(|finding| {
            let counts = |Share { requests, bad }| match finding.guardrail {
                Guardrail::ErrorRate => {
                    Some(Evidence { requests, errors: bad, ..Evidence::default() })
                }
                Guardrail::ClientErrors => {
                    Some(Evidence { requests, client_errors: bad, ..Evidence::default() })
                }
                _ => None,
            };
            let candidate = counts(Share { requests: finding.requests, bad: finding.bad })?;
            let stable = finding.stable.and_then(counts).unwrap_or_default();
            Some((Counted { candidate, stable }, finding.window_ms))
        });
        match counts {
            Some((counts, window)) => {
                self.notes.insert(Note::LastStepPartly);
                if let Some(window) = window.map(Duration::from_millis) {
                    let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
                    self.since = self.since.max(Timestamp(at.0.saturating_sub(window)));
                }
                self.step(state, at, counts, guardrails);
            }
            None if self.weight > Ppm::ZERO => {
                self.notes.insert(Note::LastStepUnknown);
            }
            None => {}
        }
    }

    fn end(self, recorded: Recorded) -> Replayed {
        let Self { release, candidate, found, steps, notes, .. } = self;
        Replayed { release, candidate, recorded, replayed: found, steps, notes }
    }
}

/// The counts after a part of a step.
fn part(before: &Evidence, step: &Evidence, tick: u32, ticks: u32) -> Evidence {
    let part = |count: u64| {
        let part = u128::from(count) * u128::from(tick) / u128::from(ticks.max(1));
        u64::try_from(part).unwrap_or(u64::MAX)
    };
    let sum = |before: u64, count: u64| before.saturating_add(part(count));
    Evidence {
        requests: sum(before.requests, step.requests),
        errors: sum(before.errors, step.errors),
        client_errors: sum(before.client_errors, step.client_errors),
        unanswered: sum(before.unanswered, step.unanswered),
        slow: SlowRequests {
            warning: sum(before.slow.warning, step.slow.warning),
            critical: sum(before.slow.critical, step.slow.critical),
            rollback: sum(before.slow.rollback, step.slow.rollback),
            unfinished: 0,
        },
        ..Evidence::default()
    }
}
