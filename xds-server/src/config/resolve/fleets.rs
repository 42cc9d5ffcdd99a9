//! Fleets and their listeners.

use std::collections::BTreeSet;

use super::once::Once;
use super::{name, text};
use crate::config::place::At;
use crate::config::problem::{Fault, Problems};
use crate::config::suggest::suggest;
use crate::config::{Identities, raw, units};
use crate::door::pattern::{BadPattern, IdentityPattern};
use tidegate_delivery::names::{FleetName, ServiceName, Services};
use tidegate_xds::mesh::{Fleet, Listener, Purpose};

/// The fleets, each listener leading to services that exist. `certified` says whether sidecars show
/// certificates.
pub(super) fn resolve(
    written: &At<Vec<raw::Fleet>>,
    services: &At<Vec<raw::Service>>,
    certified: bool,
    problems: &mut Problems,
) -> (Vec<Fleet>, Identities) {
    if written.get().is_empty() {
        problems.add(
            written.place(),
            "there is no fleet, so no sidecar would be served",
            "add one: - name: demo, the `node.cluster` of your sidecars",
        );
    }
    let known: Vec<&str> = services.get().iter().map(|s| s.name.get().as_str()).collect();
    let mut names = Once::default();
    let mut fleets = Vec::new();
    let mut admitted = Identities::new();
    for raw in written.get() {
        let place = raw.name.place();
        names.check("fleet", raw.name.get(), "", place, problems);
        let identities = identities(raw, certified, problems);
        let listeners = listeners(raw, &known, problems);
        let name: Option<FleetName> = problems.take(place, name(&raw.name));
        if let Some(name) = name {
            admitted.insert(name.clone(), identities);
            fleets.push(Fleet { name, listeners });
        }
    }
    (fleets, admitted)
}

/// Who may be of the fleet. Neither may an operator believe that somebody is kept out who is not,
/// nor the other way round.
fn identities(
    fleet: &raw::Fleet,
    certified: bool,
    problems: &mut Problems,
) -> Vec<IdentityPattern> {
    match fleet.identities.first() {
        Some(first) if !certified => problems.add(
            first.place(),
            "without `listen.tls` nobody shows an identity, so these keep nobody out",
            "add `tls` to `listen`, or remove `identities`",
        ),
        None if certified => problems.add(
            fleet.name.place(),
            format!("with `listen.tls` nobody may be of fleet `{}`", fleet.name.get()),
            "add who may, such as identities: [\"spiffe://example.org/ns/shop/*\"]",
        ),
        _ => {}
    }
    let pattern = |at: &At<String>| {
        let parsed = at.get().parse().map_err(|error: BadPattern| {
            Fault::new(
                format!("`{}` names no identities: {error}", at.get()),
                "write a SPIFFE id, such as spiffe://example.org/ns/shop/* or spiffe://example.org/{node}",
            )
        });
        problems.take(at.place(), parsed)
    };
    fleet.identities.iter().filter_map(pattern).collect()
}

fn listeners(fleet: &raw::Fleet, known: &[&str], problems: &mut Problems) -> Vec<Listener> {
    let (mut names, mut addresses) = (Once::default(), Once::default());
    let mut listeners = Vec::new();
    for raw in &fleet.listeners {
        let place = raw.name.place();
        names.check("listener", raw.name.get(), "", place, problems);
        let name = problems.take(place, listener_name(&raw.name));
        let place = raw.address.place();
        let address = problems.take(place, units::address(raw.address.get()));
        if let Some(address) = address {
            let shown = address.to_string();
            addresses.check("listener address", &shown, "", place, problems);
            if address.port() == 0 {
                problems.add(place, "port 0 is not one that callers can know", "choose a port");
            }
        }
        let services = services("listener", &raw.services, known, problems);
        let both = name.zip(address);
        let purpose = if raw.preview { Purpose::Preview } else { Purpose::Traffic };
        if raw.preview && address.is_some_and(|address| address.ip().is_unspecified()) {
            problems.add(
                place,
                "smoke tests are sent to a preview listener, and nobody can be sent to this address",
                "name the one address of the sidecar by which the control plane reaches it",
            );
        }
        let listener = |(name, address)| Listener { name, address, services, purpose };
        listeners.extend(both.map(listener));
    }
    listeners
}

/// Listener names stand in `FLEET/LISTENER`: the grammar is that of every other name.
fn listener_name(at: &At<String>) -> Result<String, Fault> {
    let name = text("the listener's name", at)?;
    if name.parse::<FleetName>().is_err() {
        return Err(Fault::new(
            format!("`{name}` is not a name for a listener"),
            "use up to 63 letters, digits, `-`, `_` and `.`, beginning with a letter or digit",
        ));
    }
    Ok(name)
}

/// The services that something is for.
pub(super) fn services(
    what: &str,
    written: &At<Vec<At<String>>>,
    known: &[&str],
    problems: &mut Problems,
) -> Services {
    let all = written.get().iter().find(|at| at.get() == "*");
    if written.get().is_empty() {
        problems.add(
            written.place(),
            format!("the {what} is for no service"),
            "name some, or write [\"*\"] for every one",
        );
    }
    if let Some(at) = all {
        if written.get().len() > 1 {
            problems.add(
                at.place(),
                "`*` is every service already",
                "write [\"*\"] alone, or name the services",
            );
        }
        return Services::All;
    }
    let mut once = Once::default();
    let mut names = BTreeSet::new();
    for at in written.get() {
        let (service, place) = (at.get(), at.place());
        once.check("service", service, "", place, problems);
        if known.contains(&service.as_str()) {
            // A malformed name was noted where the service is declared.
            names.extend(service.parse::<ServiceName>().ok());
        } else {
            problems.add(
                place,
                format!("there is no service `{service}`"),
                suggest(service, known.iter().copied()),
            );
        }
    }
    Services::Named(names)
}
