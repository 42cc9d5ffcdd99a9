//! The snapshot cache: publications, and what snapshots share.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::fixtures::*;
use crate::kind::Kind;
use crate::mesh::{Fleet, Mesh};
use crate::resources::{FleetSnapshot, ResourceRef, SnapshotCache};
use tidegate_delivery::fixtures as delivery;
use tidegate_delivery::judge::{Guardrail, Level};
use tidegate_delivery::model::checks::CheckResult;
use tidegate_delivery::model::configuration::{Source, Version};
use tidegate_delivery::model::dns::RecordSet;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::health::InstanceHealth;
use tidegate_delivery::model::hook::Moment;
use tidegate_delivery::model::requirements::Approval;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::Services;
use tidegate_delivery::units::Ppm;
use tidegate_delivery::units::Timestamp;

fn newest(publisher: &SnapshotCache) -> Arc<FleetSnapshot> {
    let set = publisher.latest();
    Arc::clone(set.fleet("demo").unwrap())
}

fn names(snapshot: &FleetSnapshot, kind: Kind) -> Vec<String> {
    let names = snapshot.collection(kind).names();
    names.map(ToString::to_string).collect()
}

fn publisher(state: &State) -> SnapshotCache {
    SnapshotCache::new(&mesh(Services::All), state)
}

fn publish(cache: &mut SnapshotCache, state: &State) -> u64 {
    cache.update(&mesh(Services::All), state);
    cache.latest().serial()
}

#[test]
fn there_is_a_snapshot_from_the_start() {
    let publisher = publisher(&state(&[service("order", &["v1"], "v1")]));
    let snapshot = newest(&publisher);
    assert_eq!(snapshot.serial(), 1);
    assert_eq!(names(&snapshot, Kind::Cluster), ["order/v1"]);
    assert_eq!(names(&snapshot, Kind::Endpoint), ["order/v1"]);
    assert_eq!(names(&snapshot, Kind::Listener), ["ingress"]);
    assert_eq!(names(&snapshot, Kind::Extension), ["tidegate"]);
    assert_eq!(names(&snapshot, Kind::Route), ["demo/ingress", "service/order"]);
}

#[test]
fn a_removed_fleet_is_a_publication() {
    let state = state(&[service("order", &["v1"], "v1")]);
    let mut publisher = publisher(&state);
    let no_fleets = Mesh::new("filter.wasm".to_owned(), Vec::new());
    assert!(publisher.update(&no_fleets, &state));
    assert_eq!(publisher.latest().serial(), 2);
    assert!(publisher.latest().fleet("demo").is_none());
    assert!(!publisher.update(&no_fleets, &state));
}

#[test]
fn the_same_state_is_no_publication() {
    let order = service("order", &["v1", "v2"], "v1");
    let mut publisher = publisher(&state(std::slice::from_ref(&order)));
    assert_eq!(publish(&mut publisher, &state(std::slice::from_ref(&order))), 1);
    let running = releasing(order, 1, "v2", Ppm::percent(5));
    assert_eq!(publish(&mut publisher, &state(&[running])), 2);
}

/// A weight changes one route configuration of each listener and of the service; all other resources are the same `Arc`s.
#[test]
fn unchanged_resources_are_shared() {
    let user = service("user", &["v1"], "v1");
    let order = service("order", &["v1", "v2"], "v1");
    let at = |weight| {
        let order = releasing(order.clone(), 1, "v2", Ppm::percent(weight));
        state(&[user.clone(), order])
    };
    let mut publisher = publisher(&at(5));
    let before = newest(&publisher);
    publish(&mut publisher, &at(10));
    let after = newest(&publisher);
    for kind in Kind::ALL {
        let same = Arc::ptr_eq(before.collection(kind), after.collection(kind));
        assert_eq!(same, kind != Kind::Route, "{kind}");
    }
    let route = |snapshot: &FleetSnapshot, name| {
        Arc::clone(snapshot.collection(Kind::Route).get(name).unwrap())
    };
    let user = (route(&before, "service/user"), route(&after, "service/user"));
    assert!(Arc::ptr_eq(&user.0, &user.1));
    let order = (route(&before, "service/order"), route(&after, "service/order"));
    assert_ne!(order.0.version(), order.1.version());
}

/// Checklist line 54: a fleet receives the resources of the services of its listeners only.
#[test]
fn a_fleet_receives_the_resources_of_its_services() {
    let services = Services::Named(std::iter::once("order".parse().unwrap()).collect());
    let both = [service("order", &["v1"], "v1"), service("user", &["v1"], "v1")];
    let publisher = SnapshotCache::new(&mesh(services), &state(&both));
    let snapshot = newest(&publisher);
    assert_eq!(names(&snapshot, Kind::Cluster), ["order/v1"]);
    assert_eq!(names(&snapshot, Kind::Route), ["demo/ingress", "service/order"]);
}

