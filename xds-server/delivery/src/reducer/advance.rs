//! How a running release goes on by itself, or back. One-sided: every gate can hold it, none can
//! keep it from going back, and what was not seen counts for nothing.

use std::time::Duration;

use super::requirements;
use crate::judge::{Finding, Guardrail, Level, Verdict};
use crate::model::blocker::Blocker;
use crate::model::event::{Event, StepEvidence};
use crate::model::plan::{OnFail, Step};
use crate::model::progress::{Convergence, Observation, Progress};
use crate::model::release::{Phase, Release, RollbackCause};
use crate::model::state::{ServiceState, State};
use crate::units::{Ppm, Timestamp};

/// What a running release is looked at with.
#[derive(Debug, Clone, Copy)]
pub struct ReleaseContext<'a> {
    /// All that was decided.
    pub state: &'a State,
    /// The service that is released.
    pub service: &'a ServiceState,
    /// Its release.
    pub release: &'a Release,
    /// Journal time: never decreases; the basis of durations.
    pub now: Timestamp,
    /// Wall time: decides about freeze windows and the expiry of approvals. It may jump in both directions.
    pub wall: Timestamp,
    /// What is seen from outside.
    pub seen: &'a Observation,
}

/// The result for one release, before the other releases of its group are considered.
#[derive(Debug)]
pub(super) struct Evaluation {
    /// What is so, whatever the others do.
    pub(super) events: Vec<Event>,
    /// Where it would go.
    pub(super) transition: Transition,
    /// What is seen of it, and what it waits for.
    pub(super) progress: Progress,
}

/// Where a release would go.
#[derive(Debug)]
pub(super) enum Transition {
    /// Something holds it.
    Hold,
    /// Its gate is open.
    Advance(Box<Event>),
    /// It must go back.
    RollBack(RollbackCause),
}

/// Looks at one running release.
pub(super) fn evaluate(context: &ReleaseContext<'_>) -> Evaluation {
    let ReleaseContext { release, now, seen, .. } = *context;
    let Some(gate) = Gate::of(release) else {
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
            gate.time,
        );
        return Evaluation {
            events: vec![Event::Held { id, finding }],
            transition: Transition::Hold,
            progress,
        };
    }
    let mut events = alert_changes(release, &seen.verdict);
    if let Some(event) = convergence(release, seen) {
        events.push(event);
        let progress = progress(seen, vec![Blocker::StepStarting], gate.time);
        return Evaluation { events, transition: Transition::Hold, progress };
    }
    let time_left = gate.time_left(release, now);
    let blockers = gate.blockers(context, time_left);
    let transition = if blockers.is_empty() {
        Transition::Advance(Box::new(gate.opened(release, seen)))
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

/// The guardrail that is broken, unless a person knows of it already.
fn broken<'a>(release: &Release, verdict: &'a Verdict) -> Option<&'a Finding> {
    let Verdict::RollBack { finding } = verdict else {
        return None;
    };
    let known = release.held.is_some() || release.overruled.contains(&finding.guardrail);
    (release.plan.on_fail == OnFail::Rollback || !known).then_some(finding)
}

/// The event that says that the sidecars have the step, once. Nobody connected is nobody who has
/// it: after a restart of the server the sidecars come back one by one.
fn convergence(release: &Release, seen: &Observation) -> Option<Event> {
    let step = release.step()?;
    let share = release.plan.convergence.share;
    let has_begun =
        !release.converged && seen.convergence.connected > 0 && seen.convergence.has_reached(share);
    has_begun.then(|| Event::StepConverged { id: release.id.clone(), step })
}

fn progress(seen: &Observation, blockers: Vec<Blocker>, time_left: Duration) -> Progress {
    Progress { observation: seen.clone(), blockers, time_left }
}

/// What must be so before a release leaves where it is.
struct Gate {
    /// Since when it is there.
    since: Timestamp,
    /// The least time that it stays.
    time: Duration,
    /// The least requests that the candidate must have served there.
    requests: u64,
    /// Whether smoke tests are still to pass.
    untested: bool,
    /// The step that comes next; none if completion does.
    next: Option<usize>,
}

