//! The difference between two states for the users of the services, and what of it takes away something that serves
//! traffic.
//!
//! Both states are as published, so a deployment or a release since the last configuration, and a service that a running
//! release withholds, count as they are, not as they are declared.
//!
//! Requests enter at a listener address of a fleet, or at listeners of another control plane, and select a service by
//! their host. A change is a loss if, for some entry and host, requests that reached a service no longer reach it, or if
//! the service loses the stable version, all of its endpoints, or the version that a rollback needs. A service to which
//! nothing routes loses nothing.

mod endpoints;
mod entries;
mod mesh;
mod services;
#[cfg(test)]
mod tests;

pub use self::endpoints::new_endpoints;
use crate::model::change::{Change, ChangeKind, Edit, Loss};
use crate::model::freeze::FreezeWindow;
use crate::model::state::State;

/// What differs in `after`: fleets, services, freeze windows.
#[must_use]
pub fn compare(before: &State, after: &State) -> Vec<Change> {
    let mut changes = Changes::default();
    mesh::compare(before, after, &mut changes);
    services::compare(before, after, &mut changes);
    freeze_windows(before, after, &mut changes);
    changes.0
}

#[derive(Debug, Default)]
struct Changes(Vec<Change>);

impl Changes {
    fn add(&mut self, kind: ChangeKind) {
        self.0.push(Change { kind, loss: None });
    }

    /// A change that is a loss if `is_loss`.
    fn add_loss(&mut self, kind: ChangeKind, is_loss: bool, loss: impl FnOnce() -> Loss) {
        self.0.push(Change { kind, loss: is_loss.then(loss) });
    }
}

fn freeze_windows(before: &State, after: &State, changes: &mut Changes) {
    let (before, after) = (&before.freeze_windows, &after.freeze_windows);
    let mut edit = |window: &FreezeWindow, edit| {
        changes.add(ChangeKind::FreezeWindowChanged { name: window.name.clone(), edit });
    };
    for window in before {
        match after.iter().find(|it| it.name == window.name) {
            None => edit(window, Edit::Removed),
            Some(now) if now != window => edit(window, Edit::Changed),
            Some(_) => {}
        }
    }
    let added = after.iter().filter(|it| before.iter().all(|old| old.name != it.name));
    added.for_each(|window| edit(window, Edit::Added));
}
