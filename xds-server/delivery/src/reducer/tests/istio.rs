//! Services in Istio: their versions have targets there, and no endpoints.

use std::collections::BTreeMap;

use super::World;
use crate::fixtures::*;
use crate::model::catalogue::{Environment, ServiceSpec, SpecError, VersionSpec};
use crate::model::command::{Command, Refusal};
use crate::model::configuration::{ReleaseInput, WithheldCause};
use crate::model::istio::{IstioEnvironments, IstioService, IstioSubset, IstioTarget};
use crate::model::plan::SmokeTest;
use crate::model::refusal::Invalid;
use crate::reducer::mid_release::applicable;

fn subset(label: &str) -> IstioTarget {
    let labels = BTreeMap::from([("version".to_owned(), label.to_owned())]).try_into().unwrap();
    IstioTarget::Subset(IstioSubset { name: label.parse().unwrap(), labels })
}

fn in_istio(mut spec: ServiceSpec) -> ServiceSpec {
    let host = format!("{}.default.svc.cluster.local", spec.name).parse().unwrap();
    spec.istio = Some(IstioService { host, port: 80.try_into().unwrap() });
    for (name, version) in &mut spec.versions {
        version.istio = Some(subset(name.as_str()));
        version.endpoints.clear();
    }
    spec
}

/// `product` with its environments as subsets, and without smoke tests, which need endpoints.
fn product_in_istio() -> ServiceSpec {
    let mut spec = in_istio(product());
    spec.plan.smoke_tests.clear();
    let environments = spec.environments.as_mut().unwrap();
    environments.blue.clear();
    environments.green.clear();
    environments.istio = Some(IstioEnvironments { blue: subset("blue"), green: subset("green") });
    spec.versions.get_mut("v1").unwrap().istio = Some(subset("blue"));
    spec
}

fn world(services: Vec<ServiceSpec>) -> World {
    let mut world = World::new();
    world.ask(&moving(services)).unwrap();
    world
}

/// A configuration that may take away the endpoints of stable versions.
fn moving(services: Vec<ServiceSpec>) -> Command {
    let losses = ["endpoints:order/v1", "endpoints:product/v1"];
    allowing(configuration(services, Vec::new()), &losses)
}

fn register(service: &str, version: &str, spec: VersionSpec) -> Command {
    Command::RegisterVersion { service: name(service), version: name(version), spec }
}

fn refused(world: &mut World, command: &Command) -> SpecError {
    match world.ask(command).unwrap_err() {
        Refusal::Invalid(Invalid::Service { error, .. }) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_registered_version_needs_a_target_of_its_own() {
    let mut world = world(vec![in_istio(order()), product()]);
    let spec =
        |istio| VersionSpec { endpoints: Vec::new(), istio, environment: None, commit: None };
    let error = refused(&mut world, &register("order", "v3", spec(None)));
    assert_eq!(error, SpecError::IstioTarget(name("v3")));
    let error = refused(&mut world, &register("order", "v3", spec(Some(subset("v2")))));
    assert_eq!(error, SpecError::SharedTarget { first: name("v2"), second: name("v3") });
    world.ask(&register("order", "v3", spec(Some(subset("v3"))))).unwrap();
    assert_eq!(world.0.services["order"].spec.versions["v3"].istio, Some(subset("v3")));
    let stray =
        VersionSpec { istio: Some(subset("v9")), ..version(9209, Some(Environment::Green)) };
    let error = refused(&mut world, &register("product", "v9", stray));
    assert_eq!(error, SpecError::IstioTarget(name("v9")));
}

#[test]
fn a_version_of_an_environment_has_its_target() {
    let mut world = world(vec![order(), product_in_istio()]);
    world.ask(&start("product", "v2")).unwrap();
    let v2 = world.0.services["product"].spec.versions["v2"].clone();
    assert_eq!(v2.istio, Some(subset("green")));
    let spec = VersionSpec {
        endpoints: Vec::new(),
        istio: None,
        environment: Some(Environment::Green),
        commit: None,
    };
    assert!(!world.ask(&register("product", "v2", spec)).unwrap().changed);
}

#[test]
fn tests_of_a_version_without_endpoints_are_refused() {
    let mut spec = in_istio(order());
    let mut world = world(vec![spec.clone(), product()]);
    let test = SmokeTest { path: "/".to_owned(), expect: 200 };
    spec.plan.smoke_tests.push(test);
    assert_eq!(spec.validate(), Err(SpecError::Unprobeable(name("v1"))));
    let command = Command::StartRelease {
        service: name("order"),
        version: name("v2"),
        plan: Some(spec.plan),
        commit: None,
    };
    assert_eq!(refused(&mut world, &command), SpecError::Unprobeable(name("v2")));
}

#[test]
fn a_running_release_keeps_its_targets() {
    let mut world = world(vec![in_istio(order()), product()]);
    world.ask(&start("order", "v2")).unwrap();
    let with = |edit: fn(&mut ServiceSpec)| {
        let mut spec = in_istio(order());
        edit(&mut spec);
        applicable(&world.0, &[spec, product()]).withheld
    };
    assert_eq!(with(|_| {}), []);
    for edit in [
        (|spec| spec.istio.as_mut().unwrap().port = 81.try_into().unwrap()) as fn(&mut ServiceSpec),
        |spec| spec.versions.get_mut("v2").unwrap().istio = Some(subset("v9")),
    ] {
        let withheld = with(edit);
        let [it] = withheld.as_slice() else { panic!("{withheld:?}") };
        let input = ReleaseInput::Istio;
        assert_eq!(it.cause, WithheldCause::MidRelease { release: name("order.1"), input });
    }
}

#[test]
fn a_service_that_moves_to_istio_drops_versions_without_target() {
    let mut world = World::new();
    world.ask(&register("order", "v3", version(9103, None))).unwrap();
    world.ask(&moving(vec![in_istio(order()), product()])).unwrap();
    let versions = |world: &World| {
        let versions = &world.0.services["order"].spec.versions;
        versions.iter().map(|(name, it)| (name.to_string(), it.istio.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(versions(&world), [("v1".to_owned(), true), ("v2".to_owned(), true)]);
    world.ask(&configuration(vec![order(), product()], Vec::new())).unwrap();
    assert_eq!(versions(&world), [("v1".to_owned(), false), ("v2".to_owned(), false)]);
}
