//! The line, which anybody may stop, and the freezes that the configuration declares.

use std::collections::BTreeSet;

use super::{Decision, done, find, reason, so_already};
use crate::model::command::{Asker, Refusal};
use crate::model::event::Event;
use crate::model::freeze::{Freeze, MAX_FREEZES, Stop, Window, time_zone};
use crate::model::state::State;
use crate::names::ServiceName;

pub(super) fn stop(
    state: &State,
    asker: &Asker<'_>,
    service: Option<&ServiceName>,
) -> Result<Decision, Refusal> {
    let line = line(service);
    if let Some(stop) = stopped(state, service)? {
        return Ok(so_already(None, format!("{} stopped {line} before", stop.by)));
    }
    let event = Event::LineStopped {
        service: service.cloned(),
        by: asker.actor.to_owned(),
        reason: reason(asker),
    };
    let message =
        format!("{line} is stopped: no release goes forward; rollbacks are as free as ever");
    Ok(done(None, vec![event], message))
}

pub(super) fn start(state: &State, service: Option<&ServiceName>) -> Result<Decision, Refusal> {
    let line = line(service);
    if stopped(state, service)?.is_none() {
        return Ok(so_already(None, format!("{line} is not stopped")));
    }
    let event = Event::LineStarted { service: service.cloned() };
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

pub(super) fn freezes(state: &State, freezes: &[Freeze]) -> Result<Decision, Refusal> {
    if freezes == state.freezes {
        return Ok(so_already(None, "the freezes are these already".to_owned()));
    }
    if freezes.len() > MAX_FREEZES {
        let count = freezes.len();
        return Err(Refusal::Invalid(format!("{count} freezes are more than {MAX_FREEZES}")));
    }
    let mut names = BTreeSet::new();
    for freeze in freezes {
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
    let message = format!("there are {} freezes now", freezes.len());
    Ok(done(None, vec![Event::FreezesApplied { freezes: freezes.to_vec() }], message))
}
