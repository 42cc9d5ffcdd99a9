//! The parts of a service that a configuration cannot change while a release of the service runs: those that its evidence
//! and its traffic split depend on. Such a service keeps its declaration; the rest of the configuration is applied.

use std::collections::BTreeMap;

use crate::model::catalogue::ServiceSpec;
use crate::model::configuration::{ReleaseInput, Withheld, WithheldCause};
use crate::model::release::Release;
use crate::model::state::{ServiceState, State};
use crate::names::{ServiceName, VersionName};

/// A catalogue without what running releases withhold.
pub(super) struct Applicable {
    /// Every service, withheld ones as declared before.
    pub(super) services: Vec<ServiceSpec>,
    /// The withheld ones, by name.
    pub(super) withheld: Vec<Withheld>,
}

/// Checks a catalogue against every running release. Only edits since the last declaration count: deployments and
/// releases since then have precedence over the rest.
pub(super) fn applicable(state: &State, services: &[ServiceSpec]) -> Applicable {
    let mut withheld = BTreeMap::new();
    for service in state.services.values() {
        let Some(release) = service.running() else { continue };
        let name = &service.spec.name;
        let now = services.iter().find(|spec| spec.name == *name);
        let before = last_declared(state, service);
        if now != Some(before)
            && let Some(input) = edited(service, release, before, now)
        {
            let release = release.id.clone();
            withheld.insert(name.clone(), WithheldCause::MidRelease { release, input });
        }
    }
    while let Some((service, cause)) = claimed(state, services, &withheld) {
        withheld.insert(service, cause);
    }
    let kept = |name| state.services.get(name).map(|it| last_declared(state, it).clone());
    let declared = services.iter().filter_map(|spec| match withheld.get(&spec.name) {
        Some(_) => kept(&spec.name),
        None => Some(spec.clone()),
    });
    let removed = |name: &&ServiceName| services.iter().all(|spec| spec.name != **name);
    let removed = withheld.keys().filter(removed).filter_map(kept);
    Applicable {
        services: declared.chain(removed).collect(),
        withheld: withheld
            .into_iter()
            .map(|(service, cause)| Withheld { service, cause })
            .collect(),
    }
}

/// The last declaration of a service.
fn last_declared<'a>(state: &'a State, service: &'a ServiceState) -> &'a ServiceSpec {
    state.declared.get(&service.spec.name).unwrap_or(&service.spec)
}

/// The next service whose declaration takes over a host or a DNS name that a withheld service keeps.
fn claimed(
    state: &State,
    services: &[ServiceSpec],
    withheld: &BTreeMap<ServiceName, WithheldCause>,
) -> Option<(ServiceName, WithheldCause)> {
    let kept = withheld.keys().filter_map(|name| state.services.get(name));
    let kept: BTreeMap<_, _> = kept
        .flat_map(|service| {
            claims(last_declared(state, service)).map(|it| (it, &service.spec.name))
        })
        .collect();
    services.iter().filter(|spec| !withheld.contains_key(&spec.name)).find_map(|spec| {
        let (name, by) = claims(spec).find_map(|it| kept.get_key_value(it))?;
        let cause = WithheldCause::Claimed { name: (*name).to_owned(), by: (*by).clone() };
        Some((spec.name.clone(), cause))
    })
}

