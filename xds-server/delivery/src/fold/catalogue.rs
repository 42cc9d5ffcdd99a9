//! The declaration of services over an existing state. Only edits since the last declaration are applied: an unedited part
//! must not undo a deployment or a release.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::catalogue::{Environment, Environments, ServiceSpec, VersionSpec};
use crate::model::fold_error::FoldErrorKind;
use crate::model::state::{ServiceState, State};
use crate::names::{ServiceName, VersionName};

impl State {
    /// Applies a new catalogue.
    pub(crate) fn redeclare_catalogue(
        &mut self,
        services: &[ServiceSpec],
    ) -> Result<(), FoldErrorKind> {
        let names: BTreeSet<_> = services.iter().map(|spec| &spec.name).collect();
        let gone: Vec<_> =
            self.services.keys().filter(|name| !names.contains(name)).cloned().collect();
        for name in gone {
            self.retire(&name)?;
        }
        for spec in services {
            if !spec.versions.contains_key(&spec.stable) {
                return Err(FoldErrorKind::UnknownVersion(spec.stable.clone()));
            }
            match self.services.get_mut(&spec.name) {
                Some(service) => {
                    redeclare_service(Arc::make_mut(service), self.declared.get(&spec.name), spec)
                }
                None => self.introduce(spec),
            }
        }
        self.declared = Arc::new(by_name(services));
        Ok(())
    }

    fn retire(&mut self, name: &ServiceName) -> Result<(), FoldErrorKind> {
        let Some(service) = self.services.remove(name) else {
            return Ok(());
        };
        if let Some(release) = service.running() {
            return Err(FoldErrorKind::ReleaseRunning(release.id.clone()));
        }
        if service.releases > 0 {
            self.retired.insert(name.clone(), service.releases);
        }
        Ok(())
    }

    fn introduce(&mut self, spec: &ServiceSpec) {
        let mut service = ServiceState::new(spec.clone());
        service.releases = self.retired.remove(&spec.name).unwrap_or(0);
        self.services.insert(spec.name.clone(), Arc::new(service));
    }
}

/// The services by name.
pub(crate) fn by_name(services: &[ServiceSpec]) -> BTreeMap<ServiceName, ServiceSpec> {
    services.iter().map(|spec| (spec.name.clone(), spec.clone())).collect()
}

fn redeclare_service(service: &mut ServiceState, before: Option<&ServiceSpec>, now: &ServiceSpec) {
    if before == Some(now) {
        return;
    }
    let declared_before = |name: &VersionName| before?.versions.get(name);

    let mut versions = std::mem::take(&mut service.spec.versions);
    versions.retain(|name, _| {
        let undeclared = declared_before(name).is_some() && !now.versions.contains_key(name);
        !undeclared || service.in_use(name)
    });
    service.spec = ServiceSpec { versions, ..now.clone() };
    service.drop_undeclared_dns();
    update_endpoints(service, before.and_then(|it| it.environments.as_ref()));
    for (name, spec) in &now.versions {
        if declared_before(name) != Some(spec) {
            // An error means that a release deployed another version there, which has precedence.
            let _occupied = service.place(name, spec);
        }
    }
    service.drop_missing_versions();
}

