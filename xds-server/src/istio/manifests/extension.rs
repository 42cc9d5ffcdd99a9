//! The filter, and the way from it to the control plane.

use std::collections::BTreeMap;

use tidegate_core::config::{BUCKET_HEADER, VERSION_HEADER};
use tidegate_delivery::model::istio::IstioHost;
use tidegate_delivery::names::FleetName;
use tidegate_xds::mesh::IstioMesh;

use super::{
    ControlPlanePorts, ExtensionKind, FailStrategy, FilterOptions, Manifest, ROOT_NAMESPACE,
    Waypoint,
};
use crate::istio::objects::{
    ConfigPatch, ConnectionManager, EarlyHeaderMutation, EnvoyFilter, FilterChain, HeaderMutation,
    ListenerMatch, Metadata, Mode, Mutation, Named, Object, Patch, PatchMatch, PatchObject,
    PatchValue, Place, PluginConfig, Report, Selector, Service, ServiceEntry, ServicePort,
    TargetRef, TrafficExtension, Wasm, WasmPlugin,
};

/// The name of the filter, and of the objects.
pub(in crate::istio) const NAME: &str = "tidegate";
/// Pods with this label run the filter.
const INJECT_LABEL: &str = "tidegate.io/inject";
/// Before the filters of other phases. Outbound, no authentication filter follows that would need its headers.
const PHASE: &str = "AUTHN";
/// Before other extensions of the phase.
const PRIORITY: u32 = 100;

/// The control plane's service, and the filter for sidecars and gateways and for each waypoint.
pub(super) fn manifests(
    fleet: &FleetName,
    mesh: &IstioMesh,
    options: &FilterOptions,
) -> Vec<Manifest> {
    let (host, port) = report_upstream(mesh);
    let mut all = vec![control_plane(&host, port, options.ports)];
    all.push(Manifest::new(
        &[
            "Sidecars and gateways whose pods have this label run the filter, for requests that they send.",
            match options.fail_strategy {
                FailStrategy::Open => {
                    "Without the module, or after it has failed, requests pass without it, to stable, until the proxy restarts."
                }
                FailStrategy::Reload => {
                    "A failed module is loaded again: 503 meanwhile. If it cannot be fetched, every request is denied with 403."
                }
                FailStrategy::Close => "Without the module, or after it has failed, every request is denied.",
            },
        ],
        object(
            options.extension,
            Metadata::new(NAME, ROOT_NAMESPACE),
            Place {
                selector: Some(Selector {
                    match_labels: BTreeMap::from([(INJECT_LABEL, "true")]),
                }),
                target_refs: Vec::new(),
                phase: PHASE,
                priority: PRIORITY,
                matches: vec![Mode { mode: "CLIENT" }],
            },
            wasm(fleet, mesh, options),
        ),
    ));
    for waypoint in &options.waypoints {
        all.push(Manifest::new(
            &["A waypoint has a target instead of the label, and no `match`: it is no client."],
            object(
                options.extension,
                Metadata::new(format!("{NAME}-{}", waypoint.name), waypoint.namespace.clone()),
                Place {
                    selector: None,
                    target_refs: target(waypoint),
                    phase: PHASE,
                    priority: PRIORITY,
                    matches: Vec::new(),
                },
                wasm(fleet, mesh, options),
            ),
        ));
        all.push(reachable(waypoint, &host));
    }
    all
}

/// The host and the port in the name of the cluster to which reports are sent.
pub(in crate::istio) fn report_upstream(mesh: &IstioMesh) -> (String, u16) {
    let mut parts = mesh.report_cluster.split('|');
    let port = parts.nth(1).and_then(|port| port.parse().ok());
    let host = parts.nth(1);
    (host.unwrap_or_default().to_owned(), port.unwrap_or_default())
}

/// The namespace of the control plane's service, if it is one of Kubernetes.
pub(in crate::istio) fn service_namespace(host: &str) -> Option<String> {
    let host: IstioHost = host.parse().ok()?;
    host.namespace().map(str::to_owned)
}

