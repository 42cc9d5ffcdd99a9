//! A whole configuration: all of it, or nothing.

use super::{Decision, deploy, done, line, so_already};
use crate::model::catalogue::ServiceSpec;
use crate::model::command::Refusal;
use crate::model::configuration::Version;
use crate::model::event::Event;
use crate::model::freeze::Freeze;
use crate::model::state::State;

pub(super) fn configuration(
    state: &State,
    version: &Version,
    services: &[ServiceSpec],
    freezes: &[Freeze],
) -> Result<Decision, Refusal> {
    let (mut events, _) = deploy::catalogue(state, services)?;
    events.extend(line::freezes(state, freezes)?.0);
    let known = state.configuration.as_ref().map(|applied| &applied.version.hash);
    if known == Some(&version.hash) && events.is_empty() {
        return Ok(so_already(None, format!("the configuration is {version} already")));
    }
    let services = services.len();
    let message = format!("the configuration is {version} now, with {services} services");
    events.push(Event::ConfigurationApplied { version: version.clone() });
    Ok(done(None, events, message))
}
