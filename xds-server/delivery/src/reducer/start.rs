//! The beginning of a release.

use super::deploy::{invalid, place, running};
use super::{Decision, done, list, unchanged};
use crate::model::catalogue::VersionSpec;
use crate::model::command::{CommandContext, Refusal};
use crate::model::commit::Commit;
use crate::model::event::Event;
use crate::model::plan::Plan;
use crate::model::signals::because;
use crate::model::state::{ServiceState, State};
use crate::names::{ReleaseId, VersionName};
use crate::text;

/// In a freeze, or while the line is stopped, a release begins all the same: at 0 % nobody meets
/// it, checks and approvals can come in meanwhile, and CI need not know the calendar.
pub(super) fn release(
    state: &State,
    service: &ServiceState,
    command_context: &CommandContext<'_>,
    candidate: &VersionName,
    plan: Option<&Plan>,
    commit: Option<&Commit>,
) -> Result<Decision, Refusal> {
    match service.running() {
        Some(release) if release.candidate == *candidate => {
            let (id, weight) = (&release.id, release.weight());
            let message = format!("release `{id}` to `{candidate}` is running, at {weight}");
            Ok(unchanged(Some(id), message))
        }
        Some(release) => Err(running(release)),
        None => begin(state, service, command_context, candidate, plan, commit),
    }
}

/// Begins a release of a service of which none runs.
pub(super) fn begin(
    state: &State,
    service: &ServiceState,
    command_context: &CommandContext<'_>,
    candidate: &VersionName,
    plan: Option<&Plan>,
    commit: Option<&Commit>,
) -> Result<Decision, Refusal> {
    let name = &service.spec.name;
    if *candidate == service.stable {
        return Err(Refusal::AlreadyStable { service: name.clone(), version: candidate.clone() });
    }
    if let Some(objection) = service.quarantined.get(candidate) {
        return Err(Refusal::Quarantined {
            service: name.clone(),
            version: candidate.clone(),
            signal: objection.signal.clone(),
            since: objection.since,
            why: because(objection.reason.as_deref()),
        });
    }
    let plan = Plan {
        requires: service.spec.plan.requires.clone(),
        ..plan.unwrap_or(&service.spec.plan).clone()
    };
    plan.validate().map_err(|error| invalid(name, &error))?;
    if let Some(commit) = commit {
        commit.validate().map_err(|error| Refusal::Invalid(error.to_string()))?;
    }
    let id = ReleaseId::of(name, service.releases.saturating_add(1))?;

    let mut events = Vec::new();
    if !service.spec.versions.contains_key(candidate) {
        events.push(deploy(service, candidate)?);
    }
    events.push(Event::ReleaseStarted {
        id: id.clone(),
        service: name.clone(),
        candidate: candidate.clone(),
        stable: service.stable.clone(),
        plan,
        by: Some(command_context.actor.to_owned()),
        commit: commit.cloned(),
    });
    let freezes = state.active_freezes(service, command_context.wall);
    let held = if freezes.is_empty() {
        String::new()
    } else {
        format!(", and stays at 0%: it waits for {}", text::blockers(&freezes))
    };
    let stable = &service.stable;
    let message =
        format!("release `{id}` of `{name}` from `{stable}` to `{candidate}` begins{held}");
    Ok(done(Some(&id), events, message))
}

/// A version that is not there yet can only be meant for the environment that does not serve.
fn deploy(service: &ServiceState, candidate: &VersionName) -> Result<Event, Refusal> {
    let spec = &service.spec;
    let Some(environments) = &spec.environments else {
        return Err(Refusal::UnknownVersion {
            service: spec.name.clone(),
            version: candidate.clone(),
            known: list(spec.versions.keys()),
        });
    };
    let stable = spec.versions.get(&service.stable);
    let Some(active) = stable.and_then(|it| it.environment) else {
        return Err(Refusal::Invalid(format!(
            "service `{}`: its stable version `{}` is in neither environment; register it in one first",
            spec.name, service.stable
        )));
    };
    let inactive = active.other();
    let version = VersionSpec {
        endpoints: environments.endpoints(inactive).to_vec(),
        environment: Some(inactive),
    };
    version.validate(candidate, true).map_err(|error| invalid(&spec.name, &error))?;
    place(service, candidate, version)
}
