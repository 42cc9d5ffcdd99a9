//! Changes of fleets, listeners and the services that they route to.

use super::Changes;
use super::entries::{fleet, listener_at, reaches};
use crate::model::change::{ChangeKind, Loss, Route};
use crate::model::mesh::{Fleet, Listener, Purpose};
use crate::model::state::State;
use crate::names::ServiceName;

/// The listener in the routes of fleets that Istio configures.
const ISTIO: &str = "istio";

pub(super) fn compare(before: &State, after: &State, changes: &mut Changes) {
    for old in before.fleets.iter() {
        let has_served = before.services.keys().any(|service| reaches(old, service));
        let name = || old.name.clone();
        let loss = || Loss::Fleet(name());
        match fleet(after, &old.name) {
            None => changes.add_loss(ChangeKind::FleetRemoved { fleet: name() }, has_served, loss),
            Some(new) => {
                if old.listeners().is_empty() && !new.listeners().is_empty() {
                    let change = ChangeKind::FleetListeners { fleet: name() };
                    changes.add_loss(change, has_served, loss);
                }
                let fleets = Fleets { before, after, old, new };
                old.listeners().iter().for_each(|it| fleets.listener(it, changes));
                fleets.istio(changes);
                for listener in new.listeners() {
                    if old.listeners().iter().all(|it| it.name != listener.name) {
                        let (fleet, listener) = (name(), listener.clone());
                        changes.add(ChangeKind::ListenerAdded { fleet, listener });
                    }
                }
            }
        }
    }
    for new in after.fleets.iter().filter(|new| fleet(before, &new.name).is_none()) {
        changes.add(ChangeKind::FleetAdded { fleet: new.name.clone() });
    }
}

/// A fleet in both states.
struct Fleets<'a> {
    before: &'a State,
    after: &'a State,
    old: &'a Fleet,
    new: &'a Fleet,
}

impl Fleets<'_> {
    /// Compares a listener with the one of its name, and with the one at its address.
    fn listener(&self, old: &Listener, changes: &mut Changes) {
        let of_clients = old.purpose == Purpose::Traffic;
        let has_served =
            of_clients && self.before.services.keys().any(|it| old.services.include(it));
        let there = listener_at(self.new, old.address);
        let mut lost = has_served && there.is_none();
        let (fleet, name) = (&self.old.name, &old.name);
        // One change of a listener carries the loss.
        let mut add = |change| {
            let is_loss = std::mem::take(&mut lost);
            changes.add_loss(change, is_loss, || Loss::Listener(fleet.clone(), name.clone()));
        };
        let named = self.new.listeners().iter().find(|it| it.name == *name);
        let (fleet, name) = (fleet.clone(), name.clone());
        match named {
            None => add(ChangeKind::ListenerRemoved { fleet, listener: old.clone() }),
            Some(new) => {
                if old.address != new.address {
                    let (fleet, name) = (fleet.clone(), name.clone());
                    let (from, to) = (old.address, new.address);
                    add(ChangeKind::ListenerMoved { fleet, name, from, to });
                }
                if old.purpose != new.purpose {
                    let (from, to) = (old.purpose, new.purpose);
                    add(ChangeKind::ListenerPurpose { fleet, name, from, to });
                }
                self.routes_added(old, new, changes);
            }
        }
        let routes_now = if of_clients { there.or(named) } else { named };
        let Some(now) = routes_now else { return };
        for service in self.kept_services() {
            if old.services.include(service) && !now.services.include(service) {
                let route = self.route(old, service);
                let is_loss = of_clients && there.is_some();
                let change = ChangeKind::RouteRemoved(route.clone());
                changes.add_loss(change, is_loss, || Loss::Route(route));
            }
        }
    }

    /// Compares the services of a fleet that Istio configures.
    fn istio(&self, changes: &mut Changes) {
        let (Some(old), Some(new)) = (self.old.istio(), self.new.istio()) else { return };
        for service in self.kept_services() {
            let (fleet, listener) = (self.old.name.clone(), ISTIO.to_owned());
            let route = Route { fleet, listener, service: service.clone() };
            match (old.services.include(service), new.services.include(service)) {
                (true, false) => {
                    let change = ChangeKind::RouteRemoved(route.clone());
                    changes.add_loss(change, true, || Loss::Route(route));
                }
                (false, true) => changes.add(ChangeKind::RouteAdded(route)),
                (true, true) | (false, false) => {}
            }
        }
    }

    fn routes_added(&self, old: &Listener, new: &Listener, changes: &mut Changes) {
        for service in self.kept_services() {
            if new.services.include(service) && !old.services.include(service) {
                changes.add(ChangeKind::RouteAdded(self.route(new, service)));
            }
        }
    }

    /// The services that exist in both states. The others are changes of their own.
    fn kept_services(&self) -> impl Iterator<Item = &ServiceName> {
        self.before.services.keys().filter(|it| self.after.services.contains_key(*it))
    }

    fn route(&self, listener: &Listener, service: &ServiceName) -> Route {
        let (fleet, listener) = (self.old.name.clone(), listener.name.clone());
        Route { fleet, listener, service: service.clone() }
    }
}
