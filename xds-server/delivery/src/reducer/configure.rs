//! A configuration: applied as a whole or not at all, except for services that a running release withholds. What takes away
//! something that serves traffic has to be allowed by name.

use std::collections::BTreeSet;

use super::mid_release::{Applicable, applicable};
use super::{Decision, decision, deploy, freeze, unchanged};
use crate::changes::compare;
use crate::model::catalogue::ServiceSpec;
use crate::model::change::{Change, Loss};
use crate::model::command::Refusal;
use crate::model::configuration::{Version, Withheld};
use crate::model::event::Event;
use crate::model::freeze::FreezeWindow;
use crate::model::mesh::{Fleet, keep};
use crate::model::outcome::Effect;
use crate::model::refusal::Losses;
use crate::model::state::State;
use crate::units::Timestamp;

/// What a configuration declares.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// The fleets.
    pub fleets: &'a [Fleet],
    /// The services.
    pub services: &'a [ServiceSpec],
    /// The freeze windows.
    pub freeze_windows: &'a [FreezeWindow],
}

/// What a configuration would change, allowed or not.
///
/// # Errors
/// When it is invalid.
pub fn changes_of(
    state: &State,
    at: Timestamp,
    declared: &Declared<'_>,
) -> Result<Vec<Change>, Refusal> {
    Ok(draft(state, at, declared)?.changes)
}

/// A valid configuration, before it is known whether it may take away what it takes away.
struct Draft {
    events: Vec<Event>,
    withheld: Vec<Withheld>,
    services: usize,
    changes: Vec<Change>,
}

fn draft(state: &State, at: Timestamp, declared: &Declared<'_>) -> Result<Draft, Refusal> {
    deploy::validate(declared.services)?;
    let Applicable { services, withheld } = applicable(state, declared.services);
    let count = services.len();
    let mut events: Vec<_> = deploy::catalogue(state, services).into_iter().collect();
    let mut fleets = declared.fleets.to_vec();
    // A withheld service still serves.
    withheld.iter().for_each(|it| keep(&mut fleets, &it.service, &state.fleets));
    if fleets != *state.fleets {
        events.push(Event::FleetsApplied { fleets });
    }
    events.extend(freeze::freeze_windows(state, declared.freeze_windows)?);
    let mut next = state.clone();
    events.iter().try_for_each(|event| next.apply(at, event))?;
    Ok(Draft { changes: compare(state, &next), events, withheld, services: count })
}

pub(super) fn configuration(
    state: &State,
    at: Timestamp,
    version: &Version,
    declared: &Declared<'_>,
    allow: &BTreeSet<Loss>,
) -> Result<Decision, Refusal> {
    let Draft { mut events, withheld, services, changes } = draft(state, at, declared)?;
    let is_refused = |it: &Change| it.loss.as_ref().is_some_and(|loss| !allow.contains(loss));
    let losses: Vec<_> = changes.iter().filter_map(|it| it.loss.clone()).collect();
    let refused: Vec<_> = changes.into_iter().filter(is_refused).collect();
    if !refused.is_empty() {
        return Err(Refusal::TakesAway { losses: Losses(refused) });
    }
    let effect = Effect::ConfigurationApplied {
        version: version.clone(),
        services,
        withheld: withheld.clone(),
        unused: allow.iter().filter(|it| !losses.contains(it)).cloned().collect(),
    };
    let known = state.configuration.as_ref();
    if events.is_empty()
        && known.is_some_and(|it| it.version.hash == version.hash && it.withheld == withheld)
    {
        return Ok(unchanged(None, effect));
    }
    events.push(Event::ConfigurationApplied { version: version.clone(), losses, withheld });
    Ok(decision(None, events, effect))
}
