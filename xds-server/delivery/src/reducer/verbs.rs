//! Commands of operators on one release. A rollback is possible in every phase that has a version to return to;
//! no blocker applies to it.

use super::{Decision, approve, decision, groups, requirements, unchanged};
use crate::model::command::{CommandContext, Refusal, ReleaseCommand};
use crate::model::event::Event;
use crate::model::failure::SmokeTestFailure;
use crate::model::outcome::{EarlierRelease, Effect};
use crate::model::refusal::Conflict;
use crate::model::release::{Phase, Release, RollbackCause};
use crate::model::state::{ServiceState, State};
use crate::names::{ReleaseId, VersionName};

pub(super) fn decide(
    state: &State,
    command_context: &CommandContext<'_>,
    id: &ReleaseId,
    command: &ReleaseCommand,
) -> Result<Decision, Refusal> {
    if *command == ReleaseCommand::Rollback
        && let Some(decision) = rollback_of_earlier(state, id)
    {
        return decision;
    }
    let (service, release) = find(state, id)?;
    match command {
        ReleaseCommand::Promote { .. }
        | ReleaseCommand::PromoteFrom { .. }
        | ReleaseCommand::Pause
        | ReleaseCommand::Resume => {
            groups::refuse_member(state, release, command)?;
            decide_one(state, command_context, service, release, command)
        }
        ReleaseCommand::Approve { .. } => {
            decide_one(state, command_context, service, release, command)
        }
        ReleaseCommand::Abort | ReleaseCommand::Rollback => {
            let (events, outcome) = decide_one(state, command_context, service, release, command)?;
            Ok((groups::with_rollback_of_group(state, events), outcome))
        }
    }
}

/// Decides a command on one release, without the other releases of its group.
pub(super) fn decide_one(
    state: &State,
    command_context: &CommandContext<'_>,
    service: &ServiceState,
    release: &Release,
    command: &ReleaseCommand,
) -> Result<Decision, Refusal> {
    match command {
        ReleaseCommand::Promote { all } => promote(state, service, release, command_context, *all),
        ReleaseCommand::PromoteFrom { step } => {
            promote_from(state, service, release, command_context, *step)
        }
        ReleaseCommand::Approve { role } => approve::approve(release, command_context, role),
        ReleaseCommand::Pause => pause(release),
        ReleaseCommand::Resume => resume(release),
        ReleaseCommand::Abort => abort(service, release),
        ReleaseCommand::Rollback => rollback(service, release),
    }
}

pub(super) fn smoke_tested(
    state: &State,
    id: &ReleaseId,
    result: &Result<(), SmokeTestFailure>,
) -> Result<Decision, Refusal> {
    let (_, release) = find(state, id)?;
    let effect = Effect::SmokeTested { failure: result.as_ref().err().cloned() };
    if !matches!(release.phase, Phase::Preparing { tested: false, .. }) {
        return Ok(unchanged(Some(id), effect));
    }
    let events = match result {
        Ok(()) => vec![Event::SmokeTestsPassed { id: id.clone() }],
        Err(failure) => {
            let cause = RollbackCause::SmokeTest { failure: failure.clone() };
            groups::with_rollback_of_group(state, vec![rolled_back(release, cause)])
        }
    };
    Ok(decision(Some(id), events, effect))
}

fn find<'a>(state: &'a State, id: &ReleaseId) -> Result<(&'a ServiceState, &'a Release), Refusal> {
    state
        .service_of(id)
        .and_then(|service| Some((service, service.release.as_ref()?)))
        .ok_or_else(|| Refusal::UnknownRelease(id.to_string()))
}

/// A promotion skips time, requests, convergence, alerts, hooks and DNS. It does not skip the requirements: checks,
/// approvals, freezes.
fn promote(
    state: &State,
    service: &ServiceState,
    release: &Release,
    command_context: &CommandContext<'_>,
    all: bool,
) -> Result<Decision, Refusal> {
    let id = &release.id;
    let refuse = |conflict| Err(wrong_phase(release, "promote", conflict));
    let last = release.plan.steps.len().saturating_sub(1);
    let to = if all { Some(last) } else { release.next_step() };
    let blockers = requirements::missing(state, service, release, command_context.wall, to);
    let completed = Effect::Completed { stable: release.candidate.clone() };
    match &release.phase {
        Phase::Completed { .. } => return Ok(unchanged(Some(id), completed)),
        Phase::RolledBack { .. } => return refuse(Conflict::RolledBack),
        Phase::Preparing { tested: false, .. } => return refuse(Conflict::SmokeTests),
        Phase::Watching { .. } if all => return Ok(unchanged(Some(id), Effect::Watching)),
        _ if !blockers.is_empty() => return refuse(Conflict::Blocked { blockers }),
        Phase::Watching { .. } => {
            let event = Event::Completed {
                id: id.clone(),
                version: release.candidate.clone(),
                evidence: None,
            };
            return Ok(decision(Some(id), vec![event], completed));
        }
        Phase::Preparing { .. } | Phase::Stepping { .. } => {}
    }
    let entering = to.and_then(|step| release.entering(step, None, None));
    let Some(event @ Event::StepEntered { step, weight, .. }) = entering else {
        return refuse(Conflict::NoFurtherStep);
    };
    let paused = release.paused_at.is_some();
    let effect = Effect::Promoted { step: step.saturating_add(1), weight, paused };
    Ok(decision(Some(id), vec![event], effect))
}

