//! Results of effects outside the sidecars: health checks, hook calls, DNS updates. None of them changes the weight.

use super::{Decision, decision, unchanged};
use crate::model::command::Refusal;
use crate::model::dns::RecordSet;
use crate::model::event::Event;
use crate::model::health::InstanceHealth;
use crate::model::hook::{MAX_FAILURE, Moment};
use crate::model::outcome::Effect;
use crate::model::state::{ServiceState, State};
use crate::names::{HookName, ReleaseId};

pub(super) fn hook_ended(
    state: &State,
    id: &ReleaseId,
    hook: &HookName,
    on: Moment,
    attempts: u32,
    result: &Result<(), String>,
) -> Result<Decision, Refusal> {
    let service = state.services.get(id.service());
    let service = service.ok_or_else(|| Refusal::UnknownRelease(id.to_string()))?;
    let error = result.as_ref().err().map(|error| clip(error));
    let effect = Effect::HookEnded { hook: hook.clone(), error: error.clone() };
    if service.due_call(id, hook, on).is_none() {
        return Ok(unchanged(Some(id), effect));
    }
    let event = match error {
        None => Event::HookSucceeded { id: id.clone(), hook: hook.clone(), on, attempts },
        Some(error) => {
            Event::HookFailed { id: id.clone(), hook: hook.clone(), on, attempts, error }
        }
    };
    Ok(decision(Some(id), vec![event], effect))
}

pub(super) fn health(
    state: &State,
    id: &ReleaseId,
    health: &InstanceHealth,
) -> Result<Decision, Refusal> {
    let release = state.release(id).ok_or_else(|| Refusal::UnknownRelease(id.to_string()))?;
    let effect = Effect::HealthChecked { health: health.clone() };
    if release.health_check().is_none() || release.health.as_ref() == Some(health) {
        return Ok(unchanged(Some(id), effect));
    }
    let event = Event::HealthChanged { id: id.clone(), health: health.clone() };
    Ok(decision(Some(id), vec![event], effect))
}

pub(super) fn dns_checked(
    service: &ServiceState,
    result: &Result<RecordSet, String>,
) -> Result<Decision, Refusal> {
    let name = service.spec.name.clone();
    Ok(match result {
        Ok(records) => {
            let effect = Effect::DnsUpdated { service: name.clone(), records: records.clone() };
            if service.desired_records().as_ref() != Some(records) {
                return Ok(unchanged(None, effect));
            }
            let event = Event::DnsUpdated { service: name, records: records.clone() };
            decision(None, vec![event], effect)
        }
        Err(error) => {
            let error = clip(error);
            let effect = Effect::DnsFailed { service: name.clone(), error: error.clone() };
            if service.spec.dns.is_none() || service.dns.error.as_ref() == Some(&error) {
                return Ok(unchanged(None, effect));
            }
            decision(None, vec![Event::DnsFailed { service: name, error }], effect)
        }
    })
}

fn clip(error: &str) -> String {
    error.chars().take(MAX_FAILURE).collect()
}