/// Names that only one service can have.
fn claims(spec: &ServiceSpec) -> impl Iterator<Item = &str> {
    let dns = spec.dns.iter().map(|dns| dns.name.as_str());
    let istio = spec.istio.iter().map(|istio| istio.host.as_str());
    spec.hosts.iter().map(|host| host.as_str()).chain(dns).chain(istio)
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
    if before.environments.is_some() != now.environments.is_some() {
        return Some(ReleaseInput::Environments);
    }
    if before.identity != now.identity {
        return Some(ReleaseInput::Identity);
    }
    if before.dns != now.dns {
        return Some(ReleaseInput::Dns);
    }
    if istio_edited(service, release, before, now) {
        return Some(ReleaseInput::Istio);
    }
    if before.guardrails.business != now.guardrails.business {
        return Some(ReleaseInput::BusinessMetrics);
    }
    let mut compared = [&release.stable, &release.candidate].into_iter();
    if let Some(name) = compared.find(|name| {
        let Some(now) = now.versions.get(*name) else {
            return before.versions.contains_key(*name);
        };
        let current = service.spec.versions.get(*name).map(|it| it.environment);
        let before = before.versions.get(*name).map(|it| it.environment);
        // The declaration of a version as it was registered is not a change; its endpoints may change.
        before != Some(now.environment) && current != Some(now.environment)
    }) {
        return Some(ReleaseInput::Version(name.clone()));
    }
    let mut edited = now.versions.iter().filter(|(name, spec)| {
        before.versions.get(*name) != Some(*spec) && service.displaced_by(name, spec).is_err()
    });
    edited.next().map(|(name, _)| ReleaseInput::EnvironmentOf(name.clone()))
}