/// Promotes a release that is still on `from`; one that has left it is not changed.
fn promote_from(
    state: &State,
    service: &ServiceState,
    release: &Release,
    command_context: &CommandContext<'_>,
    from: usize,
) -> Result<Decision, Refusal> {
    let current = release.step().map_or(0, |index| index.saturating_add(1));
    if !release.is_running() || current == from {
        return promote(state, service, release, command_context, false);
    }
    if current > from {
        return Ok(unchanged(Some(&release.id), Effect::LeftStep { from, step: current }));
    }
    Err(wrong_phase(release, "promote", Conflict::OtherStep { current, from }))
}

fn pause(release: &Release) -> Result<Decision, Refusal> {
    let id = &release.id;
    if !release.is_running() {
        return Err(wrong_phase(release, "pause", Conflict::Ended));
    }
    let effect = Effect::Paused { weight: release.weight() };
    if release.paused_at.is_some() {
        return Ok(unchanged(Some(id), effect));
    }
    Ok(decision(Some(id), vec![Event::Paused { id: id.clone() }], effect))
}

fn resume(release: &Release) -> Result<Decision, Refusal> {
    let id = &release.id;
    if !release.is_running() {
        return Err(wrong_phase(release, "resume", Conflict::Ended));
    }
    let overridden = release.paused_by_guardrail.as_ref().map(|it| it.guardrail.clone());
    let effect = Effect::Resumed { overridden };
    if release.paused_at.is_none() {
        return Ok(unchanged(Some(id), effect));
    }
    Ok(decision(Some(id), vec![Event::Resumed { id: id.clone() }], effect))
}

fn abort(service: &ServiceState, release: &Release) -> Result<Decision, Refusal> {
    match release.phase {
        Phase::Watching { .. } => Err(wrong_phase(release, "abort", Conflict::LastStep)),
        Phase::Completed { .. } => Err(wrong_phase(release, "abort", Conflict::Complete)),
        Phase::Preparing { .. } | Phase::Stepping { .. } | Phase::RolledBack { .. } => {
            Ok(roll_back(service, release))
        }
    }
}

fn rollback(service: &ServiceState, release: &Release) -> Result<Decision, Refusal> {
    if !matches!(release.phase, Phase::Completed { .. }) {
        return Ok(roll_back(service, release));
    }
    match &service.previous {
        Some(previous) => Ok(restored(service, &release.id, previous)),
        None => {
            let version = Some(release.stable.clone());
            let conflict = Conflict::PreviousVersionGone { version };
            Err(wrong_phase(release, "roll back", conflict))
        }
    }
}

/// Rolls back the release that completed last, if its service has had another release since: the version before it becomes
/// stable again, once. None if `id` is not such a release.
fn rollback_of_earlier(state: &State, id: &ReleaseId) -> Option<Result<Decision, Refusal>> {
    let service = state.services.get(id.service())?;
    let newest = service.release.as_ref().filter(|it| it.id != *id)?;
    let completed = service.last_completed.as_ref().filter(|it| it.id == *id)?;
    if completed.rolled_back {
        let effect = Effect::RolledBack { stable: service.stable.clone(), earlier: None };
        return Some(Ok(unchanged(Some(id), effect)));
    }
    let refuse =
        |conflict| Err(Refusal::WrongPhase { verb: "roll back", release: id.clone(), conflict });
    if newest.is_running() {
        return Some(refuse(Conflict::SuccessorRunning { release: newest.id.clone() }));
    }
    Some(match &service.previous {
        Some(previous) => Ok(restored(service, id, previous)),
        None => refuse(Conflict::PreviousVersionGone { version: None }),
    })
}

fn restored(service: &ServiceState, id: &ReleaseId, previous: &VersionName) -> Decision {
    let event = Event::StableRestored {
        service: service.spec.name.clone(),
        version: previous.clone(),
        cause: RollbackCause::Operator,
    };
    let quarantined_by = service.quarantined.get(previous).map(|it| it.signal.clone());
    let effect = Effect::StableRestored { stable: previous.clone(), quarantined_by };
    decision(Some(id), vec![event], effect)
}

/// Rolls back a release that is not complete. If it is rolled back already, the outcome names the release before it.
fn roll_back(service: &ServiceState, release: &Release) -> Decision {
    let id = &release.id;
    if !release.is_running() {
        let completed =
            service.last_completed.as_ref().filter(|it| it.id != *id && !it.rolled_back);
        let earlier = completed.zip(service.previous.as_ref()).map(|(it, previous)| {
            let (service, release) = (service.spec.name.clone(), it.id.clone());
            EarlierRelease { service, release, restores: previous.clone() }
        });
        let stable = service.stable.clone();
        return unchanged(Some(id), Effect::RolledBack { stable, earlier });
    }
    let event = rolled_back(release, RollbackCause::Operator);
    let effect = Effect::RolledBack { stable: release.stable.clone(), earlier: None };
    decision(Some(id), vec![event], effect)
}

pub(super) fn rolled_back(release: &Release, cause: RollbackCause) -> Event {
    Event::RolledBack { id: release.id.clone(), version: release.stable.clone(), cause }
}

/// The subcommand of `tidegate release`.
pub(super) const fn verb_name(command: &ReleaseCommand) -> &'static str {
    match command {
        ReleaseCommand::Promote { .. } | ReleaseCommand::PromoteFrom { .. } => "promote",
        ReleaseCommand::Pause => "pause",
        ReleaseCommand::Resume => "resume",
        ReleaseCommand::Approve { .. } => "approve",
        ReleaseCommand::Abort => "abort",
        ReleaseCommand::Rollback => "rollback",
    }
}

pub(super) fn wrong_phase(release: &Release, verb: &'static str, conflict: Conflict) -> Refusal {
    Refusal::WrongPhase { verb, release: release.id.clone(), conflict }
}
