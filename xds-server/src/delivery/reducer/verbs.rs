//! What operators do to a release. Rollback is always possible while there is something to go
//! back to; no gate, pause or wait stands in its way.

use super::{Decision, done, so_already};
use crate::delivery::command::{Refusal, ReleaseCommand};
use crate::delivery::event::Event;
use crate::delivery::names::ReleaseId;
use crate::delivery::release::{Phase, Release, RollbackCause};
use crate::delivery::state::{ServiceState, State};

/// Most of a failed smoke test's words that the journal keeps, in characters.
const MAX_FAILURE: usize = 500;

pub(super) fn decide(
    state: &State,
    id: &ReleaseId,
    command: &ReleaseCommand,
) -> Result<Decision, Refusal> {
    let (service, release) = find(state, id)?;
    match command {
        ReleaseCommand::Promote { all } => promote(release, *all),
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
        return Ok(so_already(Some(id), message));
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
            done(Some(id), vec![rolled_back(id, cause)], message)
        }
    })
}

fn find<'a>(state: &'a State, id: &ReleaseId) -> Result<(&'a ServiceState, &'a Release), Refusal> {
    state
        .service_of(id)
        .and_then(|service| Some((service, service.release.as_ref()?)))
        .ok_or_else(|| Refusal::UnknownRelease(id.to_string()))
}

fn promote(release: &Release, all: bool) -> Result<Decision, Refusal> {
    let id = &release.id;
    let next = match &release.phase {
        Phase::Completed { .. } => {
            return Ok(so_already(Some(id), format!("release `{id}` is complete")));
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
            return Ok(so_already(Some(id), message));
        }
        Phase::Watching { .. } => {
            let event = Event::Completed { id: id.clone(), evidence: None };
            let message = format!("release `{id}` is complete: `{}` is stable", release.candidate);
            return Ok(done(Some(id), vec![event], message));
        }
        Phase::Preparing { .. } => 0,
        Phase::Stepping { step, .. } => step.saturating_add(1),
    };
    let last = release.plan.steps.len().saturating_sub(1);
    let step = if all { last } else { next };
    let Some(planned) = release.plan.steps.get(step) else {
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
        return Ok(so_already(Some(id), format!("release `{id}` is held")));
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
        return Ok(so_already(Some(id), format!("release `{id}` is not held")));
    }
    let event = Event::Resumed { id: id.clone() };
    Ok(done(Some(id), vec![event], format!("release `{id}` goes on")))
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
            };
            let message = format!("`{previous}` serves `{}` again", release.service);
            Ok(done(Some(&release.id), vec![event], message))
        }
        None => {
            let why = format!(
                "`{}`, which served before it, does not run any more; register it and release it",
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
        return so_already(Some(id), format!("release `{id}` went back before"));
    }
    let event = rolled_back(id, RollbackCause::Operator);
    let message = format!("release `{id}` went back: `{}` serves everybody", release.stable);
    done(Some(id), vec![event], message)
}

fn rolled_back(id: &ReleaseId, cause: RollbackCause) -> Event {
    Event::RolledBack { id: id.clone(), cause }
}

fn wrong(release: &Release, verb: &'static str, why: &str) -> Refusal {
    Refusal::WrongPhase { verb, release: release.id.clone(), why: why.to_owned() }
}