/// Whether requests would reach other pods of the stable version or the candidate than those that are measured.
fn istio_edited(
    service: &ServiceState,
    release: &Release,
    before: &ServiceSpec,
    now: &ServiceSpec,
) -> bool {
    let targets = |spec: &ServiceSpec| spec.environments.as_ref().and_then(|it| it.istio.clone());
    let target =
        |spec: &ServiceSpec, name: &VersionName| Some(spec.versions.get(name)?.istio.clone());
    before.istio != now.istio
        || targets(before) != targets(now)
        || [&release.stable, &release.candidate].into_iter().any(|name| {
            let now = target(now, name);
            now.is_some() && now != target(before, name) && now != target(&service.spec, name)
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::slice::from_ref;

    use super::*;
    use crate::fixtures::*;
    use crate::model::catalogue::{Environment, Environments};
    use crate::model::command::{Command, ReleaseCommand};
    use crate::model::configuration::{Source, Version};
    use crate::model::event::Event;
    use crate::model::outcome::Effect;
    use crate::names::ReleaseId;
    use crate::reducer::decide_command;
    use crate::units::{Ppm, Timestamp};

    fn configuration(hash: &str, services: Vec<ServiceSpec>) -> Command {
        let version = Version { hash: hash.to_owned(), source: Source::File };
        let (fleets, freeze_windows, allow) = (vec![fleet()], Vec::new(), BTreeSet::new());
        Command::ApplyConfiguration { version, fleets, services, freeze_windows, allow }
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

    fn withheld(service: &str, release: &str, input: ReleaseInput) -> Withheld {
        let cause = WithheldCause::MidRelease { release: name(release), input };
        Withheld { service: name(service), cause }
    }

    #[test]
    fn inputs_of_a_running_release_are_withheld_and_the_rest_is_applied() {
        let user = serde_json::from_value(serde_json::json!([{"header": "x-user-id"}])).unwrap();
        let cases = [
            (vec![product()], "order.1", ReleaseInput::Service),
            (
                vec![edit(order(), |it| it.identity = user), product()],
                "order.1",
                ReleaseInput::Identity,
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
                        let green = version(9202, Some(Environment::Green));
                        it.versions.insert(name("v3"), green);
                    }),
                ],
                "product.1",
                ReleaseInput::EnvironmentOf(name("v3")),
            ),
        ];
        for (mut services, release, input) in cases {
            let mut state = running();
            let before = state.clone();
            let hosts = vec!["search.local".parse().unwrap()];
            services.push(ServiceSpec { name: name("search"), hosts, ..order() });
            let command = configuration("new", services);
            let outcome = run(&mut state, Timestamp(1), &command).unwrap();
            let release: ReleaseId = name(release);
            let expected = withheld(release.service(), release.as_str(), input);
            let Effect::ConfigurationApplied { withheld, .. } = outcome.effect else { panic!() };
            assert_eq!(withheld, from_ref(&expected));
            assert!(state.services.contains_key("search"));
            for service in ["order", "product"] {
                assert_eq!(state.services[service], before.services[service]);
            }
            assert_eq!(state.configuration.as_ref().unwrap().withheld, [expected]);
            assert!(!run(&mut state, Timestamp(2), &command).unwrap().changed);
        }
    }

    #[test]
    fn a_withheld_service_is_applied_after_its_release() {
        let mut state = running();
        let edited = edit(order(), |it| drop(it.versions.remove("v2")));
        let command = configuration("new", vec![edited, product()]);
        run(&mut state, Timestamp(1), &command).unwrap();
        assert!(state.services["order"].spec.versions.contains_key("v2"));
        run(&mut state, Timestamp(2), &verb("order.1", ReleaseCommand::Abort)).unwrap();
        assert!(run(&mut state, Timestamp(3), &command).unwrap().changed);
        assert!(!state.services["order"].spec.versions.contains_key("v2"));
        assert!(state.configuration.as_ref().unwrap().withheld.is_empty());
    }

    #[test]
    fn hosts_and_dns_names_of_a_withheld_service_stay_with_it() {
        let mut state = running();
        let renamed = edit(order(), |it| {
            it.hosts = vec!["orders.local".parse().unwrap()];
            it.versions.remove("v2");
        });
        let search = ServiceSpec { name: name("search"), ..order() };
        let command = configuration("new", vec![renamed, product(), search]);
        run(&mut state, Timestamp(1), &command).unwrap();
        assert!(!state.services.contains_key("search"), "two services would have one host");
        let by = name("order");
        let cause = WithheldCause::Claimed { name: "order.local".to_owned(), by };
        let expected = [
            withheld("order", "order.1", ReleaseInput::Version(name("v2"))),
            Withheld { service: name("search"), cause },
        ];
        assert_eq!(state.configuration.as_ref().unwrap().withheld, expected);
    }

    #[test]
    fn endpoints_of_stable_and_candidate_change_during_a_release() {
        let mut state = running();
        let moved = |it: &mut ServiceSpec, version: &str, port| {
            it.versions.get_mut(version).unwrap().endpoints = at(port);
        };
        let order = edit(order(), |it| {
            moved(it, "v1", 9901);
            moved(it, "v2", 9902);
        });
        let product = edit(product(), |it| {
            moved(it, "v1", 9903);
            it.environments = Some(Environments { blue: at(9903), green: at(9904), istio: None });
        });
        let command = configuration("new", vec![order, product]);
        let command = allowing(command, &["endpoints:order/v1", "endpoints:product/v1"]);
        run(&mut state, Timestamp(1), &command).unwrap();
        assert!(state.configuration.as_ref().unwrap().withheld.is_empty());
        for (service, version, port) in [
            ("order", "v1", 9901),
            ("order", "v2", 9902),
            ("product", "v1", 9903),
            ("product", "v2", 9904),
        ] {
            let versions = &state.services[service].spec.versions;
            assert_eq!(versions[version].endpoints, at(port), "{service}/{version}");
        }
        assert_eq!(state.running().count(), 2);
    }

    #[test]
    fn other_fields_change_and_a_running_release_keeps_its_plan() {
        let mut state = running();
        let mut edited = order();
        edited.hosts.push("orders.local".parse().unwrap());
        edited.plan = canary(&[100]);
        edited.guardrails.error_rate.rollback = Ppm::percent(2);
        edited.versions.insert(name("v3"), version(9103, None));
        let mut written = product();
        written.versions.insert(name("v2"), version(9202, Some(Environment::Green)));
        let hosts = vec!["search.local".parse().unwrap()];
        let search = ServiceSpec { name: name("search"), hosts, ..order() };
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
