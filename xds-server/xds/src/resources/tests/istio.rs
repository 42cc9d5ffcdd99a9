//! Fleets of an Istio mesh: they have a filter configuration and no resources.

use super::fixtures::*;
use crate::kind::Kind;
use crate::mesh::Mesh;
use crate::resources::{FleetSnapshot, InvalidResource, SnapshotCache, check, check_filters};
use crate::tokens::TokenKey;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::config::{self as core_config, FilterConfig};
use tidegate_core::routing::Router;
use tidegate_delivery::model::mesh::keep;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{ServiceName, Services};
use tidegate_delivery::units::Ppm;

fn order() -> tidegate_delivery::model::state::ServiceState {
    in_istio(service("order", &["v1", "v2"], "v1"))
}

fn snapshot(cache: &SnapshotCache, fleet: &str) -> Arc<FleetSnapshot> {
    Arc::clone(cache.latest().fleet(fleet).unwrap())
}

fn errors(mesh: &Mesh, state: &State) -> Vec<InvalidResource> {
    let errors = check(mesh, state).unwrap_err().0;
    assert_eq!(check_filters(mesh, state).unwrap_err().0, errors);
    errors
}

#[test]
fn an_istio_fleet_has_a_filter_configuration_and_no_resources() {
    let mesh = istio_mesh(Services::All);
    let idle = state(&[order()]);
    assert_eq!(check(&mesh, &idle), Ok(()));
    let mut cache = SnapshotCache::new(&mesh, &idle);
    let first = snapshot(&cache, "mesh");
    assert!(first.is_foreign());
    for kind in Kind::ALL {
        assert!(first.collection(kind).is_empty(), "{kind}");
    }
    let config = first.filter_config().unwrap();
    assert_eq!(config.services.len(), 1);
    assert!(!config.version.is_empty());

    let released = state(&[releasing(order(), 1, "v2", Ppm::percent(5))]);
    assert!(cache.update(&mesh, &released), "the configuration of the filter changed");
    let second = snapshot(&cache, "mesh");
    assert_ne!(second.filter_config().unwrap().version, config.version);
    assert!(!cache.update(&mesh, &released));
}

fn split(config: &FilterConfig) -> Vec<(&str, u32)> {
    let core_config::Mesh::Istio(mesh) = &config.mesh else { panic!("{config:?}") };
    let [order] = &mesh.services[..] else { panic!("{config:?}") };
    assert_eq!((order.host.as_str(), order.port), ("order.default.svc.cluster.local", 80));
    assert_eq!(order.versions.len(), 2);
    order.split.iter().map(|share| (share.version.as_str(), share.below)).collect()
}

#[test]
fn the_filter_receives_the_split_and_the_tokens_of_the_key() {
    let mut mesh = istio_mesh(Services::All);
    mesh.token_key = Some(TokenKey::new([1; 32]));
    let mut cache = SnapshotCache::new(&mesh, &state(&[order()]));
    let mut versions = BTreeSet::new();
    for (weight, expected) in [
        (Ppm::ZERO, vec![("v1", 1_000_000)]),
        (Ppm::percent(5), vec![("v2", 50_000), ("v1", 1_000_000)]),
        (Ppm::ALL, vec![("v2", 1_000_000)]),
    ] {
        assert!(cache.update(&mesh, &state(&[releasing(order(), 1, "v2", weight)])));
        let snapshot = snapshot(&cache, "mesh");
        assert_eq!(split(snapshot.filter_config().unwrap()), expected);
        let encoded = snapshot.encoded_config().unwrap();
        assert!(versions.insert(encoded.version.clone()));
        let (sent, router) = Router::parse(encoded.json.as_bytes()).unwrap();
        assert_eq!(sent, **snapshot.filter_config().unwrap());
        assert!(router.istio().is_some());
        assert!(encoded.json.contains(&TokenKey::new([1; 32]).of_route(&name("order"), "v2")));
    }
    let last = state(&[releasing(order(), 1, "v2", Ppm::ALL)]);
    assert!(!cache.update(&mesh, &last));
    mesh.token_key = Some(TokenKey::new([2; 32]));
    assert!(cache.update(&mesh, &last), "another key");
    let last = snapshot(&cache, "mesh");
    let json = &last.encoded_config().unwrap().json;
    assert!(json.contains(&TokenKey::new([2; 32]).of_route(&name("order"), "v2")));
}

