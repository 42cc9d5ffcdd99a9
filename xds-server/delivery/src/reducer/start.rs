//! The start of a release.

use super::deploy::{invalid, place, running};
use super::{Decision, decision, unchanged};
use crate::model::catalogue::VersionSpec;
use crate::model::command::{CommandContext, Refusal};
use crate::model::commit::Commit;
use crate::model::event::Event;
use crate::model::outcome::Effect;
use crate::model::plan::Plan;
use crate::model::refusal::{Invalid, Known, Weaknesses};
use crate::model::state::{ServiceState, State};
use crate::names::{ReleaseId, VersionName};

/// A freeze does not prevent the start: at 0 % the candidate receives no traffic, and checks and approvals can be given.
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
            let weight = release.weight();
            let effect = Effect::Running { candidate: candidate.clone(), weight };
            Ok(unchanged(Some(&release.id), effect))
        }
        Some(release) => Err(running(release)),
        None => begin(state, service, command_context, candidate, plan, commit),
    }
}

/// Starts a release of a service without a running release.
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
    if let Some(signal) = service.quarantined.get(candidate) {
        return Err(Refusal::Quarantined {
            service: name.clone(),
            version: candidate.clone(),
            signal: signal.signal.clone(),
            since: signal.since,
            reason: signal.reason.clone(),
        });
    }
    let required = &service.spec.plan;
    let plan = plan.map_or_else(|| required.clone(), |plan| plan.clone().completed_by(required));
    plan.validate().map_err(|error| invalid(name, error.into()))?;
    let weaker = plan.weaker_than(required);
    if !weaker.is_empty() {
        return Err(Refusal::WeakerPlan { service: name.clone(), weaker: Weaknesses(weaker) });
    }
    if let Some(commit) = commit {
        commit.validate().map_err(Invalid::from)?;
    }
    let of_version = || service.spec.versions.get(candidate)?.commit.as_ref();
    let commit = commit.or_else(of_version);
    let id = ReleaseId::of(name, service.releases.saturating_add(1))?;

    let mut events = Vec::new();
    match service.spec.versions.get(candidate) {
        Some(version) => {
            version.validate_probes(candidate, &plan).map_err(|error| invalid(name, error))?;
        }
        None => events.push(deploy(service, candidate, &plan)?),
    }
    events.push(Event::ReleaseStarted {
        id: id.clone(),
        service: name.clone(),
        candidate: candidate.clone(),
        stable: service.stable.clone(),
        plan,
        by: command_context.actor.to_owned(),
        commit: commit.cloned(),
    });
    let effect = Effect::Started {
        service: name.clone(),
        stable: service.stable.clone(),
        candidate: candidate.clone(),
        freezes: state.active_freezes(service, command_context.wall),
    };
    Ok(decision(Some(&id), events, effect))
}

/// Deploys an undeployed candidate to the inactive environment.
fn deploy(service: &ServiceState, candidate: &VersionName, plan: &Plan) -> Result<Event, Refusal> {
    let spec = &service.spec;
    let Some(environments) = &spec.environments else {
        return Err(Refusal::UnknownVersion {
            service: spec.name.clone(),
            version: candidate.clone(),
            known: Known::of(spec.versions.keys()),
        });
    };
    let stable = spec.versions.get(&service.stable);
    let Some(active) = stable.and_then(|it| it.environment) else {
        let (service, stable) = (spec.name.clone(), service.stable.clone());
        return Err(Invalid::StableWithoutEnvironment { service, stable }.into());
    };
    let inactive = active.other();
    let version = VersionSpec {
        endpoints: environments.endpoints(inactive).to_vec(),
        istio: environments.istio(inactive).cloned(),
        environment: Some(inactive),
        commit: None,
    };
    spec.validate_version(candidate, &version).map_err(|error| invalid(&spec.name, error))?;
    version.validate_probes(candidate, plan).map_err(|error| invalid(&spec.name, error))?;
    place(service, candidate, version)
}
