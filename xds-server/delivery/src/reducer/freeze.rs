//! The line, which anybody may stop, and the freezes that the configuration declares.

use std::collections::BTreeSet;

use super::{Decision, done, find, reason, unchanged};
use crate::model::command::{CommandContext, Refusal};
use crate::model::event::Event;
use crate::model::freeze::{FreezeWindow, MAX_FREEZES, Stop, Window, time_zone};
use crate::model::state::State;
use crate::names::ServiceName;

pub(super) fn stop(
    state: &State,
    command_context: &CommandContext<'_>,
    service: Option<&ServiceName>,
) -> Result<Decision, Refusal> {
    let line = line(service);
    if let Some(stop) = stopped(state, service)? {
        return Ok(unchanged(None, format!("{} stopped {line} before", stop.by)));
    }
    let event = Event::DeploymentsFrozen {
        service: service.cloned(),
        by: command_context.actor.to_owned(),
        reason: reason(command_context),
    };
    let message =
        format!("{line} is stopped: no release goes forward; rollbacks are as free as ever");
    Ok(done(None, vec![event], message))
}

pub(super) fn start(state: &State, service: Option<&ServiceName>) -> Result<Decision, Refusal> {
    let line = line(service);
    if stopped(state, service)?.is_none() {
        return Ok(unchanged(None, format!("{line} is not stopped")));
    }
    let event = Event::DeploymentsUnfrozen { service: service.cloned() };
    Ok(done(None, vec![event], format!("{line} goes again")))
}

fn stopped<'a>(
    state: &'a State,
    service: Option<&ServiceName>,
) -> Result<Option<&'a Stop>, Refusal> {
    Ok(match service {
        Some(name) => find(state, name)?.stopped.as_ref(),
        None => state.stopped.as_ref(),
    })
}

fn line(service: Option<&ServiceName>) -> String {
    service.map_or_else(|| "the line".to_owned(), |name| format!("the line of `{name}`"))
}

pub(super) fn freeze_windows(
    state: &State,
    freeze_windows: &[FreezeWindow],
) -> Result<Decision, Refusal> {
    if freeze_windows == state.freeze_windows {
        return Ok(unchanged(None, "the freezes are these already".to_owned()));
    }
    if freeze_windows.len() > MAX_FREEZES {
        let count = freeze_windows.len();
        return Err(Refusal::Invalid(format!("{count} freezes are more than {MAX_FREEZES}")));
    }
    let mut names = BTreeSet::new();
    for freeze in freeze_windows {
        let name = &freeze.name;
        if !names.insert(name) {
            return Err(Refusal::Invalid(format!("freeze `{name}` is declared twice")));
        }
        match &freeze.when {
            Window::Weekly { days, .. } if days.is_empty() => {
                return Err(Refusal::Invalid(format!("freeze `{name}` is on no day")));
            }
            Window::Weekly { time_zone: zone, .. } => {
                time_zone(zone)
                    .map_err(|error| Refusal::Invalid(format!("freeze `{name}`: {error}")))?;
            }
            Window::Once { start, end } if start >= end => {
                return Err(Refusal::Invalid(format!("freeze `{name}` ends before it starts")));
            }
            Window::Once { .. } => {}
        }
    }
    let message = format!("there are {} freezes now", freeze_windows.len());
    Ok(done(
        None,
        vec![Event::FreezeWindowsApplied { freeze_windows: freeze_windows.to_vec() }],
        message,
    ))
}
