//! Where requests of clients enter, and which services they reach there.

use std::net::SocketAddr;

use crate::model::mesh::{ControlPlane, Fleet, Listener, Purpose};
use crate::model::state::State;
use crate::names::{FleetName, ServiceName};

/// The fleet of this name.
pub(super) fn fleet<'a>(state: &'a State, name: &FleetName) -> Option<&'a Fleet> {
    state.fleets.iter().find(|it| it.name == *name)
}

/// The listener that accepts requests of clients at an address: the one with this address, else with the unspecified
/// address of its family.
pub(super) fn listener_at(fleet: &Fleet, address: SocketAddr) -> Option<&Listener> {
    let any = |it: &&Listener| {
        let own = it.address;
        own.port() == address.port()
            && own.is_ipv4() == address.is_ipv4()
            && own.ip().is_unspecified()
    };
    let listeners = fleet.listeners();
    let exact = listeners.iter().find(|it| it.address == address);
    let accepting = exact.or_else(|| listeners.iter().find(any));
    accepting.filter(|it| it.purpose == Purpose::Traffic)
}

/// Whether requests of clients reach a service in a fleet.
pub(super) fn reaches(fleet: &Fleet, service: &ServiceName) -> bool {
    match &fleet.control_plane {
        ControlPlane::Tidegate { listeners, .. } => {
            let of_clients = |it: &Listener| it.purpose == Purpose::Traffic;
            listeners.is_empty()
                || listeners.iter().any(|it| of_clients(it) && it.services.include(service))
        }
        ControlPlane::Istio(mesh) => mesh.services.include(service),
    }
}

/// Whether requests of clients reach a service in any fleet.
pub(super) fn is_reached(state: &State, service: &ServiceName) -> bool {
    state.fleets.iter().any(|fleet| reaches(fleet, service))
}
