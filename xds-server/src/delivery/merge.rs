//! How a changed catalogue meets what happened since the last one. An operator's edit counts,
//! an unedited line does not: it must not undo a deployment or a release.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::{Environment, Environments, ServiceSpec, VersionSpec};
use super::fold::Misfit;
use super::names::{ServiceName, VersionName};
use super::state::{ServiceState, State};

impl State {
    /// Takes `services` as the catalogue.
    pub(super) fn declare(&mut self, services: &[ServiceSpec]) -> Result<(), Misfit> {
        let names: BTreeSet<_> = services.iter().map(|spec| &spec.name).collect();
        let gone: Vec<_> = self
            .services
            .keys()
            .filter(|name| !names.contains(name))
            .cloned()
            .collect();
        for name in gone {
            self.retire(&name)?;
        }
        for spec in services {
            if !spec.versions.contains_key(&spec.stable) {
                return Err(Misfit::NoVersion(spec.stable.clone()));
            }
            match self.services.get_mut(&spec.name) {
                Some(service) => redeclare(service, self.declared.get(&spec.name), spec),
                None => self.introduce(spec),
            }
        }
        self.declared = by_name(services);
        Ok(())
    }

    fn retire(&mut self, name: &ServiceName) -> Result<(), Misfit> {
        let Some(service) = self.services.remove(name) else {
            return Ok(());
        };
        if let Some(release) = service.running() {
            return Err(Misfit::Runs(release.id.clone()));
        }
        if service.releases > 0 {
            self.retired.insert(name.clone(), service.releases);
        }
        Ok(())
    }

    fn introduce(&mut self, spec: &ServiceSpec) {
        let service = ServiceState {
            spec: spec.clone(),
            stable: spec.stable.clone(),
            previous: None,
            release: None,
            releases: self.retired.remove(&spec.name).unwrap_or(0),
        };
        self.services.insert(spec.name.clone(), service);
    }
}

/// A catalogue by its services' names.
pub(super) fn by_name(services: &[ServiceSpec]) -> BTreeMap<ServiceName, ServiceSpec> {
    services
        .iter()
        .map(|spec| (spec.name.clone(), spec.clone()))
        .collect()
}

fn redeclare(service: &mut ServiceState, before: Option<&ServiceSpec>, now: &ServiceSpec) {
    if before == Some(now) {
        return;
    }
    let declared_before = |name: &VersionName| before?.versions.get(name);

    let mut versions = std::mem::take(&mut service.spec.versions);
    versions.retain(|name, _| {
        let undeclared = declared_before(name).is_some() && !now.versions.contains_key(name);
        !undeclared || service.in_use(name)
    });
    service.spec = ServiceSpec {
        versions,
        ..now.clone()
    };
    readdress(service, before.and_then(|it| it.environments.as_ref()));
    for (name, spec) in &now.versions {
        if declared_before(name) != Some(spec) {
            // A conflict means that what is in use holds the place: a release decided that, and
            // it outlives the catalogue.
            let _kept = service.place(name, spec);
        }
    }
    service.forget_previous_if_gone();
}

/// What was deployed into an environment follows the environment's endpoints.
fn readdress(service: &mut ServiceState, before: Option<&Environments>) {
    let in_use: BTreeSet<_> = service
        .spec
        .versions
        .keys()
        .filter(|name| service.in_use(name))
        .cloned()
        .collect();
    let ServiceSpec {
        versions,
        environments,
        ..
    } = &mut service.spec;
    match (before, environments) {
        (Some(before), Some(now)) => {
            let held = |it: &Environment, spec: &VersionSpec| {
                spec.environment == Some(*it) && spec.endpoints == before.endpoints(*it)
            };
            for spec in versions.values_mut() {
                if let Some(it) = Environment::ALL.iter().find(|it| held(it, spec)) {
                    spec.endpoints = now.endpoints(*it).to_vec();
                }
            }
        }
        (_, None) => versions
            .values_mut()
            .for_each(|spec| spec.environment = None),
        // The service became blue/green: what runs in no environment is not a part of it, unless
        // it serves.
        (None, Some(_)) => {
            versions.retain(|name, spec| spec.environment.is_some() || in_use.contains(name));
        }
    }
}
