//! Each loss, and the property that a loss is reported exactly if requests no longer reach a service.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use proptest::prelude::*;
use tidegate_core::config::Exclusion;
use tidegate_core::host::Host;

use super::{compare, new_endpoints};
use crate::fixtures::{at, canary, name, order, product, version};
use crate::model::catalogue::ServiceSpec;
use crate::model::change::{Loss, Route};
use crate::model::event::Event;
use crate::model::mesh::{ControlPlane, Fleet, Listener, Purpose};
use crate::model::state::State;
use crate::names::{ServiceName, Services};
use crate::units::Timestamp;

/// The fleets and services of a configuration.
#[derive(Debug, Clone)]
struct Declared {
    fleets: Vec<Fleet>,
    services: Vec<ServiceSpec>,
}

impl Declared {
    /// `order` and `product` in the listener `demo/ingress`.
    fn example() -> Self {
        let services = vec![order(), product()];
        let fleets = vec![Fleet::new(name("demo"), vec![listener("ingress", "127.0.0.1:1")])];
        Self { fleets, services }
    }

    fn ingress(&mut self) -> &mut Listener {
        &mut listeners(&mut self.fleets[0])[0]
    }

    fn declare(&self, mut state: State) -> State {
        let (fleets, services) = (self.fleets.clone(), self.services.clone());
        state.apply(Timestamp(0), &Event::CatalogueApplied { services }).unwrap();
        state.apply(Timestamp(0), &Event::FleetsApplied { fleets }).unwrap();
        state
    }

    /// The losses of a change to `after`.
    fn losses_of(&self, after: &Self) -> Vec<Loss> {
        let before = self.declare(State::default());
        let changes = compare(&before, &after.declare(before.clone()));
        changes.into_iter().filter_map(|it| it.loss).collect()
    }
}

fn listeners(fleet: &mut Fleet) -> &mut Vec<Listener> {
    match &mut fleet.control_plane {
        ControlPlane::Tidegate { listeners, .. } => listeners,
        ControlPlane::Istio(_) => panic!("a fleet with listeners"),
    }
}

fn listener(named: &str, address: &str) -> Listener {
    let (services, purpose) = (Services::All, Purpose::Traffic);
    Listener { name: named.to_owned(), address: address.parse().unwrap(), services, purpose }
}

fn only(service: &str) -> Services {
    Services::Named(BTreeSet::from([name(service)]))
}

/// The losses of a change of the example.
fn losses(change: impl FnOnce(&mut Declared)) -> Vec<String> {
    let before = Declared::example();
    let mut after = before.clone();
    change(&mut after);
    before.losses_of(&after).iter().map(ToString::to_string).collect()
}

fn hosts(hosts: &[&str]) -> Vec<Host> {
    hosts.iter().map(|it| it.parse().unwrap()).collect()
}

#[test]
fn all_endpoints_of_stable_replaced_is_a_loss() {
    let replace = |endpoints| {
        losses(|it| {
            it.services[0].versions.get_mut("v1").unwrap().endpoints = endpoints;
        })
    };
    assert_eq!(replace(at(9901)), ["endpoints:order/v1"]);
    // One endpoint stays.
    assert!(replace([at(9901), at(9101)].concat()).is_empty());
    // Of another version.
    let other = losses(|it| {
        it.services[0].versions.insert(name("v2"), version(9902, None));
    });
    assert!(other.is_empty(), "{other:?}");
}

#[test]
fn a_host_without_a_service_is_a_loss() {
    assert_eq!(losses(|it| it.services[0].hosts = hosts(&["ordr.local"])), ["host:order.local"]);
    assert!(losses(|it| it.services[0].hosts = hosts(&["a.local", "order.local"])).is_empty());
}

#[test]
fn another_address_of_a_listener_is_a_loss() {
    assert_eq!(
        losses(|it| it.ingress().address = "127.0.0.1:2".parse().unwrap()),
        ["listener:demo/ingress"]
    );
    // It accepts the same requests.
    assert!(losses(|it| it.ingress().address = "0.0.0.0:1".parse().unwrap()).is_empty());
    assert!(losses(|it| it.ingress().name = "renamed".to_owned()).is_empty());
}

#[test]
fn a_removed_listener_is_a_loss() {
    assert_eq!(
        losses(|it| *listeners(&mut it.fleets[0]) = vec![listener("other", "127.0.0.1:2")]),
        ["listener:demo/ingress"]
    );
    assert_eq!(losses(|it| listeners(&mut it.fleets[0]).clear()), ["listener:demo/ingress"]);
    assert_eq!(losses(|it| it.fleets[0].name = name("edge")), ["fleet:demo"]);
}

#[test]
fn a_listener_without_a_service_that_it_carried_is_a_loss() {
    assert_eq!(losses(|it| it.ingress().services = only("product")), ["route:demo/ingress/order"]);
    // Another listener has its address.
    let replaced = losses(|it| {
        let mut other = listener("other", "127.0.0.1:1");
        other.services = only("order");
        *listeners(&mut it.fleets[0]) = vec![other];
    });
    assert_eq!(replaced, ["route:demo/ingress/product"]);
}