impl Gate {
    /// The gate of where a release is; none if it has ended.
    fn of(release: &Release) -> Option<Self> {
        let plan = &release.plan;
        let gate = match &release.phase {
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
                    requests: least_requests(planned),
                    untested: false,
                    next: Some(step.saturating_add(1)),
                }
            }
            Phase::Watching { since } => Self {
                since: *since,
                time: plan.watch,
                requests: least_requests(plan.steps.last()?),
                untested: false,
                next: None,
            },
            Phase::Completed { .. } | Phase::RolledBack { .. } => return None,
        };
        Some(gate)
    }

    /// Time that the release is held does not count, and none before the sidecars have the step.
    fn time_left(&self, release: &Release, now: Timestamp) -> Duration {
        if release.step().is_some() && !release.converged {
            return self.time;
        }
        let until = release.paused_at.unwrap_or(now);
        self.time.saturating_sub(until.since(self.since))
    }

    fn blockers(&self, context: &ReleaseContext<'_>, remaining: Duration) -> Vec<Blocker> {
        let ReleaseContext { state, service, release, now, wall, seen } = *context;
        let mut blockers = Vec::new();
        match &release.held {
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
        if release.step().is_some() && !seen.unheard.is_zero() {
            blockers.push(Blocker::ReportCoverage { remaining: seen.unheard });
        }
        let missing = self.requests.saturating_sub(seen.candidate.requests);
        if missing > 0 {
            blockers.push(Blocker::Requests { missing });
        }
        blockers.extend(alert_blockers(release, &seen.verdict));
        blockers.extend(
            service
                .signals
                .against(&release.candidate)
                .map(|it| Blocker::Signal { signal: it.signal.clone(), reason: it.reason.clone() }),
        );
        blockers
    }

    fn opened(&self, release: &Release, seen: &Observation) -> Event {
        let id = release.id.clone();
        let evidence = Some(StepEvidence {
            candidate: seen.candidate,
            stable: seen.stable,
            sidecars: seen.convergence.acked,
        });
        let next = self.next.and_then(|next| Some((next, release.plan.steps.get(next)?)));
        match next {
            Some((step, planned)) => {
                Event::StepEntered { id, step, weight: planned.weight, evidence }
            }
            None => Event::Completed { id, evidence },
        }
    }
}

/// The sidecars that block a release: at any time those that rejected a resource, and until the step has begun those that
/// have not acknowledged it. One that connects later blocks nothing, because its first responses have the step.
fn convergence_blockers(release: &Release, seen: &Convergence) -> Vec<Blocker> {
    let nacks = seen.refused.iter().cloned();
    let mut blockers: Vec<_> = nacks.map(|nack| Blocker::Nack { nack }).collect();
    let unnamed = more(seen.refusing, seen.refused.len());
    if unnamed > 0 {
        blockers.push(Blocker::MoreNacks { sidecars: unnamed });
    }
    if release.step().is_some() && !release.converged && seen.connected == 0 {
        // The reports of a sidecar may come back sooner than its stream, and are of the step before.
        blockers.push(Blocker::NoSidecars);
    }
    let behind = seen.behind();
    if !release.converged && behind > 0 && !seen.has_reached(release.plan.convergence.share) {
        blockers.push(Blocker::Convergence {
            acked: seen.acked,
            connected: seen.connected,
            lagging: seen.lagging.clone(),
            more: more(behind, seen.lagging.len()),
        });
    }
    blockers
}

/// How many of all are not among the named.
fn more(all: u32, named: usize) -> u32 {
    all.saturating_sub(u32::try_from(named).unwrap_or(u32::MAX))
}

/// The step's own number decides how much must be seen: a judge that would like more before it
/// takes a rate at its word does not hold it. But a candidate that should have had traffic and
/// had none was never tried, whatever the clock says.
fn least_requests(step: &Step) -> u64 {
    if step.weight == Ppm::ZERO { step.min_requests } else { step.min_requests.max(1) }
}

/// Alerts as events, when they go up or down. Too little data says nothing about an alert.
fn alert_changes(release: &Release, verdict: &Verdict) -> Vec<Event> {
    let findings: &[Finding] = match verdict {
        Verdict::Healthy => &[],
        Verdict::Alert { findings } => findings,
        Verdict::InsufficientData { .. } | Verdict::RollBack { .. } => return Vec::new(),
    };
    let raised = findings
        .iter()
        .filter(|it| release.alerts.get(&it.guardrail) != Some(&it.level))
        .map(|finding| Event::AlertRaised { id: release.id.clone(), finding: finding.clone() });
    let cleared = release
        .alerts
        .keys()
        .filter(|guardrail| findings.iter().all(|it| it.guardrail != **guardrail))
        .map(|guardrail| Event::AlertCleared {
            id: release.id.clone(),
            guardrail: guardrail.clone(),
        });
    raised.chain(cleared).collect()
}

/// The alerts that block a release: those of now, or, where too few requests came since, those of before.
fn alert_blockers(release: &Release, verdict: &Verdict) -> Vec<Blocker> {
    let overruled = |guardrail: &Guardrail| release.overruled.contains(guardrail);
    match verdict {
        Verdict::Alert { findings } => {
            let standing = findings.iter().filter(|it| !overruled(&it.guardrail));
            standing.map(|it| Blocker::Alert { finding: it.clone() }).collect()
        }
        Verdict::InsufficientData { missing } => {
            let standing = release.alerts.iter().filter(|(guardrail, _)| !overruled(guardrail));
            let blocker = |(guardrail, level): (&Guardrail, &Level)| Blocker::UnclearedAlert {
                guardrail: guardrail.clone(),
                level: *level,
                missing: *missing,
            };
            standing.map(blocker).collect()
        }
        Verdict::Healthy | Verdict::RollBack { .. } => Vec::new(),
    }
}
