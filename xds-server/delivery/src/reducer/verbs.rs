//! What operators do to a release. Rollback is always possible while there is something to go
//! back to; no gate, pause or wait stands in its way.

use super::{Decision, approve, done, groups, requirements, unchanged};
use crate::model::command::{CommandContext, Refusal, ReleaseCommand};
use crate::model::event::Event;
use crate::model::release::{Phase, Release, RollbackCause};
use crate::model::state::{ServiceState, State};
use crate::names::ReleaseId;
use crate::text;

/// Most of a failed smoke test's words that the journal keeps, in characters.
const MAX_FAILURE: usize = 500;

pub(super) fn decide(
    state: &State,
    command_context: &CommandContext<'_>,
    id: &ReleaseId,
    command: &ReleaseCommand,
) -> Result<Decision, Refusal> {
    let (service, release) = find(state, id)?;
    match command {
        ReleaseCommand::Promote { .. } | ReleaseCommand::Pause | ReleaseCommand::Resume => {
            groups::not_alone(state, release, command)?;
            alone(state, command_context, service, release, command)
        }
        ReleaseCommand::Approve { .. } => alone(state, command_context, service, release, command),
        ReleaseCommand::Abort | ReleaseCommand::Rollback => {
            let (events, outcome) = alone(state, command_context, service, release, command)?;
            Ok((groups::follow(state, events), outcome))
        }
    }
}

/// What is asked of a release, without those that go together with it.
pub(super) fn alone(
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
    result: &Result<(), String>,
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
            let failure = failure.chars().take(MAX_FAILURE).collect();
            let message = format!("release `{id}` went back: a smoke test failed: {failure}");
            let cause = RollbackCause::SmokeTest { failure };
            done(Some(id), groups::follow(state, vec![rolled_back(id, cause)]), message)
        }
    })
}

fn find<'a>(state: &'a State, id: &ReleaseId) -> Result<(&'a ServiceState, &'a Release), Refusal> {
    state
        .service_of(id)
        .and_then(|service| Some((service, service.release.as_ref()?)))
        .ok_or_else(|| Refusal::UnknownRelease(id.to_string()))
}

/// An operator may go on without time, evidence or sidecars, and against an alert; not without
/// what others have to say: checks, approvals, freezes and the line.
fn promote(
    state: &State,
    service: &ServiceState,
    release: &Release,
    command_context: &CommandContext<'_>,
    all: bool,
) -> Result<Decision, Refusal> {
    let id = &release.id;
    let last = release.plan.steps.len().saturating_sub(1);
    let to = if all { Some(last) } else { release.next_step() };
    let missing = requirements::missing(state, service, release, command_context.wall, to);
    let may_not = || format!("it waits for {}", text::blockers(&missing));
    match &release.phase {
        Phase::Completed { .. } => {
            return Ok(unchanged(Some(id), format!("release `{id}` is complete")));
        }
        Phase::RolledBack { .. } => {
            return Err(wrong(release, "promote", "it went back; start a new release"));
        }
        Phase::Preparing { tested: false, .. } => {
            let why = "its smoke tests have not passed yet; wait for them, or abort it";
            return Err(wrong(release, "promote", why));
        }
        Phase::Watching { .. } if all => {
            let message = format!(
                "release `{id}` is at 100% and watched; promote it without `all` to complete it now"
            );
            return Ok(unchanged(Some(id), message));
        }
        _ if !missing.is_empty() => return Err(wrong(release, "promote", &may_not())),
        Phase::Watching { .. } => {
            let event = Event::Completed { id: id.clone(), evidence: None };
            let message = format!("release `{id}` is complete: `{}` is stable", release.candidate);
            return Ok(done(Some(id), vec![event], message));
        }
        Phase::Preparing { .. } | Phase::Stepping { .. } => {}
    }
    let Some((step, planned)) = to.and_then(|to| Some((to, release.plan.steps.get(to)?))) else {
        return Err(wrong(release, "promote", "its plan has no further step; roll it back"));
    };
    let held =
        if release.paused_at.is_some() { ", and is held there until it is resumed" } else { "" };
    let message = format!("release `{id}` goes to {}{held}", planned.weight);
    let event = Event::StepEntered { id: id.clone(), step, weight: planned.weight, evidence: None };
    Ok(done(Some(id), vec![event], message))
}

fn pause(release: &Release) -> Result<Decision, Refusal> {
    let id = &release.id;
    if !release.is_running() {
        return Err(wrong(release, "pause", "it has ended"));
    }
    if release.paused_at.is_some() {
        return Ok(unchanged(Some(id), format!("release `{id}` is held")));
    }
    let event = Event::Paused { id: id.clone() };
    let message = format!("release `{id}` is held at {}", release.weight());
    Ok(done(Some(id), vec![event], message))
}

fn resume(release: &Release) -> Result<Decision, Refusal> {
    let id = &release.id;
    if !release.is_running() {
        return Err(wrong(release, "resume", "it has ended"));
    }
    if release.paused_at.is_none() {
        return Ok(unchanged(Some(id), format!("release `{id}` is not held")));
    }
    let event = Event::Resumed { id: id.clone() };
    let against = release.held.as_ref().map_or_else(String::new, |finding| {
        format!(", against its broken {}, until its next step", finding.guardrail)
    });
    Ok(done(Some(id), vec![event], format!("release `{id}` goes on{against}")))
}

fn abort(release: &Release) -> Result<Decision, Refusal> {
    match release.phase {
        Phase::Watching { .. } => {
            Err(wrong(release, "abort", "it is at 100% already; roll it back instead"))
        }
        Phase::Completed { .. } => {
            Err(wrong(release, "abort", "it is complete; roll it back instead"))
        }
        Phase::Preparing { .. } | Phase::Stepping { .. } | Phase::RolledBack { .. } => {
            Ok(go_back(release))
        }
    }
}

fn rollback(service: &ServiceState, release: &Release) -> Result<Decision, Refusal> {
    if !matches!(release.phase, Phase::Completed { .. }) {
        return Ok(go_back(release));
    }
    match &service.previous {
        Some(previous) => {
            let event = Event::StableRestored {
                service: release.service.clone(),
                version: previous.clone(),
                cause: RollbackCause::Operator,
            };
            let unsafe_too = service.quarantined.get(previous);
            let unsafe_too = unsafe_too.map_or_else(String::new, |it| {
                format!(", although it is quarantined by the security signal `{}`", it.signal)
            });
            let message = format!("`{previous}` serves `{}` again{unsafe_too}", release.service);
            Ok(done(Some(&release.id), vec![event], message))
        }
        None => {
            let why = format!(
                "`{}`, which served before it, is not kept any more; release it instead",
                release.stable
            );
            Err(wrong(release, "roll back", &why))
        }
    }
}

/// Everything to stable, for a release that is not complete.
fn go_back(release: &Release) -> Decision {
    let id = &release.id;
    if !release.is_running() {
        return unchanged(Some(id), format!("release `{id}` went back before"));
    }
    let event = rolled_back(id, RollbackCause::Operator);
    let message = format!("release `{id}` went back: `{}` serves everybody", release.stable);
    done(Some(id), vec![event], message)
}

pub(super) fn rolled_back(id: &ReleaseId, cause: RollbackCause) -> Event {
    Event::RolledBack { id: id.clone(), cause }
}

/// As it is asked for.
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

pub(super) fn wrong(release: &Release, verb: &'static str, why: &str) -> Refusal {
    Refusal::WrongPhase { verb, release: release.id.clone(), why: why.to_owned() }
}
