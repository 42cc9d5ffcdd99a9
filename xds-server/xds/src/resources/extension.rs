//! ECDS: the filter and its configuration, with services, salts and routing flags.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tidegate_core::config::istio::{IstioMesh, IstioService};
use tidegate_core::config::{
    self as core_config, BusinessRule, FilterConfig, INTERVAL_IDLE_MS, INTERVAL_RELEASING_MS,
    ReportConfig, ServiceConfig,
};
use tidegate_proto::envoy::envoy::config::core::v3 as core;
use tidegate_proto::envoy::envoy::extensions::filters::http::wasm::v3::Wasm;
use tidegate_proto::envoy::envoy::extensions::wasm::v3 as wasm;
use tidegate_proto::envoy::google::protobuf::StringValue;

use super::resource::hex;
use super::{Resource, names, pack};
use crate::kind::Kind;
use crate::mesh::{ControlPlane, Fleet, Mesh};
use tidegate_delivery::judge::guardrails::BusinessMetric;
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::names::{MAX_LEN, ServiceName};

/// The filter's resource. Every snapshot contains it: a listener whose filter was removed would fail all requests. Sets the version of `config`.
pub(super) fn filter(mesh: &Mesh, config: &mut FilterConfig) -> Resource {
    let configuration = StringValue { value: encode(config) };
    let plugin = wasm::PluginConfig {
        name: names::FILTER.to_owned(),
        root_id: names::FILTER.to_owned(),
        vm: Some(wasm::plugin_config::Vm::VmConfig(wasm::VmConfig {
            vm_id: names::FILTER.to_owned(),
            runtime: "envoy.wasm.runtime.v8".to_owned(),
            code: Some(core::AsyncDataSource {
                specifier: Some(core::async_data_source::Specifier::Local(core::DataSource {
                    specifier: Some(core::data_source::Specifier::Filename(mesh.wasm.clone())),
                    ..Default::default()
                })),
            }),
            ..Default::default()
        })),
        configuration: Some(pack(&configuration)),
        // If the filter fails, it is skipped. Requests then have no bucket and are routed to stable.
        failure_policy: wasm::FailurePolicy::FailOpen.into(),
        ..Default::default()
    };
    let message = core::TypedExtensionConfig {
        name: names::FILTER.to_owned(),
        typed_config: Some(pack(&Wasm { config: Some(plugin) })),
    };
    Resource::encode(Kind::Extension, names::FILTER, &message, Vec::new())
}

/// The least filter protocol that supports every field that [`config`] and [`service`] set.
const MIN_PROTOCOL: u32 = 1;
/// The same, in an Istio mesh.
const MIN_PROTOCOL_ISTIO: u32 = 2;

/// The same, with requests that are not counted: an older filter would count them.
const MIN_PROTOCOL_EXCLUSIONS: u32 = 3;

/// The JSON of a configuration, serialised once. Its version is the hash of the JSON with an empty version. A report names
/// the configuration that the filter counted under by it.
pub(super) fn encode(config: &mut FilterConfig) -> String {
    const UNVERSIONED: &str = r#"{"version":""#;
    config.version.clear();
    #[expect(clippy::expect_used, reason = "all keys are strings, and no field fails to serialise")]
    let mut json = serde_json::to_string(config).expect("a configuration is JSON");
    debug_assert!(json.starts_with(UNVERSIONED), "`version` is the first field");
    config.version = hex(&Sha256::digest(&json)).into();
    json.insert_str(UNVERSIONED.len(), &config.version);
    json
}

/// The filter's configuration, without its version. In an Istio mesh `istio` are the routes of the services.
pub(super) fn config(
    fleet: &Fleet,
    mut services: Vec<ServiceConfig>,
    istio: Vec<IstioService>,
    flags: Value,
) -> FilterConfig {
    let releasing = services.iter().any(|service| !service.release.is_empty());
    let (mesh, min_protocol, cluster) = match &fleet.control_plane {
        ControlPlane::Tidegate { .. } => {
            (core_config::Mesh::Tidegate, MIN_PROTOCOL, fleet.report_cluster())
        }
        ControlPlane::Istio(_) => {
            services.iter_mut().for_each(|service| service.hosts.clear());
            // The plugin configuration contains the cluster of reports.
            let mesh = IstioMesh { services: istio };
            (core_config::Mesh::Istio(mesh), MIN_PROTOCOL_ISTIO, "")
        }
    };
    let excludes = services.iter().any(|service| !service.excluded.is_empty());
    let min_protocol = if excludes { MIN_PROTOCOL_EXCLUSIONS } else { min_protocol };
    FilterConfig {
        version: String::new(),
        min_protocol,
        fleet: fleet.name.to_string(),
        report: ReportConfig {
            cluster: cluster.to_owned(),
            interval_ms: if releasing { INTERVAL_RELEASING_MS } else { INTERVAL_IDLE_MS },
        },
        mesh,
        services,
        flags,
    }
}

/// The part of the filter's configuration that describes one service.
pub(super) fn service(name: &ServiceName, service: &ServiceState) -> ServiceConfig {
    // The salt changes only when the next release starts, at 0 %, when no user is on the candidate.
    let salt = service.release.as_ref().map_or(name.as_str(), |release| release.id.as_str());
    ServiceConfig {
        name: name.to_string(),
        hosts: service.spec.hosts.clone(),
        identity: service.spec.identity.clone(),
        salt: salt.to_owned(),
        release: service.running().map(|release| release.id.to_string()).unwrap_or_default(),
        versions: service.pinnable().map(ToString::to_string).collect(),
        business: service.spec.guardrails.business.iter().map(rule).collect(),
        excluded: service.spec.excluded.clone(),
    }
}

/// The largest configuration of a service that its releases can lead to without a change of its versions.
pub(super) fn largest_service(name: &ServiceName, service: &ServiceState) -> ServiceConfig {
    let id = "x".repeat(MAX_LEN);
    ServiceConfig {
        salt: id.clone(),
        release: id,
        versions: service.spec.versions.keys().map(ToString::to_string).collect(),
        ..self::service(name, service)
    }
}

/// The filter counts; the judge evaluates the thresholds.
fn rule(metric: &BusinessMetric) -> BusinessRule {
    BusinessRule { name: metric.name.to_string(), of: metric.of.clone(), good: metric.good.clone() }
}

/// The flags whose `metadata.service` is a service of the fleet. Sidecars evaluate only these.
pub(super) fn routing_flags(is_in_fleet: impl Fn(&str) -> bool, state: &State) -> Value {
    let is_routing = |flag: &Value| {
        let service = flag.get("metadata").and_then(|meta| meta.get("service"));
        service.and_then(Value::as_str).is_some_and(&is_in_fleet)
    };
    flag_document(state, is_routing)
}

/// The selected flags as one document in flagd's format.
pub(super) fn flag_document(state: &State, select: impl Fn(&Value) -> bool) -> Value {
    let flags: Map<String, Value> = state
        .flags
        .iter()
        .filter(|(_, flag)| select(flag))
        .map(|(key, flag)| (key.clone(), flag.clone()))
        .collect();
    let mut document = Map::new();
    if !flags.is_empty() && !state.evaluators.is_empty() {
        document.insert("$evaluators".to_owned(), Map::clone(&state.evaluators).into());
    }
    document.insert("flags".to_owned(), flags.into());
    document.into()
}
