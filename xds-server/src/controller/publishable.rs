//! Checks of what the events of a command would publish, before they are appended.

use super::CommandError;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::state::State;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::mesh::Mesh;
use tidegate_xds::resources::{check, check_filters, check_flags};

/// Checks the resources of `state` after `events`. `mesh` is in force then; `is_new_mesh` if it was not before.
///
/// Only changes of services, versions, flags and mesh are checked: the check leaves room for releases, and a rollback is
/// never refused.
///
/// # Errors
/// When sidecars would reject a resource, or an event does not fit.
pub(crate) fn check_events(
    state: &State,
    at: Timestamp,
    events: &[Event],
    mesh: &Mesh,
    is_new_mesh: bool,
) -> Result<(), CommandError> {
    let any = |is: fn(&Event) -> bool| events.iter().any(is);
    let has_flags =
        any(|event| matches!(event, Event::FlagsReplaced { .. } | Event::FlagSet { .. }));
    let has_services = is_new_mesh || any(|event| matches!(event, Event::CatalogueApplied { .. }));
    let has_versions = any(|event| matches!(event, Event::VersionRegistered { .. }));
    if !has_flags && !has_services && !has_versions {
        return Ok(());
    }
    let mut next = state.clone();
    events.iter().try_for_each(|event| next.apply(at, event))?;
    if has_flags {
        check_flags(&next)?;
    }
    if has_services {
        check(mesh, &next)?
    } else {
        check_filters(mesh, &next)?
    }
    Ok(())
}