#[test]
fn a_weight_does_not_change_the_filter_of_a_fleet_with_routes() {
    let both = service("order", &["v1", "v2"], "v1");
    let at = |weight| state(&[releasing(both.clone(), 1, "v2", weight)]);
    let mesh = mesh(Services::All);
    let mut cache = SnapshotCache::new(&mesh, &at(Ppm::percent(5)));
    let before = snapshot(&cache, "demo");
    assert!(before.encoded_config().is_none());
    assert!(cache.update(&mesh, &at(Ppm::percent(10))));
    let after = snapshot(&cache, "demo");
    assert!(Arc::ptr_eq(before.collection(Kind::Extension), after.collection(Kind::Extension)));
}

/// A mesh that changes elsewhere keeps the publication of an Istio fleet.
#[test]
fn a_fleet_that_moves_to_istio_loses_its_resources() {
    let mut both = order();
    both.spec = in_istio(service("order", &["v1", "v2"], "v1")).spec;
    for (name, version) in service("order", &["v1", "v2"], "v1").spec.versions {
        both.spec.versions.get_mut(&name).unwrap().endpoints = version.endpoints;
    }
    let state = state(&[both]);
    let own = mesh(Services::All);
    let mut istio = istio_mesh(Services::All);
    istio.fleets[0].name = own.fleets[0].name.clone();
    let mut cache = SnapshotCache::new(&own, &state);
    assert!(!snapshot(&cache, "demo").collection(Kind::Cluster).is_empty());
    assert!(cache.update(&istio, &state));
    assert!(snapshot(&cache, "demo").collection(Kind::Cluster).is_empty());
    assert!(!cache.update(&Mesh { wasm: "other.wasm".to_owned(), ..istio.clone() }, &state));
    assert!(cache.update(&own, &state));
    assert!(!snapshot(&cache, "demo").collection(Kind::Cluster).is_empty());
    assert!(!snapshot(&cache, "demo").is_foreign());
}

#[test]
fn a_service_of_an_istio_fleet_is_in_istio() {
    let plain = service("order", &["v1", "v2"], "v1");
    let mesh = istio_mesh(Services::All);
    let found = errors(&mesh, &state(std::slice::from_ref(&plain)));
    assert!(matches!(found.as_slice(), [InvalidResource::NotInIstio { version: None, .. }]));
    assert_eq!(found[0].service(), Some("order"));
    let other = Services::Named([name("product")].into());
    assert_eq!(check(&istio_mesh(other), &state(&[plain])), Ok(()));

    let mut half = order();
    half.spec.versions.get_mut("v2").unwrap().istio = None;
    let found = errors(&mesh, &state(&[half]));
    let [InvalidResource::NotInIstio { version: Some(version), .. }] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(version.as_str(), "v2");
}

#[test]
fn a_version_needs_endpoints_where_tidegate_sends_its_cluster() {
    let mut half = order();
    let complete = service("order", &["v1", "v2"], "v1");
    half.spec.versions.get_mut("v1").unwrap().endpoints =
        complete.spec.versions["v1"].endpoints.clone();
    let found = errors(&mesh(Services::All), &state(&[half]));
    let [InvalidResource::NoEndpoints { version, .. }] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(version.as_str(), "v2");
}

#[test]
fn a_withheld_service_stays_in_its_istio_fleet() {
    let before = istio_mesh(Services::Named([name("order")].into()));
    let mut now = istio_mesh(Services::Named([name("product")].into()));
    keep(&mut now.fleets, &name("order"), &before.fleets);
    assert!(now.fleets[0].serves(&name("order")) && now.fleets[0].serves(&name("product")));
}

fn name(name: &str) -> ServiceName {
    name.parse().unwrap()
}