/// Fleets share equal resources.
#[test]
fn fleets_share_resources() {
    let ours = mesh(Services::All);
    let theirs = Fleet { name: "edge".parse().unwrap(), ..ours.fleets[0].clone() };
    let both = Mesh { fleets: vec![ours.fleets[0].clone(), theirs], ..ours };
    let publisher = SnapshotCache::new(&both, &state(&[service("order", &["v1"], "v1")]));
    let set = Arc::clone(publisher.latest());
    let cluster = |fleet| {
        let snapshot = set.fleet(fleet).unwrap();
        Arc::clone(snapshot.collection(Kind::Cluster).get("order/v1").unwrap())
    };
    assert!(Arc::ptr_eq(&cluster("demo"), &cluster("edge")));
}

/// Any state: services with some of three versions, perhaps in a release, perhaps with a stable
/// version or a candidate that is not deployed.
fn any_state() -> impl Strategy<Value = State> {
    let versions = prop::sample::subsequence(vec!["v1", "v2", "v3"], 0..=3);
    let version = || prop::sample::select(vec!["v1", "v2", "v3"]);
    let release = prop::option::of((version(), 0..=1_000_000_u32));
    let one = (versions, version(), release);
    prop::collection::vec(one, 0..4).prop_map(|services| {
        let made = ["order", "user", "payment", "product"].into_iter().zip(services);
        let made: Vec<_> = made
            .map(|(name, (versions, stable, release))| {
                let made = service(name, &versions, stable);
                match release {
                    Some((candidate, parts)) => {
                        releasing(made, 1, candidate, Ppm::new(parts).unwrap())
                    }
                    None => made,
                }
            })
            .collect();
        state(&made)
    })
}

proptest! {
    /// Checklist line 40: in any state, the references in a snapshot exist.
    #[test]
    fn references_exist(state in any_state(), own_listeners in any::<bool>()) {
        let mesh = if own_listeners { mesh(Services::All) } else { mesh_without_listeners() };
        let snapshot = newest(&SnapshotCache::new(&mesh, &state));
        let mut named: BTreeSet<ResourceRef> = BTreeSet::new();
        for kind in Kind::ALL {
            let collection = snapshot.collection(kind);
            for name in collection.names() {
                named.extend(collection.get(name).unwrap().references().iter().cloned());
            }
        }
        for reference in &named {
            let collection = snapshot.collection(reference.kind);
            prop_assert!(collection.get(&reference.name).is_some(), "{:?}", reference);
        }
        // Endpoints belong to clusters that use EDS.
        for name in snapshot.collection(Kind::Endpoint).names() {
            let reference = ResourceRef { kind: Kind::Endpoint, name: Arc::clone(name) };
            prop_assert!(named.contains(&reference), "{:?}", reference);
        }
    }

    /// Checklist line 57: a version is the hash of its content, the same in every process.
    #[test]
    fn the_same_state_has_the_same_versions(state in any_state()) {
        let one = newest(&publisher(&state));
        let two = newest(&publisher(&state));
        for kind in Kind::ALL {
            prop_assert_eq!(one.collection(kind).version(), two.collection(kind).version());
        }
    }
}

/// A state that a sequence of updates can lead to: which of three services there are, their weights, and a flag.
fn arbitrary_state() -> impl Strategy<Value = State> {
    let service = |name: &'static str| {
        proptest::option::of(prop_oneof![
            Just(service(name, &["v1", "v2"], "v1")),
            Just(service(name, &["v1", "v2", "v3"], "v2")),
            (1..=100u32).prop_map(move |percent| {
                releasing(service(name, &["v1", "v2"], "v1"), 1, "v2", Ppm::percent(percent))
            }),
        ])
    };
    let services = (service("order"), service("user"), service("cart"));
    (services, any::<bool>()).prop_map(|((order, user, cart), flag)| {
        let services: Vec<_> = [order, user, cart].into_iter().flatten().collect();
        let mut state = state(&services);
        if flag {
            Arc::make_mut(&mut state.flags).insert("beta".to_owned(), routing_flag("order"));
        }
        state
    })
}

/// Keeps the `Arc` of every service that two states have in common, as the fold does.
fn share_services(before: &State, mut after: State) -> State {
    for (name, service) in &mut after.services {
        if let Some(known) = before.services.get(name).filter(|known| *known == service) {
            *service = Arc::clone(known);
        }
    }
    after
}

fn versions(cache: &SnapshotCache, fleet: &str) -> Vec<(Kind, String, Vec<String>)> {
    let snapshot = cache.latest().fleet(fleet).unwrap();
    let kinds = Kind::ALL.into_iter().map(|kind| {
        let all = snapshot.collection(kind);
        let each = all.names().map(|it| format!("{it} {}", all.get(it).unwrap().version()));
        (kind, all.version().to_owned(), each.collect())
    });
    kinds.collect()
}

