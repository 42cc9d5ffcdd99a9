//! The declaration of services over an existing state. Only edits since the last declaration are applied: an unedited part
//! must not undo a deployment or a release.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::catalogue::{Environment, Environments, ServiceSpec, VersionSpec};
use crate::model::checks::Checks;
use crate::model::fold_error::FoldErrorKind;
use crate::model::signals::Signals;
use crate::model::state::{MAX_REMOVED, RemovedService, ServiceState, State};
use crate::names::{ServiceName, VersionName};
use crate::units::Timestamp;

impl State {
    /// Applies a new catalogue.
    pub(crate) fn redeclare_catalogue(
        &mut self,
        at: Timestamp,
        services: &[ServiceSpec],
    ) -> Result<(), FoldErrorKind> {
        let names: BTreeSet<_> = services.iter().map(|spec| &spec.name).collect();
        let gone: Vec<_> =
            self.services.keys().filter(|name| !names.contains(name)).cloned().collect();
        for name in gone {
            self.retire(at, &name)?;
        }
        for spec in services {
            if !spec.versions.contains_key(&spec.stable) {
                return Err(FoldErrorKind::UnknownVersion(spec.stable.clone()));
            }
            match self.services.get_mut(&spec.name) {
                Some(service) => {
                    Arc::make_mut(service).redeclare(self.declared.get(&spec.name), spec)
                }
                None => self.introduce(spec),
            }
        }
        self.declared = Arc::new(by_name(services));
        Ok(())
    }

    fn retire(&mut self, at: Timestamp, name: &ServiceName) -> Result<(), FoldErrorKind> {
        let Some(service) = self.services.remove(name) else {
            return Ok(());
        };
        if let Some(release) = service.running() {
            return Err(FoldErrorKind::ReleaseRunning(release.id.clone()));
        }
        if service.releases > 0 {
            self.retired.insert(name.clone(), service.releases);
        }
        let removed = RemovedService::of(at, &service);
        if !removed.is_empty() {
            self.removed.insert(name.clone(), removed);
        }
        if self.removed.len() > MAX_REMOVED {
            let oldest = self.removed.iter().min_by_key(|(name, it)| {
                (!it.quarantined.is_empty() || it.frozen.is_some(), it.at, *name)
            });
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.removed.remove(&oldest);
            }
        }
        Ok(())
    }

    fn introduce(&mut self, spec: &ServiceSpec) {
        let mut service = ServiceState::new(spec.clone());
        service.releases = self.retired.remove(&spec.name).unwrap_or(0);
        if let Some(removed) = self.removed.remove(&spec.name) {
            let RemovedService { at: _, checks, signals, quarantined, rolled_back, frozen, calls } =
                removed;
            service = ServiceState { checks, signals, quarantined, rolled_back, frozen, ..service };
            service.earlier_calls = calls;
            service.drop_missing_versions();
        }
        self.services.insert(spec.name.clone(), Arc::new(service));
    }
}

/// The services by name.
pub(crate) fn by_name(services: &[ServiceSpec]) -> BTreeMap<ServiceName, ServiceSpec> {
    services.iter().map(|spec| (spec.name.clone(), spec.clone())).collect()
}

impl RemovedService {
    fn of(at: Timestamp, service: &ServiceState) -> Self {
        Self {
            at,
            checks: service.checks.clone(),
            signals: service.signals.clone(),
            quarantined: service.quarantined.clone(),
            rolled_back: service.rolled_back.clone(),
            frozen: service.frozen.clone(),
            calls: service.due_calls().cloned().collect(),
        }
    }

    fn is_empty(&self) -> bool {
        let Self { at: _, checks, signals, quarantined, rolled_back, frozen, calls } = self;
        let reported = *checks != Checks::default() || *signals != Signals::default();
        let is_unsafe = !quarantined.is_empty() || !rolled_back.is_empty();
        !reported && !is_unsafe && frozen.is_none() && calls.is_empty()
    }
}

impl ServiceState {
    /// Applies the edits of its declaration since `before`.
    pub(crate) fn redeclare(&mut self, before: Option<&ServiceSpec>, now: &ServiceSpec) {
        if before == Some(now) {
            return;
        }
        let declared_before = |name: &VersionName| before?.versions.get(name);

        let mut versions = std::mem::take(&mut self.spec.versions);
        versions.retain(|name, _| {
            let undeclared = declared_before(name).is_some() && !now.versions.contains_key(name);
            !undeclared || self.in_use(name)
        });
        self.spec = ServiceSpec { versions, ..now.clone() };
        self.drop_undeclared_dns();
        update_endpoints(self, before.and_then(|it| it.environments.as_ref()));
        update_targets(self);
        for (name, spec) in &now.versions {
            if declared_before(name) != Some(spec) {
                // An error means that a release deployed another version there, which has precedence.
                let _occupied = self.place(name, spec);
            }
        }
        self.drop_missing_versions();
    }
}

