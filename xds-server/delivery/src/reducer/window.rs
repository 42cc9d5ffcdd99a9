//! The end of the time in which one push leads back to the version before.

use crate::model::event::Event;
use crate::model::state::ServiceState;
use crate::units::Timestamp;

/// Decides whether the version before a service's last release is no longer kept to go back to.
/// While another release runs it stays: that one may fail as well.
#[must_use]
pub fn close_expired_window(service: &ServiceState, now: Timestamp) -> Option<Event> {
    let over = service.previous_until.is_some_and(|until| now >= until);
    if !over || service.running().is_some() {
        return None;
    }
    let version = service.previous.clone()?;
    let service = service.spec.name.clone();
    Some(Event::RollbackWindowClosed { service, version })
}