proptest! {
    #[test]
    fn an_update_builds_the_same_snapshot_as_a_new_cache(
        states in proptest::collection::vec((arbitrary_state(), any::<bool>()), 1..8),
    ) {
        let meshes = [mesh(Services::All), mesh_without_listeners()];
        let mut before = State::default();
        let mut cache = SnapshotCache::new(&meshes[0], &before);
        for (state, own_listeners) in states {
            let mesh = &meshes[usize::from(own_listeners)];
            let state = share_services(&before, state);
            let differs = cache.update(mesh, &state);
            let fresh = SnapshotCache::new(mesh, &state);
            prop_assert_eq!(versions(&cache, "demo"), versions(&fresh, "demo"));
            let config = |cache: &SnapshotCache| {
                cache.latest().fleet("demo").unwrap().filter_config().cloned()
            };
            prop_assert_eq!(config(&cache), config(&fresh));
            prop_assert!(differs || !cache.update(mesh, &state));
            before = state;
        }
    }
}

#[test]
fn an_update_builds_only_the_services_whose_state_changed() {
    let services: Vec<_> =
        (0..100).map(|n| service(&format!("s{n}"), &["v1", "v2"], "v1")).collect();
    let first = state(&services);
    let mut cache = publisher(&first);
    assert_eq!(cache.built, 100);
    let mut next = first.clone();
    let moved = releasing(services[7].clone(), 1, "v2", Ppm::percent(5));
    next.services.insert(moved.spec.name.clone(), Arc::new(moved));
    assert!(cache.update(&mesh(Services::All), &next));
    assert_eq!(cache.built, 101);
    Arc::make_mut(&mut next.flags).insert("beta".to_owned(), routing_flag("s1"));
    assert!(cache.update(&mesh(Services::All), &next));
    assert!(!cache.update(&mesh(Services::All), &next));
    assert_eq!(cache.built, 101);
}

/// `order` with hooks and `product`, each with a release that is being prepared.
fn releases() -> State {
    let mut order = delivery::order();
    order.hooks = vec![
        delivery::hook("cache", Moment::Started, false),
        delivery::hook("index", Moment::Started, false),
    ];
    let mut state = State::default();
    let catalogue = delivery::configuration(vec![order, delivery::product()], Vec::new());
    for command in [catalogue, delivery::start("order", "v2"), delivery::start("product", "v2")] {
        delivery::run(&mut state, Timestamp(0), &command).unwrap();
    }
    state
}

/// [`Event::changes_resources`] decides whether anything is published, so it must hold for the snapshots themselves.
#[test]
fn events_that_change_no_resources_keep_the_snapshot() {
    let mut state = releases();
    let mesh = mesh(Services::All);
    let (order, product) = (|| delivery::name("order.1"), || delivery::name("product.1"));
    let (service, version) = (|| delivery::name("order"), || delivery::name("v2"));
    let preparing = [
        Event::SmokeTestsPassed { id: product() },
        Event::GroupStarted { id: delivery::name("both"), members: vec![product()] },
        Event::HealthChanged { id: product(), health: InstanceHealth::default() },
        Event::HookSucceeded {
            id: order(),
            hook: delivery::name("cache"),
            on: Moment::Started,
            attempts: 1,
        },
        Event::HookFailed {
            id: order(),
            hook: delivery::name("index"),
            on: Moment::Started,
            attempts: 1,
            error: "503".to_owned(),
        },
    ];
    let stepping = [
        Event::StepConverged { id: order(), step: 0 },
        Event::AlertRaised { id: order(), finding: delivery::finding(Level::Warning) },
        Event::AlertCleared { id: order(), guardrail: Guardrail::ErrorRate },
        Event::PausedByGuardrail { id: order(), finding: delivery::finding(Level::Rollback) },
        Event::Resumed { id: order() },
        Event::Paused { id: order() },
        Event::Approved {
            id: order(),
            approval: Approval {
                by: "bob".to_owned(),
                role: delivery::name("manager"),
                step: 1,
                until: Timestamp(9),
            },
        },
        Event::CheckReported {
            service: service(),
            version: version(),
            check: delivery::name("tests"),
            result: CheckResult { passed: true, url: None, reason: None },
        },
        Event::SignalRaised {
            service: service(),
            version: version(),
            signal: delivery::name("orders"),
            reason: None,
        },
        Event::SignalCleared {
            service: service(),
            version: version(),
            signal: delivery::name("orders"),
        },
        Event::FreezeWindowsApplied { freeze_windows: Vec::new() },
        Event::DeploymentsFrozen { service: None, by: "bob".to_owned(), reason: None },
        Event::DeploymentsUnfrozen { service: None },
        Event::DnsUpdated {
            service: delivery::name("product"),
            records: RecordSet::Alias("blue.example.org.".to_owned()),
        },
        Event::DnsFailed { service: delivery::name("product"), error: "SERVFAIL".to_owned() },
        Event::ConfigurationApplied {
            version: Version { hash: "next".to_owned(), source: Source::File },
            losses: Vec::new(),
            withheld: Vec::new(),
        },
    ];
    let enter = Event::StepEntered {
        id: order(),
        step: 0,
        weight: Ppm::percent(5),
        holdback: Ppm::ZERO,
        evidence: None,
    };
    let mut cache = SnapshotCache::new(&mesh, &state);
    for event in preparing.into_iter().chain([enter]).chain(stepping) {
        state.apply(Timestamp(1), &event).unwrap();
        let differs = cache.update(&mesh, &state);
        assert_eq!(differs, event.changes_resources(), "{}", event.kind());
    }
}
