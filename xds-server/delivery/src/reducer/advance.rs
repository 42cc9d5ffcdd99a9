//! The evaluation of one running release: it advances when nothing blocks it, and is rolled back when a guardrail breaks.
//! No blocker prevents a rollback, and missing data is no evidence.

use std::time::Duration;

use super::requirements;
use crate::judge::guardrails::Inconclusive;
use crate::judge::{Finding, Guardrail, Level, Verdict};
use crate::model::blocker::Blocker;
use crate::model::event::{Event, StepEvidence};
use crate::model::plan::{OnFail, Step};
use crate::model::progress::{Convergence, Observation, Progress};
use crate::model::release::{Phase, Release, RollbackCause};
use crate::model::state::{ServiceState, State};
use crate::units::{Ppm, Timestamp};

/// The input of the evaluation of one running release.
#[derive(Debug, Clone, Copy)]
pub struct ReleaseContext<'a> {
    /// The whole state.
    pub state: &'a State,
    /// Its service.
    pub service: &'a ServiceState,
    /// The release.
    pub release: &'a Release,
    /// Journal time: never decreases; the basis of durations.
    pub now: Timestamp,
    /// Wall time, for freeze windows and the expiry of approvals. It may jump in both directions.
    pub wall: Timestamp,
    /// Counts, verdict and convergence.
    pub seen: &'a Observation,
}

/// The result for one release, before the other releases of its group are considered.
#[derive(Debug)]
pub(super) struct Evaluation {
    /// Events that do not depend on the other releases.
    pub(super) events: Vec<Event>,
    /// What it would do next.
    pub(super) transition: Transition,
    /// The observation and the blockers.
    pub(super) progress: Progress,
}

/// What a release would do next.
#[derive(Debug)]
pub(super) enum Transition {
    /// Something blocks it.
    Hold,
    /// Nothing blocks it: the event that enters the next step or completes it.
    Advance(Box<Event>),
    /// A guardrail is broken.
    RollBack(RollbackCause),
}

/// Evaluates one running release.
pub(super) fn evaluate(context: &ReleaseContext<'_>) -> Evaluation {
    let ReleaseContext { release, now, seen, .. } = *context;
    let Some(exit) = Exit::of(release) else {
        let progress = progress(seen, Vec::new(), Duration::ZERO);
        return Evaluation { events: Vec::new(), transition: Transition::Hold, progress };
    };
    if let Some(finding) = broken(release, &seen.verdict) {
        let (id, finding) = (release.id.clone(), finding.clone());
        if release.plan.on_fail == OnFail::Rollback {
            let transition = Transition::RollBack(RollbackCause::Guardrail { finding });
            let progress = progress(seen, Vec::new(), Duration::ZERO);
            return Evaluation { events: Vec::new(), transition, progress };
        }
        let progress = progress(
            seen,
            vec![Blocker::PausedByGuardrail { finding: finding.clone() }],
            exit.time,
        );
        return Evaluation {
            events: vec![Event::PausedByGuardrail { id, finding }],
            transition: Transition::Hold,
            progress,
        };
    }
    let mut events = alert_changes(context);
    if let Some(event) = convergence(release, seen) {
        events.push(event);
        let progress = progress(seen, vec![Blocker::StepStarting], exit.time);
        return Evaluation { events, transition: Transition::Hold, progress };
    }
    let time_left = exit.time_left(release, now);
    let blockers = exit.blockers(context, time_left);
    let transition = if blockers.is_empty() {
        Transition::Advance(Box::new(exit.transition_event(release, seen)))
    } else {
        Transition::Hold
    };
    Evaluation { events, transition, progress: progress(seen, blockers, time_left) }
}

/// Closes the rollback window of a service's last release once it has expired. While another release runs it stays open,
/// because that one may be rolled back as well.
#[must_use]
pub fn close_expired_window(service: &ServiceState, now: Timestamp) -> Option<Event> {
    let over = service.previous_until.is_some_and(|until| now >= until);
    if !over || service.running().is_some() {
        return None;
    }
    let version = service.previous.clone()?;
    let service = service.spec.name.clone();
    Some(Event::RollbackWindowClosed { service, version })
}

/// The finding of a broken guardrail, unless the release is paused for one or an operator has overridden it. Each broken
/// guardrail is considered: overriding one hides no other.
fn broken<'a>(release: &Release, verdict: &'a Verdict) -> Option<&'a Finding> {
    let Verdict::RollBack { findings } = verdict else {
        return None;
    };
    let handled = |finding: &Finding| {
        release.plan.on_fail == OnFail::Pause
            && (release.paused_by_guardrail.is_some()
                || release.overridden.contains(&finding.guardrail))
    };
    findings.iter().filter(|it| it.level == Level::Rollback).find(|it| !handled(it))
}

