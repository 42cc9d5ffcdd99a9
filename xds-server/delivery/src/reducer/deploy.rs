//! Deployments: what the catalogue declares and what CI registers.

use super::{Decision, done, mid_release, unchanged};
use crate::fold::catalogue::by_name;
use crate::model::catalogue::{MAX_VERSIONS, ServiceSpec, SpecError, VersionSpec};
use crate::model::command::Refusal;
use crate::model::event::Event;
use crate::model::misfit::Conflict;
use crate::model::release::Release;
use crate::model::state::{ServiceState, State};
use crate::names::{ServiceName, VersionName};

pub(super) fn catalogue(state: &State, services: &[ServiceSpec]) -> Result<Decision, Refusal> {
    for spec in services {
        spec.validate().map_err(|error| invalid(&spec.name, &error))?;
    }
    let declared = by_name(services);
    if declared.len() < services.len() {
        return Err(Refusal::Invalid("a service is declared twice: names must differ".to_owned()));
    }
    mid_release::check(state, services)?;
    if declared == *state.declared {
        return Ok(unchanged(None, "the catalogue is this already".to_owned()));
    }
    let message = format!("the catalogue has {} services now", services.len());
    let services = services.to_vec();
    Ok(done(None, vec![Event::CatalogueApplied { services }], message))
}

pub(super) fn version(
    service: &ServiceState,
    version: &VersionName,
    spec: &VersionSpec,
) -> Result<Decision, Refusal> {
    let name = &service.spec.name;
    spec.validate(version, service.spec.environments.is_some())
        .map_err(|error| invalid(name, &error))?;
    if service.spec.versions.get(version) == Some(spec) {
        let message = format!("version `{version}` of `{name}` runs there already");
        return Ok(unchanged(None, message));
    }
    let event = place(service, version, spec.clone())?;
    let message = format!("version `{version}` of `{name}` is registered");
    Ok(done(None, vec![event], message))
}

/// The event that deploys a version, if it can be deployed.
pub(super) fn place(
    service: &ServiceState,
    version: &VersionName,
    spec: VersionSpec,
) -> Result<Event, Refusal> {
    let name = &service.spec.name;
    let displaced = match service.displaced_by(version, &spec) {
        Ok(displaced) => displaced,
        Err(conflict) => return Err(refuse(service, &conflict)),
    };
    let versions = &service.spec.versions;
    let grows = displaced.is_none() && !versions.contains_key(version);
    if grows && versions.len() >= MAX_VERSIONS {
        return Err(invalid(name, &SpecError::TooManyVersions));
    }
    Ok(Event::VersionRegistered { service: name.clone(), version: version.clone(), spec })
}

fn refuse(service: &ServiceState, conflict: &Conflict) -> Refusal {
    let (Conflict::Occupied { occupant: held, .. } | Conflict::Moves { version: held, .. }) =
        conflict;
    match service.running() {
        Some(release) if release.candidate == *held => running(release),
        _ => invalid(&service.spec.name, conflict),
    }
}

pub(super) fn running(release: &Release) -> Refusal {
    Refusal::AlreadyRunning {
        service: release.service.clone(),
        running: release.id.clone(),
        candidate: release.candidate.clone(),
    }
}

pub(super) fn invalid(service: &ServiceName, error: &impl std::error::Error) -> Refusal {
    Refusal::Invalid(format!("service `{service}`: {error}"))
}
