//! How a running release goes on by itself, or back. One-sided: every gate can hold it, none can
//! keep it from going back, and what was not seen counts for nothing.

use std::time::Duration;

use super::requirements;
use crate::judge::{Finding, Verdict};
use crate::model::event::{Event, StepEvidence};
use crate::model::plan::{OnFail, Step};
use crate::model::progress::{Convergence, Observation, Progress, Refused};
use crate::model::release::{Phase, Release, RollbackCause};
use crate::model::state::{ServiceState, State};
use crate::model::words::because;
use crate::units::{Ppm, Timestamp};

/// What a step waits for in the moment when the sidecars have it: what was counted before is no
/// evidence of it, so nothing else can follow from the same evaluation.
const BEGINS: &str = "its step to begin";

/// What a running release is looked at with.
#[derive(Debug, Clone, Copy)]
pub struct ReleaseContext<'a> {
    /// All that was decided.
    pub state: &'a State,
    /// The service that is released.
    pub service: &'a ServiceState,
    /// Its release.
    pub release: &'a Release,
    /// The time.
    pub now: Timestamp,
    /// What is seen from outside.
    pub seen: &'a Observation,
}

/// What one evaluation at a release says, before those that it goes together with are asked.
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
        let progress = progress(seen, vec![a_decision(&finding)], gate.time);
        return Evaluation {
            events: vec![Event::Held { id, finding }],
            transition: Transition::Hold,
            progress,
        };
    }
    let mut events = alert_changes(release, &seen.verdict);
    if let Some(event) = convergence(release, seen) {
        events.push(event);
        let progress = progress(seen, vec![BEGINS.to_owned()], gate.time);
        return Evaluation { events, transition: Transition::Hold, progress };
    }
    let time_left = gate.time_left(release, now);
    let waiting_for = gate.waiting_for(context, time_left);
    let transition = if waiting_for.is_empty() {
        Transition::Advance(Box::new(gate.opened(release, seen)))
    } else {
        Transition::Hold
    };
    Evaluation { events, transition, progress: progress(seen, waiting_for, time_left) }
}

/// The guardrail that is broken, unless a person knows of it already.
fn broken<'a>(release: &Release, verdict: &'a Verdict) -> Option<&'a Finding> {
    let Verdict::RollBack { finding } = verdict else {
        return None;
    };
    let known = release.held.is_some() || release.overruled.contains(&finding.guardrail);
    (release.plan.on_fail == OnFail::Rollback || !known).then_some(finding)
}

fn a_decision(finding: &Finding) -> String {
    let Finding { guardrail, limit, bad, requests, .. } = finding;
    format!(
        "a person to decide, resume or rollback: the {guardrail} is above {limit} ({bad} of {requests} above it)"
    )
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

fn progress(seen: &Observation, waiting_for: Vec<String>, time_left: Duration) -> Progress {
    Progress { observation: seen.clone(), waiting_for, time_left }
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

    fn waiting_for(&self, context: &ReleaseContext<'_>, left: Duration) -> Vec<String> {
        let ReleaseContext { state, service, release, now, seen } = *context;
        let mut waiting = Vec::new();
        match &release.held {
            Some(finding) => waiting.push(a_decision(finding)),
            None if release.paused_at.is_some() => {
                waiting.push("an operator to resume it".to_owned());
            }
            None => {}
        }
        waiting.extend(requirements::missing(state, service, release, now, self.next));
        waiting.extend(release.health_blocker());
        if self.untested {
            waiting.push("its smoke tests".to_owned());
        }
        waiting.extend(release.hook_blockers());
        waiting.extend(release.dns_blocker(now));
        waiting.extend(sidecars(release, &seen.convergence));
        if !left.is_zero() {
            waiting.push(format!("time: {} s more", left.as_millis().div_ceil(1000)));
        }
        if release.step().is_some() && !seen.unheard.is_zero() {
            let seconds = seen.unheard.as_millis().div_ceil(1000);
            waiting.push(format!("reports: {seconds} s more of them, since the last silence"));
        }
        let missing = self.requests.saturating_sub(seen.candidate.requests);
        if missing > 0 {
            waiting.push(format!("requests: {missing} more"));
        }
        waiting.extend(standing_alerts(release, &seen.verdict));
        waiting.extend(service.signals.against(&release.candidate).map(|it| {
            let why = because(it.reason.as_deref());
            format!("the business signal `{}` to be well again{why}", it.signal)
        }));
        waiting
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

/// The sidecars that hold a release: whoever refuses what it is meant to have, at any time, and
/// until a step has begun whoever does not have it. One that connects later holds nothing: it is
/// given the step with the first thing it is sent.
fn sidecars(release: &Release, seen: &Convergence) -> Vec<String> {
    let mut waiting: Vec<String> = seen
        .refused
        .iter()
        .map(|it| {
            let Refused { node, kind, message } = it;
            format!("sidecar `{node}` to accept the {kind} configuration it refused: {message}")
        })
        .collect();
    let unnamed = more(seen.refusing, seen.refused.len());
    if unnamed > 0 {
        waiting.push(format!("{unnamed} more sidecars to accept what they refused"));
    }
    if release.step().is_some() && !release.converged && seen.connected == 0 {
        // Reports say what was so before: those of a sidecar may come back sooner than its stream.
        waiting.push("sidecars: none is connected, so none is known to have it".to_owned());
    }
    let behind = seen.behind();
    if !release.converged && behind > 0 && !seen.has_reached(release.plan.convergence.share) {
        let Convergence { acked, connected, .. } = seen;
        let names: Vec<_> = seen.lagging.iter().map(|it| format!("`{it}`")).collect();
        let rest = match more(behind, names.len()) {
            0 => String::new(),
            rest => format!(" and {rest} more"),
        };
        let names = names.join(", ");
        waiting.push(format!("sidecars: {acked} of {connected} have it, not yet {names}{rest}"));
    }
    waiting
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

/// The alerts that hold a release: those found now, or, when too little is seen to say, those found before.
fn standing_alerts(release: &Release, verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Alert { findings } => findings
            .iter()
            .filter(|it| !release.overruled.contains(&it.guardrail))
            .map(|it| {
                let Finding { guardrail, limit, bad, requests, .. } = it;
                format!("the {guardrail} to fall below {limit} ({bad} of {requests} above it)")
            })
            .collect(),
        Verdict::InsufficientData { missing } => release
            .alerts
            .iter()
            .filter(|(guardrail, _)| !release.overruled.contains(guardrail))
            .map(|(guardrail, level)| {
                format!("{missing} more requests to clear the {level} of its {guardrail}")
            })
            .collect(),
        Verdict::Healthy | Verdict::RollBack { .. } => Vec::new(),
    }
}
