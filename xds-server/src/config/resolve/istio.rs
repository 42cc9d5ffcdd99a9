//! Services, versions and fleets of a mesh whose control plane is Istio.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use super::{UniqueNames, selected_services};
use crate::config::problem::{Fault, Problems};
use crate::config::span::{Span, Spanned};
use crate::config::{raw, units};
use tidegate_core::upstream::Upstream;
use tidegate_delivery::model::istio::{
    IstioError, IstioHost, IstioService, IstioSubset, IstioTarget, PodLabels,
};
use tidegate_delivery::names::Services;
use tidegate_xds::mesh::{Fleet, IstioMesh};

/// Default of `report_cluster`.
const REPORT_CLUSTER: &str = "outbound|18000||tidegate.tidegate.svc.cluster.local";
/// The label of the pods of a version, by default.
const VERSION_LABEL: &str = "version";

/// The host of a service. `all` are the hosts of the services before it.
pub(super) fn service(
    raw: &raw::Service,
    all: &mut UniqueNames,
    problems: &mut Problems,
) -> Option<IstioService> {
    let istio = raw.istio.as_ref()?.get();
    let span = istio.host.span();
    let host = problems.record(span, host(&istio.host));
    if let Some(host) = &host {
        // Istio applies one VirtualService to a host, whatever its ports.
        all.check("Istio host", host.as_str(), raw.name.get(), span, problems);
    }
    let port = NonZeroU16::new(*istio.port.get());
    if port.is_none() {
        let fix = "write the port of the Kubernetes Service, such as 80";
        problems.add(istio.port.span(), "a service cannot have port 0", fix);
    }
    let (host, port) = host.zip(port)?;
    Some(IstioService { host, port })
}

/// The target of a version or environment with this name.
pub(super) fn target(
    name: &str,
    raw: &Spanned<raw::IstioTarget>,
    problems: &mut Problems,
) -> Option<IstioTarget> {
    let target = raw.get();
    match (&target.subset, &target.host) {
        (Some(subset), None) => {
            let labels = match &target.labels {
                Some(at) => at.get().clone(),
                None => BTreeMap::from([(VERSION_LABEL.to_owned(), name.to_owned())]),
            };
            let span = target.labels.as_ref().map_or(raw.span(), Spanned::span);
            let labels = problems.record(span, PodLabels::try_from(labels).map_err(fault));
            let subset = problems.record(subset.span(), subset.get().parse().map_err(fault));
            let (name, labels) = subset.zip(labels)?;
            Some(IstioTarget::Subset(IstioSubset { name, labels }))
        }
        (None, Some(at)) => {
            if let Some(labels) = &target.labels {
                let what = "`labels` have no effect with `host`";
                problems.add(labels.span(), what, "write them in the selector of that Service");
            }
            problems.record(at.span(), host(at)).map(IstioTarget::Host)
        }
        (Some(_), Some(at)) => {
            let what = "`subset` and `host` exclude each other";
            problems.add(at.span(), what, "remove one of the two");
            None
        }
        (None, None) => {
            let what = format!("`{name}` has neither `subset` nor `host`");
            problems.add(raw.span(), what, "write one of them, such as istio: {subset: v1}");
            None
        }
    }
}

/// Reports two versions or environments with one target.
pub(super) fn check_targets(targets: &[(&str, Span, &IstioTarget)], problems: &mut Problems) {
    for (number, (name, span, target)) in targets.iter().enumerate() {
        let mut before = targets.iter().take(number);
        if let Some((first, ..)) = before.find(|(.., it)| it.overlaps(target)) {
            problems.add(
                *span,
                format!("`{first}` and `{name}` have one target in Istio"),
                "write subsets with different names and labels, or different hosts",
            );
        }
    }
}

/// An Istio fleet. `known` are the names of all services.
pub(super) fn fleet(
    raw: &raw::IstioFleet,
    known: &[&str],
    problems: &mut Problems,
) -> Option<IstioMesh> {
    let (report_cluster, host) = match &raw.report_cluster {
        Some(at) => problems.record(at.span(), report_cluster(at.get()))?,
        None => report_cluster(REPORT_CLUSTER).ok()?,
    };
    let authority = match &raw.authority {
        Some(at) => problems.record(at.span(), authority(at.get()))?,
        None => host.to_string(),
    };
    let services = raw.services.as_ref();
    let services =
        services.map_or(Services::All, |at| selected_services("Istio fleet", at, known, problems));
    Some(IstioMesh { report_cluster, authority, services })
}

/// Reports services with `istio` that no Istio fleet includes.
pub(super) fn check_effect(services: &[raw::Service], fleets: &[Fleet], problems: &mut Problems) {
    for service in services {
        let Some(at) = &service.istio else { continue };
        // An invalid name is reported where the service is declared.
        let Ok(name) = service.name.get().parse() else { continue };
        if !fleets.iter().any(|fleet| fleet.istio().is_some() && fleet.serves(&name)) {
            problems.add(
                at.span(),
                format!("`istio` of service `{name}` has no effect: no Istio fleet includes it"),
                "add a fleet such as {name: mesh, istio: {}}, or remove `istio`",
            );
        }
    }
}

fn host(at: &Spanned<String>) -> Result<IstioHost, Fault> {
    at.get().parse().map_err(fault)
}

fn fault(error: IstioError) -> Fault {
    Fault::new(error.to_string(), error.fix())
}

/// The name of a cluster without subset, and its host.
fn report_cluster(text: &str) -> Result<(String, IstioHost), Fault> {
    let parts: Vec<&str> = text.split('|').collect();
    let host = match parts.as_slice() {
        ["outbound", port, "", host] if port.parse::<NonZeroU16>().is_ok() => host.parse().ok(),
        _ => None,
    };
    let host = host.ok_or_else(|| {
        Fault::new(
            format!("`{text}` is not a cluster of Istio without subset"),
            format!("write outbound|PORT||HOST, such as {REPORT_CLUSTER}"),
        )
    })?;
    Upstream::envoy_grpc(text, None).map_err(|error| {
        Fault::new(
            format!("the filter cannot send reports to the cluster: {error}"),
            "give the control plane a shorter host, such as that of a ServiceEntry",
        )
    })?;
    Ok((text.to_owned(), host))
}

/// A host, with or without port. HTTP/2 servers reject other values.
fn authority(text: &str) -> Result<String, Fault> {
    const FIX: &str =
        "write a host, such as tidegate.tidegate.svc.cluster.local, or remove the key";
    if units::host(text).is_err() && units::endpoint(text).is_err() {
        return Err(Fault::new(format!("`{text}` is not an authority"), FIX));
    }
    Upstream::envoy_grpc(REPORT_CLUSTER, Some(text)).map_err(|error| {
        Fault::new(format!("the filter cannot send reports with the authority: {error}"), FIX)
    })?;
    Ok(text.to_owned())
}
