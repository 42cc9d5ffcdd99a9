//! Commands of operators on one release. A rollback is possible in every phase that has a version to return to;
//! no blocker applies to it.

use super::{Decision, approve, done, groups, requirements, unchanged};
use crate::model::command::{CommandContext, Refusal, ReleaseCommand};
use crate::model::event::Event;
use crate::model::failure::SmokeTestFailure;
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
    if !matches!(release.phase, Phase::Preparing { tested: false, .. }) {
        let message = format!("release `{id}` waits for no smoke tests");
        return Ok(unchanged(Some(id), message));
    }
    Ok(match result {
        Ok(()) => {
            let event = Event::SmokeTestsPassed { id: id.clone() };
            let message = format!("release `{id}`: the smoke tests passed");
            done(Some(id), vec![event], message)
        }
        Err(failure) => {
            let message = format!("release `{id}` is rolled back: a smoke test failed: {failure}");
            let cause = RollbackCause::SmokeTest { failure: failure.clone() };
            let events = groups::with_rollback_of_group(state, vec![rolled_back(id, cause)]);
            done(Some(id), events, message)
        }
    })
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
    match &release.phase {
        Phase::Completed { .. } => {
            return Ok(unchanged(Some(id), format!("release `{id}` is complete")));
        }
        Phase::RolledBack { .. } => return refuse(Conflict::RolledBack),
        Phase::Preparing { tested: false, .. } => return refuse(Conflict::SmokeTests),
        Phase::Watching { .. } if all => {
            let message = format!(
                "release `{id}` is at 100% and watched; promote it without `all` to complete it now"
            );
            return Ok(unchanged(Some(id), message));
        }
        _ if !blockers.is_empty() => return refuse(Conflict::Blocked { blockers }),
        Phase::Watching { .. } => {
            let event = Event::Completed { id: id.clone(), evidence: None };
            let message = format!("release `{id}` is complete: `{}` is stable", release.candidate);
            return Ok(done(Some(id), vec![event], message));
        }
        Phase::Preparing { .. } | Phase::Stepping { .. } => {}
    }
    let Some((step, planned)) = to.and_then(|to| Some((to, release.plan.steps.get(to)?))) else {
        return refuse(Conflict::NoFurtherStep);
    };
    let paused = if release.paused_at.is_some() { "; it is still paused" } else { "" };
    let message = format!("release `{id}` is promoted to {}{paused}", planned.weight);
    let event = Event::StepEntered { id: id.clone(), step, weight: planned.weight, evidence: None };
    Ok(done(Some(id), vec![event], message))
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
        let id = &release.id;
        let message = format!("release `{id}` has left step {from}: it is on step {current}");
        return Ok(unchanged(Some(id), message));
    }
    Err(wrong_phase(release, "promote", Conflict::OtherStep { current, from }))
}

fn pause(release: &Release) -> Result<Decision, Refusal> {
    let id = &release.id;
    if !release.is_running() {
        return Err(wrong_phase(release, "pause", Conflict::Ended));
    }
    if release.paused_at.is_some() {
        return Ok(unchanged(Some(id), format!("release `{id}` is paused already")));
    }
    let event = Event::Paused { id: id.clone() };
    let message = format!("release `{id}` is paused at {}", release.weight());
    Ok(done(Some(id), vec![event], message))
}

fn resume(release: &Release) -> Result<Decision, Refusal> {
    let id = &release.id;
    if !release.is_running() {
        return Err(wrong_phase(release, "resume", Conflict::Ended));
    }
    if release.paused_at.is_none() {
        return Ok(unchanged(Some(id), format!("release `{id}` is not paused")));
    }
    let event = Event::Resumed { id: id.clone() };
    let overridden = release.paused_by_guardrail.as_ref().map_or_else(String::new, |finding| {
        format!(", and its broken {} is overridden until its next step", finding.guardrail)
    });
    Ok(done(Some(id), vec![event], format!("release `{id}` is resumed{overridden}")))
}

fn abort(service: &ServiceState, release: &Release) -> Result<Decision, Refusal> {
    match release.phase {
        Phase::Watching { .. } => Err(wrong_phase(release, "abort", Conflict::AtFullWeight)),
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
        return Some(Ok(already_rolled_back(id, &service.stable)));
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

fn already_rolled_back(id: &ReleaseId, stable: &VersionName) -> Decision {
    unchanged(Some(id), format!("release `{id}` is rolled back already; `{stable}` is stable"))
}

fn restored(service: &ServiceState, id: &ReleaseId, previous: &VersionName) -> Decision {
    let event = Event::StableRestored {
        service: service.spec.name.clone(),
        version: previous.clone(),
        cause: RollbackCause::Operator,
    };
    let quarantined = service.quarantined.get(previous).map_or_else(String::new, |it| {
        format!(", although it is quarantined by the security signal `{}`", it.signal)
    });
    let message =
        format!("release `{id}` is rolled back: `{previous}` is stable again{quarantined}");
    done(Some(id), vec![event], message)
}

/// Rolls back a release that is not complete. If it is rolled back already, the answer names the command for the release
/// before it.
fn roll_back(service: &ServiceState, release: &Release) -> Decision {
    let id = &release.id;
    if !release.is_running() {
        let (events, mut outcome) = already_rolled_back(id, &service.stable);
        let completed =
            service.last_completed.as_ref().filter(|it| it.id != *id && !it.rolled_back);
        if let Some((before, previous)) = completed.zip(service.previous.as_ref()) {
            let (name, before) = (&service.spec.name, &before.id);
            outcome.message += &format!(
                ". To restore `{previous}`: tidegate release rollback {name} --release {before}"
            );
        }
        return (events, outcome);
    }
    let event = rolled_back(id, RollbackCause::Operator);
    let stable = &release.stable;
    let message = format!("release `{id}` is rolled back: `{stable}` receives all traffic");
    done(Some(id), vec![event], message)
}

pub(super) fn rolled_back(id: &ReleaseId, cause: RollbackCause) -> Event {
    Event::RolledBack { id: id.clone(), cause }
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