/// Deployed versions take over the targets of their environments in Istio. Those that the service, now in Istio, does not
/// declare are dropped, unless they are in use; of a service that is not in Istio, none has a target.
fn update_targets(service: &mut ServiceState) {
    let in_use: BTreeSet<_> =
        service.spec.versions.keys().filter(|name| service.in_use(name)).cloned().collect();
    let ServiceSpec { versions, environments, istio, .. } = &mut service.spec;
    for spec in versions.values_mut() {
        match (&istio, environments.as_ref().zip(spec.environment)) {
            (None, _) => spec.istio = None,
            (Some(_), Some((environments, it))) => spec.istio = environments.istio(it).cloned(),
            (Some(_), None) => {}
        }
    }
    if istio.is_some() {
        versions.retain(|name, spec| spec.istio.is_some() || in_use.contains(name));
    }
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
    use crate::model::command::{Command, ReleaseCommand};
    use crate::model::hook::Moment;
    use crate::model::signals::{Signal, SignalKind, SignalStatus};
    use crate::units::Timestamp;

    fn ask(state: &mut State, command: &Command) -> bool {
        run(state, Timestamp(0), command).unwrap().changed
    }

    fn apply(state: &mut State, services: &[ServiceSpec]) -> bool {
        let command = configuration(services.to_vec(), Vec::new());
        ask(state, &allowing(command, &["endpoints:product/v2"]))
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
        edited.hosts.push("shop.local".parse().unwrap());
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
        let command = configuration(vec![order(), edited], Vec::new());
        assert!(ask(&mut state, &allowing(command, &["version:product/v1"])));
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
        let without = allowing(configuration(vec![product()], Vec::new()), &["service:order"]);
        ask(&mut state, &without);
        assert!(state.services.contains_key("order"));
        ask(&mut state, &verb("order.1", ReleaseCommand::Abort));
        ask(&mut state, &without);
        assert!(!state.services.contains_key("order"));
        apply(&mut state, &[product(), order()]);
        ask(&mut state, &start("order", "v2"));
        assert_eq!(newest(&state, "order").id, name("order.2"));
    }

    fn say(service: &str, kind: SignalKind, version: &str) -> Command {
        let (version, name_of) = (name(version), name("scan"));
        let signal = Signal { kind, version, name: name_of, status: SignalStatus::Bad };
        Command::Signal { service: name(service), signal }
    }

    #[test]
    fn a_service_that_is_declared_again_keeps_what_is_safe() {
        let mut state = declared();
        let mut spec = order_with_requirements();
        spec.hooks = vec![hook("audit", Moment::Started, false)];
        apply(&mut state, &[spec.clone(), product()]);
        let passed = Command::ReportCheck {
            service: name("order"),
            version: name("v2"),
            check: name("tests"),
            passed: true,
            url: None,
        };
        ask(&mut state, &start("order", "v2"));
        ask(&mut state, &passed);
        ask(&mut state, &Command::FreezeDeployments(Some(name("order"))));
        ask(&mut state, &say("order", SignalKind::Business, "v1"));
        ask(&mut state, &say("order", SignalKind::Security, "v2"));
        let before = state.services["order"].clone();
        let calls: Vec<_> = before.due_calls().cloned().collect();
        assert_eq!((before.quarantined.len(), calls.len()), (1, 1));

        let without = configuration(vec![product()], Vec::new());
        ask(&mut state, &allowing(without, &["service:order"]));
        assert!(!state.services.contains_key("order"));
        apply(&mut state, &[spec, product()]);
        let after = &state.services["order"];
        assert_eq!(after.quarantined, before.quarantined);
        assert_eq!(after.frozen, before.frozen);
        assert_eq!(after.checks, before.checks);
        assert_eq!(after.signals, before.signals);
        assert_eq!(after.due_calls().cloned().collect::<Vec<_>>(), calls);
        assert!(state.removed.is_empty());
    }

    #[test]
    fn removed_services_are_bounded_and_unsafe_ones_are_kept_longest() {
        let mut state = State::default();
        let named = |service: &str| {
            let hosts = vec![format!("{service}.local").parse().unwrap()];
            ServiceSpec { name: name(service), hosts, ..order() }
        };
        let mut remove = |service: &str, command: &Command| {
            apply(&mut state, &[named(service)]);
            ask(&mut state, command);
            let gone = configuration(Vec::new(), Vec::new());
            ask(&mut state, &allowing(gone, &[&format!("service:{service}")]));
        };
        remove("first", &say("first", SignalKind::Security, "v2"));
        for number in 0..=MAX_REMOVED {
            let service = format!("s{number:04}");
            remove(&service, &say(&service, SignalKind::Business, "v2"));
        }
        assert_eq!(state.removed.len(), MAX_REMOVED);
        assert!(state.removed.contains_key("first"), "it has a quarantined version");
        let last = format!("s{MAX_REMOVED:04}");
        assert!(state.removed.contains_key(last.as_str()));
        assert!(!state.removed.contains_key("s0000") && !state.removed.contains_key("s0001"));
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
