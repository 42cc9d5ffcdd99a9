//! A configuration: applied as a whole or not at all.

use super::{Decision, deploy, done, freeze, unchanged};
use crate::model::catalogue::ServiceSpec;
use crate::model::command::Refusal;
use crate::model::configuration::Version;
use crate::model::event::Event;
use crate::model::freeze::FreezeWindow;
use crate::model::state::State;

pub(super) fn configuration(
    state: &State,
    version: &Version,
    services: &[ServiceSpec],
    freeze_windows: &[FreezeWindow],
) -> Result<Decision, Refusal> {
    let (mut events, _) = deploy::catalogue(state, services)?;
    events.extend(freeze::freeze_windows(state, freeze_windows)?.0);
    let known = state.configuration.as_ref().map(|applied| &applied.version.hash);
    if known == Some(&version.hash) && events.is_empty() {
        return Ok(unchanged(None, format!("configuration {version} is applied already")));
    }
    let services = services.len();
    let message = format!("configuration {version} is applied, with {services} services");
    events.push(Event::ConfigurationApplied { version: version.clone() });
    Ok(done(None, events, message))
}
