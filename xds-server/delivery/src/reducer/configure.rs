//! A configuration: applied as a whole or not at all, except for services that a running release withholds.

use std::collections::BTreeSet;

use super::dropped::dropped;
use super::mid_release::{Applicable, applicable};
use super::{Decision, deploy, done, freeze, unchanged};
use crate::model::catalogue::ServiceSpec;
use crate::model::command::Refusal;
use crate::model::configuration::{ServiceVersion, Version};
use crate::model::event::Event;
use crate::model::freeze::FreezeWindow;
use crate::model::refusal::DroppedVersions;
use crate::model::state::State;
use crate::text;

pub(super) fn configuration(
    state: &State,
    version: &Version,
    services: &[ServiceSpec],
    freeze_windows: &[FreezeWindow],
    allow: &BTreeSet<ServiceVersion>,
) -> Result<Decision, Refusal> {
    deploy::validate(services)?;
    let Applicable { services, withheld } = applicable(state, services);
    let (dropped, refused): (Vec<_>, Vec<_>) =
        dropped(state, &services).into_iter().partition(|it| allow.contains(&it.version));
    if !refused.is_empty() {
        return Err(Refusal::DropsVersions { dropped: DroppedVersions(refused) });
    }
    let (mut events, _) = deploy::catalogue(state, &services);
    events.extend(freeze::freeze_windows(state, freeze_windows)?.0);
    let rest = match withheld.as_slice() {
        [] => String::new(),
        withheld => format!("; {}", text::withheld(withheld)),
    };
    let known = state.configuration.as_ref();
    if events.is_empty()
        && known.is_some_and(|it| it.version.hash == version.hash && it.withheld == withheld)
    {
        return Ok(unchanged(None, format!("configuration {version} is applied already{rest}")));
    }
    let services = services.len();
    let message = format!("configuration {version} is applied, with {services} services{rest}");
    let dropped = dropped.into_iter().map(|it| it.version).collect();
    events.push(Event::ConfigurationApplied { version: version.clone(), dropped, withheld });
    Ok(done(None, events, message))
}
