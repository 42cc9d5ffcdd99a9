//! Commands of operators on one release. A rollback is possible in every phase in which there is a version to go back to;
//! no blocker applies to it.

use super::{Decision, approve, done, groups, requirements, unchanged};
use crate::model::command::{CommandContext, Refusal, ReleaseCommand};
use crate::model::event::Event;
use crate::model::failure::SmokeTestFailure;
use crate::model::refusal::Conflict;
use crate::model::release::{Phase, Release, RollbackCause};
use crate::model::state::{ServiceState, State};
use crate::names::ReleaseId;

pub(super) fn decide(
    state: &State,
    command_context: &CommandContext<'_>,
    id: &ReleaseId,
    command: &ReleaseCommand,
) -> Result<Decision, Refusal> {
    let (service, release) = find(state, id)?;
    match command {
        ReleaseCommand::Promote { .. } | ReleaseCommand::Pause | ReleaseCommand::Resume => {
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
        ReleaseCommand::Approve { role } => approve::approve(release, command_context, role),
        ReleaseCommand::Pause => pause(release),
        ReleaseCommand::Resume => resume(release),
        ReleaseCommand::Abort => abort(release),
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
    let blockers = requirements::missing(state, service, release, command_context.at, to);
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

fn abort(release: &Release) -> Result<Decision, Refusal> {
    match release.phase {
        Phase::Watching { .. } => Err(wrong_phase(release, "abort", Conflict::AtFullWeight)),
        Phase::Completed { .. } => Err(wrong_phase(release, "abort", Conflict::Complete)),
        Phase::Preparing { .. } | Phase::Stepping { .. } | Phase::RolledBack { .. } => {
            Ok(roll_back(release))
        }
    }
}

fn rollback(service: &ServiceState, release: &Release) -> Result<Decision, Refusal> {
    if !matches!(release.phase, Phase::Completed { .. }) {
        return Ok(roll_back(release));
    }
    let Some(previous) = &service.previous else {
        let conflict = Conflict::PreviousVersionGone { version: release.stable.clone() };
        return Err(wrong_phase(release, "roll back", conflict));
    };
    let event = Event::StableRestored {
        service: release.service.clone(),
        version: previous.clone(),
        cause: RollbackCause::Operator,
    };
    let quarantined = service.quarantined.get(previous).map_or_else(String::new, |it| {
        format!(", although it is quarantined by the security signal `{}`", it.signal)
    });
    let message = format!("`{previous}` is stable again for `{}`{quarantined}", release.service);
    Ok(done(Some(&release.id), vec![event], message))
}

/// Rolls back a release that is not complete.
fn roll_back(release: &Release) -> Decision {
    let id = &release.id;
    if !release.is_running() {
        return unchanged(Some(id), format!("release `{id}` is rolled back already"));
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
        ReleaseCommand::Promote { .. } => "promote",
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
