//! The objects of a fleet: the filter, for proxies with the label and for waypoints, and the way to the control plane.

use std::collections::BTreeSet;

use super::Findings;
use super::files::Document;
use crate::config::tree::Tree;
use crate::istio::manifests::{NAME, ROOT_NAMESPACE, report_upstream, service_namespace};
use tidegate_xds::mesh::{Fleet, IstioMesh};

const GROUP: &str = "extensions.istio.io";
const NETWORKING: &str = "networking.istio.io";
/// Names the services of which a waypoint has clusters.
const REFERENCED: &str = "envoyfilter.istio.io/referenced-services";

/// An object that installs the filter.
struct Extension<'a> {
    document: &'a Document,
    /// The path of the fields about the module.
    wasm: &'static [&'static str],
}

impl Extension<'_> {
    fn path(&self, field: &[&'static str]) -> Vec<&'static str> {
        self.wasm.iter().chain(field).copied().collect()
    }

    fn text(&self, field: &[&'static str]) -> Option<&str> {
        self.document.tree.text(&self.path(field))
    }

    fn add(
        &self,
        field: &[&'static str],
        message: String,
        fix: impl Into<String>,
        findings: &mut Findings,
    ) {
        let span = self.document.span(&self.path(field));
        findings.add((self.document, span), message, fix);
    }
}

/// The waypoints, or other targets, of an object.
fn targets(tree: &Tree) -> impl Iterator<Item = &str> {
    let one = tree.at(&["spec", "targetRef"]);
    let all = tree.items(&["spec", "targetRefs"]).iter().chain(one);
    all.filter_map(|target| target.text(&["name"]))
}

fn extensions(documents: &[Document]) -> impl Iterator<Item = Extension<'_>> {
    documents.iter().filter_map(|document| {
        let wasm: &[&str] = if document.is(GROUP, "WasmPlugin") {
            &["spec"]
        } else if document.is(GROUP, "TrafficExtension") {
            &["spec", "wasm"]
        } else {
            return None;
        };
        Some(Extension { document, wasm })
    })
}

/// Checks the objects of one fleet.
pub(super) fn check(
    fleet: &Fleet,
    mesh: &IstioMesh,
    documents: &[Document],
    findings: &mut Findings,
) {
    let mut installed = false;
    for extension in extensions(documents) {
        let its_fleet = extension.text(&["pluginConfig", "fleet"]);
        if its_fleet == Some(fleet.name.as_str()) {
            installed = true;
            check_extension(&extension, mesh, findings);
            check_waypoints(&extension, mesh, documents, findings);
        } else if its_fleet.is_none() && extension.text(&["pluginName"]) == Some(NAME) {
            extension.add(
                &["pluginConfig"],
                "the filter has no `pluginConfig.fleet`, so it decides and reports nothing"
                    .to_owned(),
                format!("add `fleet: {}` and `report`", fleet.name),
                findings,
            );
        }
    }
    if !installed {
        findings.missing(
            format!(
                "no WasmPlugin and no TrafficExtension installs the filter for fleet `{}`",
                fleet.name
            ),
            "print one: tidegate envoy istio --image oci://…",
        );
    }
    check_control_plane(mesh, documents, findings);
}

fn check_extension(extension: &Extension<'_>, mesh: &IstioMesh, findings: &mut Findings) {
    let name = extension.document.name();
    match extension.text(&["failStrategy"]) {
        Some("FAIL_OPEN" | "FAIL_RELOAD") => {}
        other => extension.add(
            &["failStrategy"],
            format!("`{name}` fails closed: every request is denied without the module, or after it has failed")
                + if other.is_none() { " (the default)" } else { "" },
            "write failStrategy: FAIL_OPEN",
            findings,
        ),
    }
    let url = extension.text(&["url"]).unwrap_or_default();
    if !url.contains("@sha256:") && extension.text(&["sha256"]).is_none() {
        extension.add(
            &["url"],
            format!("the image of `{name}` is not pinned by a digest, so its content may change"),
            "write oci://REGISTRY/REPOSITORY@sha256:DIGEST, as `tidegate envoy image` prints it",
            findings,
        );
    }
    match extension.text(&["pluginConfig", "report", "cluster"]) {
        Some(cluster) if cluster == mesh.report_cluster => {
            let (host, _) = report_upstream(mesh);
            let authority = extension.text(&["pluginConfig", "report", "authority"]);
            let authority = authority.unwrap_or(&host);
            if authority != mesh.authority {
                extension.add(
                    &["pluginConfig", "report", "authority"],
                    format!("the filter sends reports with the authority `{authority}`"),
                    format!("write {}, or set `authority` of the fleet", mesh.authority),
                    findings,
                );
            }
        }
        Some(cluster) => extension.add(
            &["pluginConfig", "report", "cluster"],
            format!("the filter sends reports to `{cluster}`"),
            format!("write {}, or set `report_cluster` of the fleet", mesh.report_cluster),
            findings,
        ),
        None => extension.add(
            &["pluginConfig"],
            "the filter has no `pluginConfig.report.cluster`, so it cannot report".to_owned(),
            format!("add report: {{cluster: \"{}\"}}", mesh.report_cluster),
            findings,
        ),
    }
    let matches = extension.document.tree.items(&["spec", "match"]);
    let is_waypoint = targets(&extension.document.tree).next().is_some();
    let at = |path: &[&str]| (extension.document, extension.document.span(path));
    if is_waypoint && !matches.is_empty() {
        findings.add(
            at(&["spec", "match"]),
            format!("`{name}` has a target and `match`: a waypoint matches no mode but SERVER"),
            "remove `match`",
        );
    }
    let client = |mode: &Tree| mode.text(&["mode"]) == Some("CLIENT");
    if !is_waypoint && (matches.is_empty() || !matches.iter().all(client)) {
        findings.add(
            at(&["spec", "match"]),
            format!("`{name}` runs for requests that pods receive too, where it cannot route"),
            "write match: [{mode: CLIENT}]",
        );
    }
}

/// A waypoint has a cluster of the control plane only if an EnvoyFilter names its service.
fn check_waypoints(
    extension: &Extension<'_>,
    mesh: &IstioMesh,
    documents: &[Document],
    findings: &mut Findings,
) {
    let namespace = extension.document.namespace();
    let (host, _) = report_upstream(mesh);
    let referenced: BTreeSet<&str> = documents
        .iter()
        .filter(|it| it.is(NETWORKING, "EnvoyFilter") && it.namespace() == namespace)
        .filter(|it| {
            let names = it.tree.text(&["metadata", "annotations", REFERENCED]).unwrap_or_default();
            let mut names = names.split(',').map(str::trim);
            names.any(|name| name.split_once('/').is_some_and(|(_, it)| it == host))
        })
        .flat_map(|it| targets(&it.tree))
        .collect();
    for waypoint in targets(&extension.document.tree).filter(|it| !referenced.contains(it)) {
        findings.add(
            (extension.document, extension.document.tree.span),
            format!("waypoint `{namespace}/{waypoint}` has no cluster of the control plane"),
            format!(
                "add the EnvoyFilter with the annotation {REFERENCED}: tidegate envoy istio --waypoint {namespace}/{waypoint}"
            ),
        );
    }
}

fn check_control_plane(mesh: &IstioMesh, documents: &[Document], findings: &mut Findings) {
    let (host, port) = report_upstream(mesh);
    let port = port.to_string();
    let Some(namespace) = service_namespace(&host) else {
        let entry = documents.iter().filter(|it| it.is(NETWORKING, "ServiceEntry"));
        let has_host = |tree: &Tree| {
            let mut hosts = tree.items(&["spec", "hosts"]).iter();
            hosts.any(|it| it.text(&[]) == Some(&host))
        };
        let Some(entry) = entry.into_iter().find(|it| has_host(&it.tree)) else {
            return findings.missing(
                format!("no ServiceEntry has the host of the control plane, `{host}`"),
                format!("add one in {ROOT_NAMESPACE}: tidegate envoy istio --image oci://…"),
            );
        };
        check_port(entry, "number", &port, "protocol", &["GRPC", "HTTP2"], findings);
        return;
    };
    let name = host.split('.').next().unwrap_or_default();
    let services = documents.iter().filter(|it| it.is("", "Service"));
    let mut services = services.filter(|it| it.name() == name && it.namespace() == namespace);
    match services.next() {
        Some(service) => {
            let protocols = ["grpc", "http2", "kubernetes.io/h2c"];
            check_port(service, "port", &port, "appProtocol", &protocols, findings);
        }
        None => findings.missing(
            format!("there is no Service `{name}` in namespace `{namespace}`, to which the filter reports"),
            "add it: tidegate envoy istio --image oci://…",
        ),
    }
}

/// The port must be HTTP/2: by its protocol, or by its name.
fn check_port(
    document: &Document,
    number: &str,
    port: &str,
    protocol: &str,
    http2: &[&str],
    findings: &mut Findings,
) {
    let ports = document.tree.items(&["spec", "ports"]);
    let Some(found) = ports.iter().find(|it| it.text(&[number]) == Some(port)) else {
        let span = document.span(&["spec", "ports"]);
        let message =
            format!("`{}` has no port {port}, to which the filter reports", document.name());
        return findings.add((document, span), message, "add it, with the name grpc-xds");
    };
    let named = found.text(&["name"]).unwrap_or_default();
    let by_name =
        ["grpc", "http2"].iter().any(|it| named == *it || named.starts_with(&format!("{it}-")));
    let is_http2 = match found.text(&[protocol]) {
        Some(protocol) => http2.contains(&protocol),
        None => by_name,
    };
    if !is_http2 {
        findings.add(
            (document, found.span),
            format!(
                "port {port} of `{}` is not HTTP/2 for Istio, so reports fail",
                document.name()
            ),
            "name it grpc-xds",
        );
    }
}
