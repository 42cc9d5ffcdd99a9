//! Deployments: services that the catalogue declares, and versions that CI registers and removes.

use super::{Decision, decision, unchanged};
use crate::fold::catalogue::by_name;
use crate::model::catalogue::{MAX_VERSIONS, ServiceSpec, SpecError, VersionSpec};
use crate::model::command::Refusal;
use crate::model::event::Event;
use crate::model::flag;
use crate::model::fold_error::PlacementError;
use crate::model::outcome::Effect;
use crate::model::refusal::{Invalid, VersionUsage};
use crate::model::release::Release;
use crate::model::state::{ServiceState, State};
use crate::names::{ServiceName, VersionName};

/// Checks each service, and that their names differ.
pub(super) fn validate(services: &[ServiceSpec]) -> Result<(), Refusal> {
    for (number, spec) in services.iter().enumerate() {
        spec.validate().map_err(|error| invalid(&spec.name, error))?;
        if services.iter().take(number).any(|before| before.name == spec.name) {
            return Err(Invalid::DuplicateService(spec.name.clone()).into());
        }
    }
    Ok(())
}

/// The event that declares valid services, if they differ.
pub(super) fn catalogue(state: &State, services: Vec<ServiceSpec>) -> Option<Event> {
    let differs = by_name(&services) != *state.declared;
    differs.then_some(Event::CatalogueApplied { services })
}

pub(super) fn version(
    service: &ServiceState,
    version: &VersionName,
    spec: &VersionSpec,
) -> Result<Decision, Refusal> {
    let name = &service.spec.name;
    let spec = completed(&service.spec, spec);
    service.spec.validate_version(version, &spec).map_err(|error| invalid(name, error))?;
    if let Some(commit) = &spec.commit {
        commit.validate().map_err(Invalid::from)?;
    }
    let waits = |release: &&Release| release.candidate == *version;
    if let Some(release) = service.running().filter(waits) {
        spec.validate_probes(version, &release.plan).map_err(|error| invalid(name, error))?;
    }
    if let Some(first) = overlapped(&service.spec, version, &spec) {
        let (first, second) = (first.clone(), version.clone());
        return Err(invalid(name, SpecError::SharedTarget { first, second }));
    }
    let effect = Effect::VersionRegistered { service: name.clone(), version: version.clone() };
    if service.spec.versions.get(version) == Some(&spec) {
        return Ok(unchanged(None, effect));
    }
    Ok(decision(None, vec![place(service, version, spec)?], effect))
}

/// Removes a version. The declaration of the service stays: like a version that was registered, the removal holds until the
/// declaration of the version is edited.
pub(super) fn remove(
    state: &State,
    service: &ServiceState,
    version: &VersionName,
) -> Result<Decision, Refusal> {
    let name = &service.spec.name;
    let effect = Effect::VersionRemoved { service: name.clone(), version: version.clone() };
    if !service.spec.versions.contains_key(version) {
        return Ok(unchanged(None, effect));
    }
    if let Some(usage) = usage(state, service, version) {
        let (service, version) = (name.clone(), version.clone());
        return Err(Refusal::VersionInUse { service, version, usage });
    }
    let event = Event::VersionRemoved { service: name.clone(), version: version.clone() };
    Ok(decision(None, vec![event], effect))
}

/// What a version is in use for, if it is.
fn usage(state: &State, service: &ServiceState, version: &VersionName) -> Option<VersionUsage> {
    if service.stable == *version {
        return Some(VersionUsage::Stable);
    }
    if let Some(release) = service.running().filter(|release| release.candidate == *version) {
        return Some(VersionUsage::Candidate { release: release.id.clone() });
    }
    if service.previous.as_ref() == Some(version) {
        return Some(VersionUsage::Previous { until: service.previous_until });
    }
    // A flag does not select it now, so it takes nothing away.
    if service.flag_block(version).is_some() {
        return None;
    }
    let mut flags = state.flags.iter().filter(|(_, definition)| {
        flag::is_enabled(definition)
            && flag::routed_service(definition) == Some(service.spec.name.as_str())
    });
    let selecting = flags.find(|(_, definition)| {
        flag::variants(definition).any(|(_, value)| value.as_str() == Some(version.as_str()))
    });
    selecting.map(|(key, _)| VersionUsage::Flag { key: key.clone() })
}

/// A version of a service with the target of its environment in Istio, if it has one.
fn completed(service: &ServiceSpec, spec: &VersionSpec) -> VersionSpec {
    let environments = service.environments.as_ref();
    let target = environments.zip(spec.environment).and_then(|(all, it)| all.istio(it).cloned());
    VersionSpec { istio: target.or_else(|| spec.istio.clone()), ..spec.clone() }
}

/// Another version with the same target in Istio. Versions of environments replace each other.
fn overlapped<'a>(
    service: &'a ServiceSpec,
    version: &VersionName,
    spec: &VersionSpec,
) -> Option<&'a VersionName> {
    let target = spec.istio.as_ref().filter(|_| spec.environment.is_none())?;
    let mut others = service.versions.iter().filter(|(name, _)| *name != version);
    let same = |other: &VersionSpec| other.istio.as_ref().is_some_and(|it| it.overlaps(target));
    others.find(|(_, other)| same(other)).map(|(name, _)| name)
}

/// The event that deploys a version, if its environment is free.
pub(super) fn place(
    service: &ServiceState,
    version: &VersionName,
    spec: VersionSpec,
) -> Result<Event, Refusal> {
    let name = &service.spec.name;
    let displaced = service.displaced_by(version, &spec).map_err(|error| refuse(service, error))?;
    let versions = &service.spec.versions;
    let grows = displaced.is_none() && !versions.contains_key(version);
    if grows && versions.len() >= MAX_VERSIONS {
        return Err(invalid(name, SpecError::TooManyVersions));
    }
    Ok(Event::VersionRegistered { service: name.clone(), version: version.clone(), spec })
}

fn refuse(service: &ServiceState, error: PlacementError) -> Refusal {
    let (PlacementError::Occupied { occupant: in_use, .. }
    | PlacementError::Moves { version: in_use, .. }) = &error;
    match service.running() {
        Some(release) if release.candidate == *in_use => running(release),
        _ => Invalid::Placement { service: service.spec.name.clone(), error }.into(),
    }
}

pub(super) fn running(release: &Release) -> Refusal {
    Refusal::AlreadyRunning {
        service: release.service.clone(),
        running: release.id.clone(),
        candidate: release.candidate.clone(),
    }
}

pub(super) fn invalid(service: &ServiceName, error: SpecError) -> Refusal {
    Invalid::Service { service: service.clone(), error }.into()
}
