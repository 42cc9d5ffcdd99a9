//! The beginning of a release.

use super::deploy::{invalid, place, running};
use super::{Decision, done, list};
use crate::delivery::catalogue::VersionSpec;
use crate::delivery::command::Refusal;
use crate::delivery::commit::Commit;
use crate::delivery::event::Event;
use crate::delivery::names::{ReleaseId, VersionName};
use crate::delivery::plan::Plan;
use crate::delivery::state::ServiceState;

pub(super) fn release(
    service: &ServiceState,
    candidate: &VersionName,
    plan: Option<&Plan>,
    commit: Option<&Commit>,
) -> Result<Decision, Refusal> {
    let name = &service.spec.name;
    if let Some(release) = service.running() {
        return Err(running(release));
    }
    if *candidate == service.stable {
        return Err(Refusal::AlreadyStable { service: name.clone(), version: candidate.clone() });
    }
    let plan = plan.unwrap_or(&service.spec.plan);
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
        plan: plan.clone(),
        commit: commit.cloned(),
    });
    let message =
        format!("release `{id}` of `{name}` from `{}` to `{candidate}` begins", service.stable);
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
