//! Freezes of deployments: by hand, and by the windows that the configuration declares.

use std::collections::BTreeSet;

use super::{Decision, decision, find, reason, unchanged};
use crate::model::command::{CommandContext, Refusal};
use crate::model::event::Event;
use crate::model::freeze::{
    FreezeSchedule, FreezeWindow, MAX_FREEZE_WINDOWS, ManualFreeze, time_zone,
};
use crate::model::outcome::Effect;
use crate::model::refusal::Invalid;
use crate::model::state::State;
use crate::names::ServiceName;

pub(super) fn freeze(
    state: &State,
    command_context: &CommandContext<'_>,
    service: Option<&ServiceName>,
) -> Result<Decision, Refusal> {
    if let Some(freeze) = current(state, service)? {
        let effect = Effect::Frozen { service: service.cloned(), by: freeze.by.clone() };
        return Ok(unchanged(None, effect));
    }
    let by = command_context.actor.to_owned();
    let effect = Effect::Frozen { service: service.cloned(), by: by.clone() };
    let reason = reason(command_context);
    let event = Event::DeploymentsFrozen { service: service.cloned(), by, reason };
    Ok(decision(None, vec![event], effect))
}

pub(super) fn unfreeze(state: &State, service: Option<&ServiceName>) -> Result<Decision, Refusal> {
    let effect = Effect::Unfrozen { service: service.cloned() };
    if current(state, service)?.is_none() {
        return Ok(unchanged(None, effect));
    }
    let event = Event::DeploymentsUnfrozen { service: service.cloned() };
    Ok(decision(None, vec![event], effect))
}

fn current<'a>(
    state: &'a State,
    service: Option<&ServiceName>,
) -> Result<Option<&'a ManualFreeze>, Refusal> {
    Ok(match service {
        Some(name) => find(state, name)?.frozen.as_ref(),
        None => state.frozen.as_ref(),
    })
}

/// The event that declares freeze windows, if they differ.
pub(super) fn freeze_windows(
    state: &State,
    freeze_windows: &[FreezeWindow],
) -> Result<Option<Event>, Refusal> {
    if freeze_windows == state.freeze_windows {
        return Ok(None);
    }
    if freeze_windows.len() > MAX_FREEZE_WINDOWS {
        return Err(Invalid::TooManyFreezeWindows(freeze_windows.len()).into());
    }
    let mut names = BTreeSet::new();
    for freeze in freeze_windows {
        if !names.insert(&freeze.name) {
            return Err(Invalid::DuplicateFreezeWindow(freeze.name.clone()).into());
        }
        check(freeze)?;
    }
    Ok(Some(Event::FreezeWindowsApplied { freeze_windows: freeze_windows.to_vec() }))
}

fn check(FreezeWindow { name, when, .. }: &FreezeWindow) -> Result<(), Invalid> {
    match when {
        FreezeSchedule::Weekly { days, .. } if days.is_empty() => {
            Err(Invalid::FreezeWindowWithoutDays(name.clone()))
        }
        FreezeSchedule::Weekly { time_zone: zone, .. } => match time_zone(zone) {
            Ok(_) => Ok(()),
            Err(error) => Err(Invalid::FreezeWindowZone { name: name.clone(), error }),
        },
        FreezeSchedule::Once { start, end } if start >= end => {
            Err(Invalid::EmptyFreezeWindow(name.clone()))
        }
        FreezeSchedule::Once { .. } => Ok(()),
    }
}
