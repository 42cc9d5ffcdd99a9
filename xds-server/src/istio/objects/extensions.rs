//! Objects that change the proxies: the filter, and patches of Envoy's configuration.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(in crate::istio) struct WasmPlugin {
    #[serde(flatten)]
    pub(in crate::istio) place: Place,
    #[serde(flatten)]
    pub(in crate::istio) wasm: Wasm,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct TrafficExtension {
    #[serde(flatten)]
    pub(in crate::istio) place: Place,
    pub(in crate::istio) wasm: Wasm,
}

/// The proxies, and the position among their filters.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::istio) struct Place {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::istio) selector: Option<Selector>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::istio) target_refs: Vec<TargetRef>,
    pub(in crate::istio) phase: &'static str,
    pub(in crate::istio) priority: u32,
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub(in crate::istio) matches: Vec<Mode>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::istio) struct Selector {
    pub(in crate::istio) match_labels: BTreeMap<&'static str, &'static str>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct TargetRef {
    pub(in crate::istio) group: &'static str,
    pub(in crate::istio) kind: &'static str,
    pub(in crate::istio) name: String,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct Mode {
    pub(in crate::istio) mode: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::istio) struct Wasm {
    pub(in crate::istio) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::istio) image_pull_secret: Option<String>,
    pub(in crate::istio) plugin_name: &'static str,
    pub(in crate::istio) fail_strategy: &'static str,
    pub(in crate::istio) plugin_config: PluginConfig,
}

/// What the filter needs for its first report; everything else is in the response.
#[derive(Debug, Serialize)]
pub(in crate::istio) struct PluginConfig {
    pub(in crate::istio) fleet: String,
    pub(in crate::istio) report: Report,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct Report {
    pub(in crate::istio) cluster: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::istio) authority: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::istio) struct EnvoyFilter {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::istio) target_refs: Vec<TargetRef>,
    pub(in crate::istio) config_patches: Vec<ConfigPatch>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::istio) struct ConfigPatch {
    pub(in crate::istio) apply_to: &'static str,
    #[serde(rename = "match")]
    pub(in crate::istio) matches: PatchMatch,
    pub(in crate::istio) patch: Patch,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct PatchMatch {
    pub(in crate::istio) context: &'static str,
    #[serde(flatten)]
    pub(in crate::istio) object: PatchObject,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::istio) enum PatchObject {
    Cluster(Named),
    Listener(ListenerMatch),
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct Named {
    pub(in crate::istio) name: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::istio) struct ListenerMatch {
    pub(in crate::istio) filter_chain: FilterChain,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct FilterChain {
    pub(in crate::istio) filter: Named,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct Patch {
    pub(in crate::istio) operation: &'static str,
    pub(in crate::istio) value: PatchValue,
}

/// The merged part of Envoy's configuration, with Envoy's field names.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(in crate::istio) enum PatchValue {
    /// Changes nothing.
    Nothing {},
    ConnectionManager {
        typed_config: ConnectionManager,
    },
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct ConnectionManager {
    #[serde(rename = "@type")]
    pub(in crate::istio) type_url: &'static str,
    pub(in crate::istio) early_header_mutation_extensions: Vec<EarlyHeaderMutation>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct EarlyHeaderMutation {
    pub(in crate::istio) name: &'static str,
    pub(in crate::istio) typed_config: HeaderMutation,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct HeaderMutation {
    #[serde(rename = "@type")]
    pub(in crate::istio) type_url: &'static str,
    pub(in crate::istio) mutations: Vec<Mutation>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct Mutation {
    pub(in crate::istio) remove: &'static str,
}
