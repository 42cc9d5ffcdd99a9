//! Decisions on commands, with a check of what their events would publish, before they are appended. A dry run decides through
//! the same function as the controller.

use super::CommandError;
use tidegate_delivery::model::command::{Command, CommandContext, Outcome};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::state::State;
use tidegate_delivery::reducer::decide_command;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::mesh::Mesh;
use tidegate_xds::resources::{check, check_filters, check_flags};

/// The mesh after a command.
#[derive(Debug)]
pub(crate) enum NextMesh<'a> {
    /// The one in force.
    Unchanged(&'a Mesh),
    /// That of a configuration. Its fleets are those that the reducer decides on.
    Declared(Mesh),
}

/// A decision that sidecars accept.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) events: Vec<Event>,
    pub(crate) outcome: Outcome,
    /// The mesh after the events, if it was declared.
    pub(crate) mesh: Option<Mesh>,
}

/// Decides a command.
///
/// # Errors
/// When the command is refused, or sidecars would reject a resource after it.
pub(crate) fn decide(
    state: &State,
    command_context: &CommandContext<'_>,
    command: &Command,
    mesh: NextMesh<'_>,
) -> Result<Decided, CommandError> {
    let (events, outcome) = decide_command(state, command_context, command)?;
    let at = command_context.at;
    let mesh = match mesh {
        NextMesh::Unchanged(mesh) => {
            check_events(state, at, &events, mesh)?;
            None
        }
        NextMesh::Declared(mesh) => {
            let fleets = events.iter().find_map(|event| match event {
                Event::FleetsApplied { fleets } => Some(fleets),
                _ => None,
            });
            let fleets = fleets.unwrap_or(&state.fleets).clone();
            let mesh = Mesh { fleets, ..mesh };
            check_events(state, at, &events, &mesh)?;
            Some(mesh)
        }
    };
    Ok(Decided { events, outcome, mesh })
}

/// Checks the resources of `state` after `events`. `mesh` is in force then.
///
/// Only changes of services, versions, flags and fleets are checked: the check leaves room for releases, and a rollback is
/// never refused.
fn check_events(
    state: &State,
    at: Timestamp,
    events: &[Event],
    mesh: &Mesh,
) -> Result<(), CommandError> {
    let any = |is: fn(&Event) -> bool| events.iter().any(is);
    let has_flags =
        any(|event| matches!(event, Event::FlagsReplaced { .. } | Event::FlagSet { .. }));
    let has_services =
        any(|event| matches!(event, Event::CatalogueApplied { .. } | Event::FleetsApplied { .. }));
    let has_versions = any(|event| {
        matches!(event, Event::VersionRegistered { .. } | Event::VersionRemoved { .. })
    });
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
