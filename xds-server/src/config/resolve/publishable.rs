//! The resources of the whole configuration: sidecars must accept them.

use crate::config::problem::Problems;
use crate::config::span::{Span, Spanned};
use crate::config::{Config, raw};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::fold_error::FoldError;
use tidegate_delivery::model::state::State;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::resources::{self, InvalidResource};

/// Builds the resources of a configuration without other errors. An error is at its flag file, service or fleet.
pub(super) fn check(config: &Config, root: &raw::Root, problems: &mut Problems) {
    let state = match state(config) {
        Ok(state) => state,
        Err(error) => {
            problems.add(Span::START, error.to_string(), "correct the services or the flags");
            return;
        }
    };
    if let Err(invalid) = resources::check(&config.mesh, &state) {
        for error in &invalid.0 {
            problems.add(position(error, root), error.to_string(), error.fix());
        }
    }
}

/// The state that an empty journal and this configuration lead to.
fn state(config: &Config) -> Result<State, FoldError> {
    let mut state = State::default();
    let services = config.services.clone();
    state.apply(Timestamp(0), &Event::CatalogueApplied { services })?;
    if let Some(flags) = config.flags.clone() {
        state.apply(Timestamp(0), &Event::FlagsReplaced { flags })?;
    }
    Ok(state)
}

fn position(error: &InvalidResource, root: &raw::Root) -> Span {
    if error.is_flag() {
        return root.flags.as_ref().map_or(Span::START, Spanned::span);
    }
    let mut services = root.services.get().iter().map(|service| &service.name);
    let mut fleets = root.fleets.get().iter().map(|fleet| &fleet.name);
    let of_service = error.service().and_then(|name| services.find(|at| at.get() == name));
    let of_fleet = error.fleet().and_then(|name| fleets.find(|at| at.get() == name.as_str()));
    of_service.or(of_fleet).map_or(Span::START, Spanned::span)
}