/// The convergence of the current step, once. Without connected sidecars a step does not converge: after a restart of the
/// server they reconnect one by one.
fn convergence(release: &Release, seen: &Observation) -> Option<Event> {
    let step = release.unconverged_step()?;
    let share = release.plan.convergence.share;
    let converged = seen.convergence.connected > 0 && seen.convergence.has_reached(share);
    converged.then(|| Event::StepConverged { id: release.id.clone(), step })
}

fn progress(seen: &Observation, blockers: Vec<Blocker>, time_left: Duration) -> Progress {
    Progress { observation: seen.clone(), blockers, time_left }
}

/// The conditions under which a release leaves its phase or step.
#[derive(Clone, Copy)]
struct Exit {
    /// When the phase or the step began.
    since: Timestamp,
    /// The minimum time.
    time: Duration,
    /// The minimum number of requests to the candidate.
    requests: u64,
    /// True until the smoke tests have passed.
    untested: bool,
    /// The step that comes next; none if completion does.
    next: Option<usize>,
}

impl Exit {
    /// Of the current phase; none if the release has ended.
    fn of(release: &Release) -> Option<Self> {
        let plan = &release.plan;
        let exit = match &release.phase {
            Phase::Preparing { since, tested } => Self {
                since: *since,
                time: Duration::ZERO,
                requests: 0,
                untested: !*tested,
                next: Some(0),
            },
            Phase::Stepping { step, since } => {
                let planned = plan.steps.get(*step)?;
                Self {
                    since: *since,
                    time: planned.time,
                    requests: min_requests(planned),
                    untested: false,
                    next: Some(step.saturating_add(1)),
                }
            }
            Phase::Watching { since, .. } => Self {
                since: *since,
                time: plan.watch,
                requests: min_requests(plan.steps.last()?),
                untested: false,
                next: None,
            },
            Phase::Completed { .. } | Phase::RolledBack { .. } => return None,
        };
        Some(exit)
    }

    /// What is left of the minimum time. Paused time does not count, nor does time before convergence.
    fn time_left(&self, release: &Release, now: Timestamp) -> Duration {
        if release.unconverged_step().is_some() {
            return self.time;
        }
        let until = release.paused_at.unwrap_or(now);
        self.time.saturating_sub(until.since(self.since))
    }

    fn blockers(&self, context: &ReleaseContext<'_>, remaining: Duration) -> Vec<Blocker> {
        let ReleaseContext { state, service, release, now, wall, seen } = *context;
        let mut blockers = Vec::new();
        match &release.paused_by_guardrail {
            Some(finding) => blockers.push(Blocker::PausedByGuardrail { finding: finding.clone() }),
            None if release.paused_at.is_some() => blockers.push(Blocker::Paused),
            None => {}
        }
        blockers.extend(requirements::missing(state, service, release, wall, self.next));
        blockers.extend(release.health_blocker());
        if self.untested {
            blockers.push(Blocker::SmokeTests);
        }
        blockers.extend(release.hook_blockers());
        blockers.extend(release.dns_blocker(now));
        blockers.extend(convergence_blockers(release, &seen.convergence));
        if !remaining.is_zero() {
            blockers.push(Blocker::Time { remaining });
        }
        if release.step().is_some() && !seen.coverage_remaining.is_zero() {
            blockers.push(Blocker::ReportCoverage { remaining: seen.coverage_remaining });
        }
        let missing = self.requests.saturating_sub(seen.candidate.requests);
        if missing > 0 {
            blockers.push(Blocker::Requests { missing });
        }
        blockers.extend(alert_blockers(context));
        blockers.extend(self.inconclusive_blocker(context));
        blockers.extend(
            service
                .signals
                .against(&release.candidate)
                .map(|it| Blocker::Signal { signal: it.signal.clone(), reason: it.reason.clone() }),
        );
        blockers
    }

    /// A step whose evidence is inconclusive lasts longer, as its service has configured it.
    fn inconclusive_blocker(&self, context: &ReleaseContext<'_>) -> Option<Blocker> {
        let ReleaseContext { service, release, now, seen, .. } = *context;
        let Verdict::Inconclusive { missing, at_limit } = &seen.verdict else { return None };
        if release.step().is_none() || release.weight() == Ppm::ZERO {
            return None;
        }
        if let Some(guardrail) = at_limit
            && !release.overridden.contains(guardrail)
        {
            return Some(Blocker::AtLimit { guardrail: guardrail.clone() });
        }
        let missing = *missing;
        if missing == 0 {
            return None;
        }
        match service.spec.guardrails.inconclusive {
            Inconclusive::Proceed => None,
            Inconclusive::Hold => Some(Blocker::Inconclusive { missing, remaining_ms: None }),
            Inconclusive::Extend(times) => {
                let time = self.time.saturating_mul(times.saturating_add(1));
                let remaining = Self { time, ..*self }.time_left(release, now);
                let remaining_ms = u64::try_from(remaining.as_millis()).ok();
                (!remaining.is_zero()).then_some(Blocker::Inconclusive { missing, remaining_ms })
            }
        }
    }

