//! Changes of services: hosts, versions, endpoints and settings.

use std::collections::BTreeMap;

use tidegate_core::host::Host;

use super::Changes;
use super::entries::is_reached;
use crate::model::catalogue::Endpoint;
use crate::model::change::{ChangeKind, Edit, Loss, VersionRole};
use crate::model::configuration::ServiceVersion;
use crate::model::hook::Hook;
use crate::model::state::{ServiceState, State};
use crate::names::{ServiceName, VersionName};

pub(super) fn compare(before: &State, after: &State, changes: &mut Changes) {
    for (name, old) in &before.services {
        let is_reached = is_reached(before, name);
        match after.services.get(name) {
            None => {
                let (change, loss) = (ChangeKind::ServiceRemoved { service: name.clone() }, || {
                    Loss::Service(name.clone())
                });
                changes.add_loss(change, is_reached, loss);
            }
            Some(new) => {
                let services = Services { name, old, new, is_reached };
                services.versions(before, after, changes);
                services.settings(before, after, changes);
            }
        }
    }
    for (name, new) in &after.services {
        if !before.services.contains_key(name) {
            changes.add(ChangeKind::ServiceAdded { service: name.clone() });
            for (version, spec) in &new.spec.versions {
                let version = ServiceVersion { service: name.clone(), version: version.clone() };
                let endpoints = spec.endpoints.clone();
                changes.add(ChangeKind::VersionAdded { version, endpoints });
            }
        }
    }
    hosts(before, after, changes);
}

fn owners(state: &State) -> BTreeMap<&Host, &ServiceName> {
    let hosts = state.services.iter();
    hosts.flat_map(|(name, service)| service.spec.hosts.iter().map(move |it| (it, name))).collect()
}

fn hosts(before: &State, after: &State, changes: &mut Changes) {
    let (old, new) = (owners(before), owners(after));
    for (host, service) in &old {
        let (host, from) = ((*host).clone(), (*service).clone());
        let loss = Loss::Host(host.clone());
        let change = match new.get(&host) {
            Some(to) if **to == from => continue,
            Some(to) => ChangeKind::HostMoved { host, from, to: (*to).clone() },
            // The removal of the service says it.
            None if !after.services.contains_key(&from) => continue,
            None => ChangeKind::HostRemoved { service: from, host },
        };
        changes.add_loss(change, is_reached(before, service), || loss);
    }
    for (host, service) in new.iter().filter(|(host, _)| !old.contains_key(*host)) {
        let (service, host) = ((*service).clone(), (*host).clone());
        changes.add(ChangeKind::HostAdded { service, host });
    }
}

/// A service in both states.
struct Services<'a> {
    name: &'a ServiceName,
    old: &'a ServiceState,
    new: &'a ServiceState,
    is_reached: bool,
}

impl Services<'_> {
    fn version(&self, version: &VersionName) -> ServiceVersion {
        ServiceVersion { service: self.name.clone(), version: version.clone() }
    }

    fn versions(&self, before: &State, after: &State, changes: &mut Changes) {
        let (old, new) = (&self.old.spec.versions, &self.new.spec.versions);
        let stable = &self.old.stable;
        // A stable version that is no longer declared stays deployed until another one is stable.
        let declares = |state: &State| {
            state.declared.get(self.name).is_some_and(|it| it.versions.contains_key(stable))
        };
        if declares(before) && !declares(after) {
            let role = Some(VersionRole::Stable);
            self.removed(stable, role, changes);
        }
        for (name, spec) in old {
            let Some(now) = new.get(name) else {
                let previous = self.old.previous.as_ref() == Some(name);
                let until = self.old.previous_until;
                let role = previous.then_some(VersionRole::Previous { until });
                self.removed(name, role, changes);
                continue;
            };
            if spec.endpoints == now.endpoints {
                continue;
            }
            let not_in = |it: &[Endpoint], other: &[Endpoint]| -> Vec<_> {
                it.iter().filter(|it| !other.contains(it)).cloned().collect()
            };
            let added = not_in(&now.endpoints, &spec.endpoints);
            let removed = not_in(&spec.endpoints, &now.endpoints);
            let all = !removed.is_empty() && removed.len() == spec.endpoints.len();
            let version = self.version(name);
            let loss = || Loss::Endpoints(self.version(name));
            if added.is_empty() && removed.is_empty() {
                continue;
            }
            let change = ChangeKind::EndpointsChanged { version, added, removed };
            changes.add_loss(change, self.is_reached && all && name == stable, loss);
        }
        for (name, spec) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
            let (version, endpoints) = (self.version(name), spec.endpoints.clone());
            changes.add(ChangeKind::VersionAdded { version, endpoints });
        }
    }

    fn removed(&self, name: &VersionName, role: Option<VersionRole>, changes: &mut Changes) {
        let version = self.version(name);
        let change = ChangeKind::VersionRemoved { version, role };
        let is_loss = self.is_reached && role.is_some();
        changes.add_loss(change, is_loss, || Loss::Version(self.version(name)));
    }

    fn settings(&self, before: &State, after: &State, changes: &mut Changes) {
        let service = || self.name.clone();
        let (old, new) = (&self.old.spec, &self.new.spec);
        let declared = |state: &State| state.declared.get(self.name).map(|it| it.stable.clone());
        if let (Some(from), Some(to)) = (declared(before), declared(after))
            && from != to
            && to != self.new.stable
        {
            let stable = self.new.stable.clone();
            changes.add(ChangeKind::DeclaredStable { service: service(), stable, to });
        }
        if old.environments != new.environments {
            let (from, to) = (old.environments.clone(), new.environments.clone());
            changes.add(ChangeKind::EnvironmentsChanged { service: service(), from, to });
        }
        if old.identity != new.identity {
            let (from, to) = (old.identity.clone(), new.identity.clone());
            changes.add(ChangeKind::IdentityChanged { service: service(), from, to });
        }
        if old.plan != new.plan {
            let (from, to) = (Box::new(old.plan.clone()), Box::new(new.plan.clone()));
            changes.add(ChangeKind::PlanChanged { service: service(), from, to });
        }
        if old.guardrails != new.guardrails {
            let (from, to) = (Box::new(old.guardrails.clone()), Box::new(new.guardrails.clone()));
            changes.add(ChangeKind::GuardrailsChanged { service: service(), from, to });
        }
        if old.excluded != new.excluded {
            let (from, to) = (old.excluded.clone(), new.excluded.clone());
            changes.add(ChangeKind::ExclusionsChanged { service: service(), from, to });
        }
        let mut edit = |hook: &Hook, edit| {
            let hook = hook.name.clone();
            changes.add(ChangeKind::HookChanged { service: service(), hook, edit });
        };
        for hook in &old.hooks {
            match new.hooks.iter().find(|it| it.name == hook.name) {
                None => edit(hook, Edit::Removed),
                Some(now) if now != hook => edit(hook, Edit::Changed),
                Some(_) => {}
            }
        }
        let added = new.hooks.iter().filter(|it| old.hooks.iter().all(|old| old.name != it.name));
        added.for_each(|hook| edit(hook, Edit::Added));
        if old.dns != new.dns {
            changes.add(ChangeKind::DnsChanged { service: service() });
        }
    }
}
