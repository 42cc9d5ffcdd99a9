//! Results of effects outside the sidecars: health checks, hook calls, DNS updates. None of them changes the weight.

use super::{Decision, done, unchanged};
use crate::model::command::Refusal;
use crate::model::dns::RecordSet;
use crate::model::event::Event;
use crate::model::health::InstanceHealth;
use crate::model::hook::MAX_FAILURE;
use crate::model::state::{ServiceState, State};
use crate::names::{HookName, ReleaseId};

pub(super) fn hook_ended(
    state: &State,
    id: &ReleaseId,
    hook: &HookName,
    attempts: u32,
    result: &Result<(), String>,
) -> Result<Decision, Refusal> {
    let service = state.services.get(id.service());
    let service = service.ok_or_else(|| Refusal::UnknownRelease(id.to_string()))?;
    if service.due_call(id, hook).is_none() {
        return Ok(unchanged(Some(id), format!("release `{id}` has no due call of hook `{hook}`")));
    }
    let (id, hook) = (id.clone(), hook.clone());
    let (event, message) = match result {
        Ok(()) => {
            let message = format!("hook `{hook}` of release `{id}` was called");
            (Event::HookSucceeded { id: id.clone(), hook, attempts }, message)
        }
        Err(error) => {
            let error = clip(error);
            let message = format!("hook `{hook}` of release `{id}` failed: {error}");
            (Event::HookFailed { id: id.clone(), hook, attempts, error }, message)
        }
    };
    Ok(done(Some(&id), vec![event], message))
}

pub(super) fn health(
    state: &State,
    id: &ReleaseId,
    health: &InstanceHealth,
) -> Result<Decision, Refusal> {
    let release = state.release(id).ok_or_else(|| Refusal::UnknownRelease(id.to_string()))?;
    if release.health_check().is_none() || release.health.as_ref() == Some(health) {
        return Ok(unchanged(
            Some(id),
            format!("release `{id}`: the health of its instances is unchanged"),
        ));
    }
    let message = match health.is_healthy() {
        true => format!("release `{id}`: its instances are healthy"),
        false => format!("release `{id}`: instances are unhealthy: {health}"),
    };
    let event = Event::HealthChanged { id: id.clone(), health: health.clone() };
    Ok(done(Some(id), vec![event], message))
}

pub(super) fn dns_checked(
    service: &ServiceState,
    result: &Result<RecordSet, String>,
) -> Result<Decision, Refusal> {
    let name = service.spec.name.clone();
    let wanted = service.desired_records();
    Ok(match result {
        Ok(records) if wanted.as_ref() != Some(records) => {
            unchanged(None, format!("the records of `{name}` are no longer the desired ones"))
        }
        Ok(records) => {
            let message = format!("the records of `{name}` are {records}");
            let event = Event::DnsUpdated { service: name, records: records.clone() };
            done(None, vec![event], message)
        }
        Err(error) => {
            let error = clip(error);
            if service.spec.dns.is_none() || service.dns.error.as_ref() == Some(&error) {
                return Ok(unchanged(None, format!("the records of `{name}`: {error}")));
            }
            let message = format!("the records of `{name}` could not be updated: {error}");
            done(None, vec![Event::DnsFailed { service: name, error }], message)
        }
    })
}

fn clip(error: &str) -> String {
    error.chars().take(MAX_FAILURE).collect()
}
