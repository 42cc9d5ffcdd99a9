//! Fleets and their listeners.

use super::{UniqueNames, name, selected_services, text};
use crate::auth::pattern::{IdentityPattern, PatternError};
use crate::config::problem::{Fault, Problems};
use crate::config::span::Spanned;
use crate::config::{FleetIdentities, raw, units};
use tidegate_delivery::names::FleetName;
use tidegate_xds::mesh::{CONTROL_PLANE_CLUSTER, ControlPlane, Fleet, Listener, Purpose};

/// The fleets. `tls` is true if sidecars authenticate with certificates.
pub(super) fn resolve(
    written: &Spanned<Vec<raw::Fleet>>,
    services: &Spanned<Vec<raw::Service>>,
    tls: bool,
    problems: &mut Problems,
) -> (Vec<Fleet>, FleetIdentities) {
    if written.get().is_empty() {
        problems.add(
            written.span(),
            "no fleet is defined, so no sidecar is served",
            "add one whose name is the `node.cluster` of the sidecars: - name: demo",
        );
    }
    let known: Vec<&str> = services.get().iter().map(|s| s.name.get().as_str()).collect();
    let mut names = UniqueNames::default();
    let mut fleets = Vec::new();
    let mut admitted = FleetIdentities::new();
    for raw in written.get() {
        let span = raw.name.span();
        names.check("fleet", raw.name.get(), "", span, problems);
        let identities = identities(raw, tls, problems);
        let control_plane = control_plane(raw, &known, problems);
        let name: Option<FleetName> = problems.record(span, name(&raw.name));
        if let Some((name, control_plane)) = name.zip(control_plane) {
            admitted.insert(name.clone(), identities);
            fleets.push(Fleet { name, control_plane });
        }
    }
    (fleets, admitted)
}

fn control_plane(
    raw: &raw::Fleet,
    known: &[&str],
    problems: &mut Problems,
) -> Option<ControlPlane> {
    let listeners = listeners(raw, known, problems);
    let Some(istio) = &raw.istio else {
        let cluster = cluster(raw, problems)?;
        return Some(ControlPlane::Tidegate { listeners, cluster });
    };
    if let Some(cluster) = &raw.control_plane_cluster {
        problems.add(
            cluster.span(),
            "`control_plane_cluster` has no effect with `istio`",
            "remove it; `report_cluster` of `istio` names the cluster",
        );
    }
    if !raw.listeners.is_empty() {
        problems.add(
            istio.span(),
            format!("fleet `{}` has `istio` and `listeners`", raw.name.get()),
            "remove `listeners`, which Istio sends, or write two fleets",
        );
    }
    super::istio::fleet(istio.get(), known, problems).map(ControlPlane::Istio)
}

/// The name of the control plane's cluster in the bootstraps of the fleet.
fn cluster(raw: &raw::Fleet, problems: &mut Problems) -> Option<String> {
    let Some(at) = &raw.control_plane_cluster else {
        return Some(CONTROL_PLANE_CLUSTER.to_owned());
    };
    problems.record(at.span(), text("the cluster's name", at))
}

/// The identities that a fleet admits. They are required with TLS and rejected without, where they
/// would have no effect.
fn identities(fleet: &raw::Fleet, tls: bool, problems: &mut Problems) -> Vec<IdentityPattern> {
    match fleet.identities.first() {
        Some(first) if !tls => problems.add(
            first.span(),
            "`identities` have no effect without `listen.tls`",
            "add `tls` to `listen`, or remove them",
        ),
        None if tls => problems.add(
            fleet.name.span(),
            format!(
                "fleet `{}` admits no sidecar: `listen.tls` requires `identities`",
                fleet.name.get()
            ),
            "add some, such as identities: [\"spiffe://example.org/ns/shop/*\"]",
        ),
        _ => {}
    }
    let pattern = |at: &Spanned<String>| {
        let parsed = at.get().parse().map_err(|error: PatternError| {
            Fault::new(
                format!("`{}` is not an identity pattern: {error}", at.get()),
                "write a SPIFFE ID, such as spiffe://example.org/ns/shop/* or spiffe://example.org/{node}",
            )
        });
        problems.record(at.span(), parsed)
    };
    fleet.identities.iter().filter_map(pattern).collect()
}

fn listeners(fleet: &raw::Fleet, known: &[&str], problems: &mut Problems) -> Vec<Listener> {
    let (mut names, mut addresses) = (UniqueNames::default(), UniqueNames::default());
    let mut listeners = Vec::new();
    for raw in &fleet.listeners {
        let span = raw.name.span();
        names.check("listener", raw.name.get(), "", span, problems);
        let name = problems.record(span, listener_name(&raw.name));
        let span = raw.address.span();
        let address = problems.record(span, units::address(raw.address.get()));
        if let Some(address) = address {
            let shown = address.to_string();
            addresses.check("listener address", &shown, "", span, problems);
            if address.port() == 0 {
                problems.add(
                    span,
                    "a listener cannot have port 0",
                    "choose a port from 1 to 65535",
                );
            }
        }
        let services = selected_services("listener", &raw.services, known, problems);
        let both = name.zip(address);
        let purpose = if raw.preview { Purpose::Preview } else { Purpose::Traffic };
        if raw.preview && address.is_some_and(|address| address.ip().is_unspecified()) {
            problems.add(
                span,
                "smoke tests cannot be sent to an unspecified address of a preview listener",
                "write the IP address at which the control plane reaches the sidecar",
            );
        }
        let listener = |(name, address)| Listener { name, address, services, purpose };
        listeners.extend(both.map(listener));
    }
    listeners
}

/// A listener name is part of the resource name `FLEET/LISTENER`, so it has the grammar of fleet
/// names.
fn listener_name(at: &Spanned<String>) -> Result<String, Fault> {
    let name = text("the listener's name", at)?;
    if name.parse::<FleetName>().is_err() {
        return Err(Fault::new(
            format!("`{name}` is not a listener name"),
            "use up to 63 letters, digits, `-`, `_` and `.`, beginning with a letter or digit",
        ));
    }
    Ok(name)
}