/// Deployed versions take over changed endpoints of their environment.
fn update_endpoints(service: &mut ServiceState, before: Option<&Environments>) {
    let in_use: BTreeSet<_> =
        service.spec.versions.keys().filter(|name| service.in_use(name)).cloned().collect();
    let ServiceSpec { versions, environments, .. } = &mut service.spec;
    match (before, environments) {
        (Some(before), Some(now)) => {
            let deployed_to = |it: &Environment, spec: &VersionSpec| {
                spec.environment == Some(*it) && spec.endpoints == before.endpoints(*it)
            };
            for spec in versions.values_mut() {
                if let Some(it) = Environment::ALL.iter().find(|it| deployed_to(it, spec)) {
                    spec.endpoints = now.endpoints(*it).to_vec();
                }
            }
        }
        (_, None) => versions.values_mut().for_each(|spec| spec.environment = None),
        // The service became blue/green: versions without an environment are dropped, unless they are in use.
        (None, Some(_)) => {
            versions.retain(|name, spec| spec.environment.is_some() || in_use.contains(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::model::command::{Command, Refusal, ReleaseCommand};
    use crate::units::Timestamp;

    fn ask(state: &mut State, command: &Command) -> bool {
        run(state, Timestamp(0), command).unwrap().changed
    }

    fn apply(state: &mut State, services: &[ServiceSpec]) -> bool {
        ask(state, &configuration(services.to_vec(), Vec::new()))
    }

    /// Both services, with v2 of `product` released into green.
    fn released() -> State {
        let mut state = declared();
        ask(&mut state, &start("product", "v2"));
        let passed = Command::SmokeTested { release: name("product.1"), result: Ok(()) };
        ask(&mut state, &passed);
        for all in [true, false] {
            ask(&mut state, &verb("product.1", ReleaseCommand::Promote { all }));
        }
        state
    }

    #[test]
    fn the_same_catalogue_changes_nothing() {
        let mut state = released();
        let before = state.clone();
        assert!(!apply(&mut state, &[product(), order()]));
        assert_eq!(state, before);
    }

    #[test]
    fn decisions_of_a_release_outlive_an_edit() {
        let mut state = released();
        let mut edited = product();
        edited.hosts.push("shop.local".to_owned());
        let green = version(9202, Some(Environment::Green));
        edited.versions.insert(name("v9"), green);
        assert!(apply(&mut state, &[order(), edited]));
        let service = &state.services["product"];
        assert_eq!(service.spec.hosts.len(), 2);
        assert_eq!(service.stable, name("v2"));
        assert_eq!(service.previous, Some(name("v1")));
        assert_eq!(service.occupant(Environment::Green), Some(&name("v2")));
    }

    #[test]
    fn an_edit_deploys_to_the_inactive_environment() {
        let mut state = released();
        let mut edited = product();
        edited.versions.clear();
        edited.stable = name("v9");
        let blue = version(9201, Some(Environment::Blue));
        edited.versions.insert(name("v9"), blue);
        assert!(apply(&mut state, &[order(), edited]));
        let service = &state.services["product"];
        assert_eq!(service.stable, name("v2"));
        assert_eq!(service.previous, None);
        assert_eq!(service.occupant(Environment::Blue), Some(&name("v9")));
    }

    #[test]
    fn a_deployed_version_follows_its_environments_endpoints() {
        let mut state = released();
        let mut edited = product();
        if let Some(environments) = &mut edited.environments {
            environments.green = at(9999);
        }
        apply(&mut state, &[order(), edited]);
        let service = &state.services["product"];
        assert_eq!(service.spec.versions["v2"].endpoints, at(9999));
    }

    #[test]
    fn a_service_with_a_running_release_is_not_dropped_and_release_ids_are_not_reused() {
        let mut state = declared();
        ask(&mut state, &start("order", "v2"));
        let without = configuration(vec![product()], Vec::new());
        let refusal = run(&mut state, Timestamp(0), &without).unwrap_err();
        assert!(matches!(refusal, Refusal::MidRelease { .. }));
        ask(&mut state, &verb("order.1", ReleaseCommand::Abort));
        ask(&mut state, &without);
        assert!(!state.services.contains_key("order"));
        apply(&mut state, &[product(), order()]);
        ask(&mut state, &start("order", "v2"));
        assert_eq!(newest(&state, "order").id, name("order.2"));
    }

    #[test]
    fn invalid_catalogues_are_refused() {
        let mut no_stable = order();
        no_stable.stable = name("v9");
        let mut shared = product();
        let blue = version(9201, Some(Environment::Blue));
        shared.versions.insert(name("v2"), blue);
        for services in [vec![order(), order()], vec![no_stable], vec![shared]] {
            let command = configuration(services, Vec::new());
            assert!(run(&mut declared(), Timestamp(0), &command).is_err());
        }
    }
}