#[test]
fn a_removed_service_is_a_loss_while_it_is_routed_to() {
    let without = |it: &mut Declared| drop(it.services.remove(0));
    assert_eq!(losses(without), ["service:order"]);
    let mut before = Declared::example();
    before.ingress().services = only("product");
    let mut after = before.clone();
    without(&mut after);
    assert!(before.losses_of(&after).is_empty());
}

#[test]
fn a_listener_that_becomes_a_preview_is_a_loss() {
    assert_eq!(losses(|it| it.ingress().purpose = Purpose::Preview), ["listener:demo/ingress"]);
}

#[test]
fn a_host_of_another_service_is_a_loss() {
    let moved = losses(|it| {
        it.services[0].hosts = hosts(&["orders.local"]);
        it.services[1].hosts = hosts(&["product.local", "order.local"]);
    });
    assert_eq!(moved, ["host:order.local"]);
}

#[test]
fn a_removed_stable_version_is_a_loss() {
    let removed = losses(|it| {
        it.services[0].versions.remove("v1");
        it.services[0].stable = name("v2");
    });
    assert_eq!(removed, ["version:order/v1"]);
}

#[test]
fn listeners_instead_of_those_of_another_control_plane_are_a_loss() {
    let mut before = Declared::example();
    listeners(&mut before.fleets[0]).clear();
    assert_eq!(before.losses_of(&Declared::example()), [name("fleet:demo")]);
}

#[test]
fn additions_and_settings_are_changes_without_a_loss() {
    let before = Declared::example();
    let mut after = before.clone();
    after.services[0].plan = canary(&[100]);
    after.services[0].guardrails.min_requests = 7;
    after.services[0].excluded.push(Exclusion::Path("/healthz".into()));
    after.services.push(ServiceSpec {
        name: name("search"),
        hosts: hosts(&["search.local"]),
        ..order()
    });
    listeners(&mut after.fleets[0]).push(listener("more", "127.0.0.1:3"));
    let state = before.declare(State::default());
    let changes = compare(&state, &after.declare(state.clone()));
    let kinds: Vec<_> =
        changes.iter().map(|it| serde_json::to_value(it).unwrap()["kind"].clone()).collect();
    let expected = [
        "listener_added",
        "plan_changed",
        "guardrails_changed",
        "exclusions_changed",
        "service_added",
        "version_added",
        "version_added",
        "host_added",
    ];
    assert_eq!(kinds, expected);
    assert!(changes.iter().all(|it| it.loss.is_none()), "{changes:?}");
}

#[test]
fn new_endpoints_are_those_of_versions_that_serve() {
    let mut before = Declared::example();
    before.ingress().services = Services::Named([name("order"), name("search")].into());
    let mut after = before.clone();
    let [order, product] = after.services.as_mut_slice() else { panic!() };
    order.versions.get_mut("v1").unwrap().endpoints.extend(at(9901));
    // v2 has no traffic, nothing routes to `product`.
    order.versions.insert(name("v2"), version(9902, None));
    product.versions.get_mut("v1").unwrap().endpoints = at(9903);
    let search = ServiceSpec { name: name("search"), hosts: hosts(&["s.local"]), ..self::order() };
    after.services.push(search);
    let state = before.declare(State::default());
    let new = new_endpoints(&state, &after.declare(state.clone()));
    let new: Vec<_> = new.iter().map(|(version, at)| format!("{version} {at}")).collect();
    assert_eq!(new, ["order/v1 127.0.0.1:9901", "search/v1 127.0.0.1:9101"]);
}

const SERVICES: [&str; 3] = ["order", "product", "search"];
const HOSTS: [&str; 4] = ["a.local", "b.local", "c.local", "d.local"];
const ADDRESSES: [&str; 4] = ["127.0.0.1:1", "127.0.0.1:2", "0.0.0.0:1", "[::]:1"];

/// Each host belongs to one service or to none. A service without a host is not declared.
fn services() -> impl Strategy<Value = Vec<ServiceSpec>> {
    prop::collection::vec(0..=SERVICES.len(), HOSTS.len()).prop_map(|owners| {
        let of = |number: usize| {
            let own = HOSTS.iter().zip(&owners).filter(|(_, owner)| **owner == number);
            let own: Vec<_> = own.map(|(host, _)| host.parse().unwrap()).collect();
            let spec = ServiceSpec { name: name(SERVICES[number]), hosts: own, ..order() };
            (!spec.hosts.is_empty()).then_some(spec)
        };
        (0..SERVICES.len()).filter_map(of).collect()
    })
}