fn control_plane(host: &str, port: u16, ports: ControlPlanePorts) -> Manifest {
    let Some(namespace) = service_namespace(host) else {
        let entry = ServiceEntry {
            hosts: vec![host.to_owned()],
            location: "MESH_EXTERNAL",
            resolution: "DNS",
            ports: vec![ServicePort::Entry { number: port, name: "grpc-xds", protocol: "GRPC" }],
        };
        return Manifest::new(
            &[
                "The control plane, outside of the mesh. The proxies send reports in plaintext unless a DestinationRule of this",
                "host sets `trafficPolicy.tls`; `listen.tls` of the control plane requires a client certificate (`mode: MUTUAL`).",
            ],
            (Metadata::new(NAME, ROOT_NAMESPACE), entry),
        );
    };
    let name = host.split('.').next().unwrap_or_default();
    let service = Service {
        selector: BTreeMap::from([("app", name.to_owned())]),
        ports: vec![
            ServicePort::Service {
                name: "grpc-xds",
                port,
                target_port: ports.xds,
                app_protocol: Some("grpc"),
            },
            ServicePort::Service {
                name: "http-api",
                port: ports.api,
                target_port: ports.api,
                app_protocol: None,
            },
        ],
    };
    Manifest::new(
        &[
            "The control plane. The name of the port makes it HTTP/2. Its pods need a sidecar where mutual TLS is STRICT: the",
            "sidecar ends TLS, and `listen.xds` is plaintext (`insecure_plaintext: true`) on an address that the sidecar reaches.",
        ],
        (Metadata::new(name, namespace), service),
    )
}

fn object(kind: ExtensionKind, metadata: Metadata, place: Place, wasm: Wasm) -> Object {
    match kind {
        ExtensionKind::WasmPlugin => (metadata, WasmPlugin { place, wasm }).into(),
        ExtensionKind::TrafficExtension => (metadata, TrafficExtension { place, wasm }).into(),
    }
}

fn wasm(fleet: &FleetName, mesh: &IstioMesh, options: &FilterOptions) -> Wasm {
    let (host, _) = report_upstream(mesh);
    let authority = (mesh.authority != host).then(|| mesh.authority.clone());
    Wasm {
        url: options.image.0.clone(),
        image_pull_secret: options.pull_secret.clone(),
        plugin_name: NAME,
        fail_strategy: options.fail_strategy.as_str(),
        plugin_config: PluginConfig {
            fleet: fleet.to_string(),
            report: Report { cluster: mesh.report_cluster.clone(), authority },
        },
    }
}

fn target(waypoint: &Waypoint) -> Vec<TargetRef> {
    let group = "gateway.networking.k8s.io";
    vec![TargetRef { group, kind: "Gateway", name: waypoint.name.clone() }]
}

/// Gives a waypoint the cluster of the control plane.
fn reachable(waypoint: &Waypoint, host: &str) -> Manifest {
    let namespace = service_namespace(host).unwrap_or_else(|| ROOT_NAMESPACE.to_owned());
    let mut metadata =
        Metadata::new(format!("{NAME}-reachable-{}", waypoint.name), waypoint.namespace.clone());
    metadata
        .annotations
        .insert("envoyfilter.istio.io/referenced-services", format!("{namespace}/{host}"));
    let patch = ConfigPatch {
        apply_to: "CLUSTER",
        matches: PatchMatch {
            context: "SIDECAR_OUTBOUND",
            object: PatchObject::Cluster(Named { name: "none" }),
        },
        patch: Patch { operation: "MERGE", value: PatchValue::Nothing {} },
    };
    Manifest::new(
        &[
            "Changes nothing: its annotation names the service of the control plane. Without it, a waypoint has clusters of",
            "the services that use it, and no other.",
        ],
        (metadata, EnvoyFilter { target_refs: target(waypoint), config_patches: vec![patch] }),
    )
}

/// Removes Tidegate's headers from what clients send, before routes are matched.
pub(super) fn strip() -> Manifest {
    const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    const MUTATION: &str = "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation";
    let patch = |context| ConfigPatch {
        apply_to: "NETWORK_FILTER",
        matches: PatchMatch {
            context,
            object: PatchObject::Listener(ListenerMatch {
                filter_chain: FilterChain {
                    filter: Named { name: "envoy.filters.network.http_connection_manager" },
                },
            }),
        },
        patch: Patch {
            operation: "MERGE",
            value: PatchValue::ConnectionManager {
                typed_config: ConnectionManager {
                    type_url: MANAGER,
                    early_header_mutation_extensions: vec![EarlyHeaderMutation {
                        name: "envoy.http.early_header_mutation.header_mutation",
                        typed_config: HeaderMutation {
                            type_url: MUTATION,
                            mutations: vec![
                                Mutation { remove: VERSION_HEADER },
                                Mutation { remove: BUCKET_HEADER },
                            ],
                        },
                    }],
                },
            },
        },
    };
    Manifest::new(
        &[
            "Removes Tidegate's headers from what clients send before any route is matched, whether or not the filter is there:",
            "a token that has leaked then chooses nothing. Sidecars and gateways; waypoints are not patched.",
        ],
        (
            Metadata::new(format!("{NAME}-strip"), ROOT_NAMESPACE),
            EnvoyFilter {
                target_refs: Vec::new(),
                config_patches: vec![patch("SIDECAR_OUTBOUND"), patch("GATEWAY")],
            },
        ),
    )
}
