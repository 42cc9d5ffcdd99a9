//! The parts of a service that a configuration cannot change while a release of the service runs: those that its evidence
//! and its traffic split depend on.

use crate::model::catalogue::ServiceSpec;
use crate::model::command::Refusal;
use crate::model::refusal::ReleaseInput;
use crate::model::release::Release;
use crate::model::state::{ServiceState, State};

/// Checks a catalogue against every running release. Only edits since the last declaration count: deployments and
/// releases since then have precedence over the rest.
pub(super) fn check(state: &State, services: &[ServiceSpec]) -> Result<(), Refusal> {
    for service in state.services.values() {
        let Some(release) = service.running() else { continue };
        let name = &service.spec.name;
        let before = state.declared.get(name).unwrap_or(&service.spec);
        let now = services.iter().find(|spec| spec.name == *name);
        if now == Some(before) {
            continue;
        }
        if let Some(what) = edited(service, release, before, now) {
            return Err(Refusal::MidRelease {
                service: name.clone(),
                release: release.id.clone(),
                what,
            });
        }
    }
    Ok(())
}

fn edited(
    service: &ServiceState,
    release: &Release,
    before: &ServiceSpec,
    now: Option<&ServiceSpec>,
) -> Option<ReleaseInput> {
    let Some(now) = now else {
        return Some(ReleaseInput::Service);
    };
    if before.environments != now.environments {
        return Some(ReleaseInput::Environments);
    }
    if before.identity != now.identity {
        return Some(ReleaseInput::Identity);
    }
    if before.dns != now.dns {
        return Some(ReleaseInput::Dns);
    }
    if before.guardrails.business != now.guardrails.business {
        return Some(ReleaseInput::BusinessMetrics);
    }
    let mut compared = [&release.stable, &release.candidate].into_iter();
    if let Some(name) = compared.find(|name| {
        let (before, now) = (before.versions.get(*name), now.versions.get(*name));
        // The declaration of a version as it was registered is not a change.
        before != now && (now.is_none() || now != service.spec.versions.get(*name))
    }) {
        return Some(ReleaseInput::Version(name.clone()));
    }
    let mut edited = now.versions.iter().filter(|(name, spec)| {
        before.versions.get(*name) != Some(*spec) && service.displaced_by(name, spec).is_err()
    });
    edited.next().map(|(name, _)| ReleaseInput::EnvironmentOf(name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::model::catalogue::{Environment, Environments};
    use crate::model::command::Command;
    use crate::model::configuration::{Source, Version};
    use crate::model::event::Event;
    use crate::names::ReleaseId;
    use crate::reducer::decide_command;
    use crate::units::{Ppm, Timestamp};

    fn configuration(hash: &str, services: Vec<ServiceSpec>) -> Command {
        let version = Version { hash: hash.to_owned(), source: Source::File };
        Command::ApplyConfiguration { version, services, freeze_windows: Vec::new() }
    }

    /// Both services, each with a running release.
    fn running() -> State {
        let mut state = declared();
        let deployed = Command::RegisterVersion {
            service: name("product"),
            version: name("v2"),
            spec: version(9202, Some(Environment::Green)),
        };
        for command in [deployed, start("order", "v2"), start("product", "v2")] {
            run(&mut state, Timestamp(0), &command).unwrap();
        }
        state
    }

    fn edit(mut spec: ServiceSpec, edit: impl FnOnce(&mut ServiceSpec)) -> ServiceSpec {
        edit(&mut spec);
        spec
    }

    #[test]
    fn inputs_of_a_running_release_cannot_change() {
        let user = serde_json::from_value(serde_json::json!([{"header": "x-user-id"}])).unwrap();
        let moved = |it: &mut ServiceSpec, name: &str| {
            it.versions.get_mut(name).unwrap().endpoints = at(9999);
        };
        let cases = [
            (vec![product()], "order.1", ReleaseInput::Service),
            (
                vec![edit(order(), |it| it.identity = user), product()],
                "order.1",
                ReleaseInput::Identity,
            ),
            (
                vec![edit(order(), |it| moved(it, "v1")), product()],
                "order.1",
                ReleaseInput::Version(name("v1")),
            ),
            (
                vec![edit(order(), |it| moved(it, "v2")), product()],
                "order.1",
                ReleaseInput::Version(name("v2")),
            ),
            (
                vec![edit(order(), |it| drop(it.versions.remove("v2"))), product()],
                "order.1",
                ReleaseInput::Version(name("v2")),
            ),
            (
                vec![
                    order(),
                    edit(product(), |it| {
                        it.environments = None;
                        it.versions = [(name("v1"), version(9201, None))].into();
                    }),
                ],
                "product.1",
                ReleaseInput::Environments,
            ),
            (
                vec![
                    order(),
                    edit(product(), |it| {
                        it.environments = Some(Environments { blue: at(9201), green: at(9999) });
                    }),
                ],
                "product.1",
                ReleaseInput::Environments,
            ),
            (
                vec![
                    order(),
                    edit(product(), |it| {
                        let green = version(9202, Some(Environment::Green));
                        it.versions.insert(name("v3"), green);
                    }),
                ],
                "product.1",
                ReleaseInput::EnvironmentOf(name("v3")),
            ),
        ];
        for (services, release, what) in cases {
            let mut state = running();
            let before = state.clone();
            // A valid edit in the same configuration is not applied either.
            let mut services = services;
            services.push(ServiceSpec { name: name("search"), ..order() });
            let refusal = run(&mut state, Timestamp(1), &configuration("new", services));
            let refusal = refusal.unwrap_err();
            let release = name(release);
            let service = ReleaseId::service(&release).parse().unwrap();
            assert_eq!(refusal, Refusal::MidRelease { service, release, what });
            assert_eq!(state, before);
        }
    }

    #[test]
    fn other_fields_change_and_a_running_release_keeps_its_plan() {
        let mut state = running();
        let mut edited = order();
        edited.hosts.push("orders.local".to_owned());
        edited.plan = canary(&[100]);
        edited.guardrails.error_rate.rollback = Ppm::percent(2);
        edited.versions.insert(name("v3"), version(9103, None));
        let mut written = product();
        written.versions.insert(name("v2"), version(9202, Some(Environment::Green)));
        let search = ServiceSpec { name: name("search"), ..order() };
        let command = configuration("new", vec![edited, written, search]);
        assert!(run(&mut state, Timestamp(7), &command).unwrap().changed);
        assert_eq!(newest(&state, "order").plan, canary(&[5, 50, 100]));
        let spec = &state.services["order"].spec;
        assert_eq!(spec.plan, canary(&[100]));
        assert_eq!(spec.guardrails.error_rate.rollback, Ppm::percent(2));
        assert!(spec.versions.contains_key("v3") && state.services.contains_key("search"));
        let applied = state.configuration.as_ref().unwrap();
        assert_eq!((applied.version.hash.as_str(), applied.at), ("new", Timestamp(7)));
        assert!(!run(&mut state, Timestamp(8), &command).unwrap().changed);
    }

    #[test]
    fn an_equivalent_text_is_another_configuration() {
        let mut state = declared();
        for hash in ["one", "two"] {
            let command = configuration(hash, vec![order(), product()]);
            let command_context = command_context("anne", Timestamp(0));
            let (events, _) = decide_command(&state, &command_context, &command).unwrap();
            let kinds: Vec<_> = events.iter().map(Event::kind).collect();
            assert_eq!(kinds, ["configuration_applied"]);
            assert!(run(&mut state, Timestamp(0), &command).unwrap().changed);
        }
    }
}
