//! Freezes of deployments: by hand, and by the windows that the configuration declares.

use std::collections::BTreeSet;

use super::{Decision, done, find, reason, unchanged};
use crate::model::command::{CommandContext, Refusal};
use crate::model::event::Event;
use crate::model::freeze::{
    FreezeSchedule, FreezeWindow, MAX_FREEZE_WINDOWS, ManualFreeze, time_zone,
};
use crate::model::refusal::Invalid;
use crate::model::state::State;
use crate::names::ServiceName;

pub(super) fn freeze(
    state: &State,
    command_context: &CommandContext<'_>,
    service: Option<&ServiceName>,
) -> Result<Decision, Refusal> {
    let deployments = deployments(service);
    if let Some(freeze) = current(state, service)? {
        return Ok(unchanged(None, format!("{deployments} are frozen already, by {}", freeze.by)));
    }
    let event = Event::DeploymentsFrozen {
        service: service.cloned(),
        by: command_context.actor.to_owned(),
        reason: reason(command_context),
    };
    let message = format!("{deployments} are frozen: no release advances; rollbacks are possible");
    Ok(done(None, vec![event], message))
}

pub(super) fn unfreeze(state: &State, service: Option<&ServiceName>) -> Result<Decision, Refusal> {
    let deployments = deployments(service);
    if current(state, service)?.is_none() {
        return Ok(unchanged(None, format!("{deployments} are not frozen by hand")));
    }
    let event = Event::DeploymentsUnfrozen { service: service.cloned() };
    Ok(done(None, vec![event], format!("the freeze of {deployments} has ended")))
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

fn deployments(service: Option<&ServiceName>) -> String {
    let of = service.map_or_else(|| "all services".to_owned(), |name| format!("`{name}`"));
    format!("deployments of {of}")
}

pub(super) fn freeze_windows(
    state: &State,
    freeze_windows: &[FreezeWindow],
) -> Result<Decision, Refusal> {
    if freeze_windows == state.freeze_windows {
        return Ok(unchanged(None, "the freeze windows are unchanged".to_owned()));
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
    let message = format!("{} freeze windows are declared", freeze_windows.len());
    Ok(done(
        None,
        vec![Event::FreezeWindowsApplied { freeze_windows: freeze_windows.to_vec() }],
        message,
    ))
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