    fn transition_event(&self, release: &Release, seen: &Observation) -> Event {
        let id = release.id.clone();
        let evidence = Some(StepEvidence {
            candidate: seen.candidate,
            stable: seen.stable,
            sidecars: seen.convergence.acked,
            inconclusive: match seen.verdict {
                Verdict::Inconclusive { missing, .. } if release.weight() > Ppm::ZERO => {
                    Some(missing)
                }
                _ => None,
            },
        });
        let entering = self.next.and_then(|step| release.entering(step, seen.rate(), evidence));
        let version = release.candidate.clone();
        entering.unwrap_or(Event::Completed { id, version, evidence })
    }
}

/// The sidecars that block a release: those that rejected a resource, those that do not report, and until convergence those
/// that have not acknowledged the step. A sidecar that connects later blocks nothing, because its first responses contain the
/// step.
fn convergence_blockers(release: &Release, seen: &Convergence) -> Vec<Blocker> {
    let nacks = seen.nacks.iter().cloned();
    let mut blockers: Vec<_> = nacks.map(|nack| Blocker::Nack { nack }).collect();
    let unnamed = more(seen.nacked, seen.nacks.len());
    if unnamed > 0 {
        blockers.push(Blocker::MoreNacks { sidecars: unnamed });
    }
    if release.unconverged_step().is_some() && seen.connected == 0 {
        // Reports of a sidecar can arrive before its stream reconnects; they are about the previous step.
        blockers.push(Blocker::NoSidecars);
    }
    let behind = seen.pending();
    if !release.converged && behind > 0 && !seen.has_reached(release.plan.convergence.share) {
        blockers.push(Blocker::Convergence {
            acked: seen.acked,
            connected: seen.connected,
            lagging: seen.lagging.clone(),
            more: more(behind, seen.lagging.len()),
        });
    }
    if !seen.is_reported(release.plan.convergence.share) {
        blockers.push(Blocker::SilentSidecars {
            silent: seen.silent,
            connected: seen.known(),
            nodes: seen.silent_nodes.clone(),
            more: more(seen.silent, seen.silent_nodes.len()),
        });
    }
    blockers
}

/// How many of `all` are not listed by name.
fn more(all: u32, named: usize) -> u32 {
    all.saturating_sub(u32::try_from(named).unwrap_or(u32::MAX))
}

/// The minimum of the step, which can be less than the minimum sample size of the judge. With a weight above 0 % it is at
/// least one: a candidate without requests was not tested.
fn min_requests(step: &Step) -> u64 {
    if step.weight == Ppm::ZERO { step.min_requests } else { step.min_requests.max(1) }
}

/// The requests of the candidate that are missing until its alerts can be cleared.
fn missing_to_clear(context: &ReleaseContext<'_>) -> u64 {
    let least = context.service.spec.guardrails.min_requests;
    match context.seen.verdict {
        Verdict::Healthy => 0,
        _ => least.saturating_sub(context.seen.candidate.requests),
    }
}

/// The alerts that changed. Too few requests do not clear an alert, and a guardrail that breaks has an event of its own.
fn alert_changes(context: &ReleaseContext<'_>) -> Vec<Event> {
    let ReleaseContext { release, seen, .. } = context;
    let findings = seen.verdict.findings();
    let raised = findings
        .iter()
        .filter(|it| it.level < Level::Rollback)
        .filter(|it| release.alerts.get(&it.guardrail) != Some(&it.level))
        .map(|finding| Event::AlertRaised { id: release.id.clone(), finding: finding.clone() });
    let cleared = uncleared(release, findings).filter(|_| missing_to_clear(context) == 0).map(
        |(guardrail, _)| Event::AlertCleared {
            id: release.id.clone(),
            guardrail: guardrail.clone(),
        },
    );
    raised.chain(cleared).collect()
}

/// The alerts of a release that are not found any more.
fn uncleared<'a>(
    release: &'a Release,
    findings: &'a [Finding],
) -> impl Iterator<Item = (&'a Guardrail, &'a Level)> {
    let is_found = |guardrail: &Guardrail| findings.iter().any(|it| it.guardrail == *guardrail);
    release.alerts.iter().filter(move |(guardrail, _)| !is_found(guardrail))
}

/// The alerts that block a release: those of now and, where too few requests came since, those of before.
fn alert_blockers(context: &ReleaseContext<'_>) -> Vec<Blocker> {
    let ReleaseContext { release, seen, .. } = context;
    let findings = seen.verdict.findings();
    let overridden = |guardrail: &Guardrail| release.overridden.contains(guardrail);
    let standing = findings
        .iter()
        .filter(|it| it.level < Level::Rollback && !overridden(&it.guardrail))
        .map(|it| Blocker::Alert { finding: it.clone() });
    let missing = missing_to_clear(context);
    let uncleared = uncleared(release, findings)
        .filter(|(guardrail, _)| missing > 0 && !overridden(guardrail))
        .map(|(guardrail, level)| Blocker::UnclearedAlert {
            guardrail: guardrail.clone(),
            level: *level,
            missing,
        });
    standing.chain(uncleared).collect()
}