fn fleets() -> impl Strategy<Value = Vec<Fleet>> {
    let services = prop_oneof![
        Just(Services::All),
        prop::sample::subsequence(SERVICES.to_vec(), 1..=2)
            .prop_map(|all| Services::Named(all.into_iter().map(name).collect())),
    ];
    let purpose = prop_oneof![4 => Just(Purpose::Traffic), 1 => Just(Purpose::Preview)];
    let listener = (prop::sample::select(ADDRESSES.to_vec()), services, purpose).prop_map(
        |(address, services, purpose)| {
            let address = address.parse().unwrap();
            Listener { name: String::new(), address, services, purpose }
        },
    );
    let listeners = prop::collection::vec(listener, 0..4).prop_map(|mut all| {
        let mut seen = BTreeSet::new();
        all.retain(|it| seen.insert(it.address));
        for (number, listener) in all.iter_mut().enumerate() {
            listener.name = format!("l{number}");
        }
        all
    });
    let fleet = |named: &'static str| {
        prop::option::weighted(
            0.8,
            listeners.clone().prop_map(move |listeners| Fleet::new(name(named), listeners)),
        )
    };
    (fleet("demo"), fleet("edge")).prop_map(|(a, b)| a.into_iter().chain(b).collect())
}

fn declared() -> impl Strategy<Value = Declared> {
    (fleets(), services()).prop_map(|(fleets, services)| Declared { fleets, services })
}

/// A fleet, an address of it (none: listeners of another control plane), and a host.
type Entry = (String, Option<SocketAddr>, String);

/// The service that receives the requests of an entry.
fn reached(declared: &Declared, (fleet, address, host): &Entry) -> Option<ServiceName> {
    let fleet = declared.fleets.iter().find(|it| it.name.as_str() == *fleet)?;
    let service =
        declared.services.iter().find(|it| it.hosts.iter().any(|it| it.as_str() == host))?;
    let selects = match address {
        None => fleet.listeners().is_empty(),
        Some(address) => {
            let any = if address.is_ipv4() { "0.0.0.0" } else { "[::]" };
            let any: SocketAddr = format!("{any}:{}", address.port()).parse().unwrap();
            let accepting = [*address, any]
                .into_iter()
                .find_map(|wanted| fleet.listeners().iter().find(|it| it.address == wanted));
            let accepting = accepting?;
            accepting.purpose == Purpose::Traffic && accepting.services.include(&service.name)
        }
    };
    selects.then(|| service.name.clone())
}

/// Every entry of a configuration.
fn entries(declared: &Declared) -> Vec<Entry> {
    let mut all = Vec::new();
    for fleet in &declared.fleets {
        let own = fleet.listeners().iter().map(|it| Some(it.address));
        let foreign = fleet.listeners().is_empty().then_some(None);
        for address in own.chain(foreign) {
            all.extend(HOSTS.map(|host| (fleet.name.to_string(), address, host.to_owned())));
        }
    }
    all
}

/// Whether a loss is the cause that the service of an entry no longer receives its requests.
fn explains(before: &Declared, loss: &Loss, entry: &Entry, service: &ServiceName) -> bool {
    let (fleet, address, host) = entry;
    let is_at = |of: &str, named: &str| {
        of == fleet
            && before.fleets.iter().any(|it| {
                let mut listeners = it.listeners().iter();
                it.name.as_str() == fleet
                    && listeners.any(|it| it.name == named && Some(it.address) == *address)
            })
    };
    match loss {
        Loss::Fleet(it) => it.as_str() == fleet,
        Loss::Listener(of, named) => is_at(of.as_str(), named),
        Loss::Route(Route { fleet: of, listener, service: it }) => {
            it == service && is_at(of.as_str(), listener)
        }
        Loss::Service(it) => it == service,
        Loss::Host(it) => it.as_str() == host,
        Loss::Version(_) | Loss::Endpoints(_) => false,
    }
}

proptest! {
    #[test]
    fn a_configuration_does_not_differ_from_itself(declared in declared()) {
        let state = declared.declare(State::default());
        prop_assert_eq!(compare(&state, &state), []);
        prop_assert_eq!(compare(&state, &declared.declare(state.clone())), []);
    }

    #[test]
    fn a_loss_is_reported_exactly_if_requests_no_longer_reach_a_service(before in declared(), after in declared()) {
        let losses = before.losses_of(&after);
        let lost: Vec<_> = entries(&before)
            .into_iter()
            .filter_map(|entry| {
                let service = reached(&before, &entry)?;
                (reached(&after, &entry).as_ref() != Some(&service)).then_some((entry, service))
            })
            .collect();
        for (entry, service) in &lost {
            let explained = losses.iter().any(|it| explains(&before, it, entry, service));
            prop_assert!(explained, "{entry:?} no longer reaches {service}: {losses:?}");
        }
        for loss in &losses {
            let is_real = lost.iter().any(|(entry, service)| explains(&before, loss, entry, service));
            prop_assert!(is_real, "{loss} takes nothing away: {lost:?}");
        }
    }
}
