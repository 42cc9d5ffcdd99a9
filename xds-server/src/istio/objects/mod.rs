//! The objects of Kubernetes and Istio that [`manifests`](super::manifests) prints: only the fields that are set.

mod extensions;
mod routing;

use std::collections::BTreeMap;

use serde::Serialize;

pub(super) use self::extensions::{
    ConfigPatch, ConnectionManager, EarlyHeaderMutation, EnvoyFilter, FilterChain, HeaderMutation,
    ListenerMatch, Mode, Mutation, Named, Patch, PatchMatch, PatchObject, PatchValue, Place,
    PluginConfig, Report, Selector, TargetRef, TrafficExtension, Wasm, WasmPlugin,
};
pub(super) use self::routing::{
    BackendRef, Destination, DestinationRule, Exact, HeaderFilter, HeaderOperations, Headers,
    HttpMatch, HttpRoute, HttpRouteHeader, HttpRouteMatch, HttpRouteRule, HttpRule,
    ModifiedHeaders, ParentRef, Retries, RouteDestination, Service, ServiceEntry, ServicePort,
    Subset, VirtualService,
};

/// Any of the objects.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Object {
    Service(Resource<Service>),
    ServiceEntry(Resource<ServiceEntry>),
    DestinationRule(Resource<DestinationRule>),
    VirtualService(Resource<VirtualService>),
    HttpRoute(Resource<HttpRoute>),
    WasmPlugin(Resource<WasmPlugin>),
    TrafficExtension(Resource<TrafficExtension>),
    EnvoyFilter(Resource<EnvoyFilter>),
}

/// An object with its specification.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource<S> {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) metadata: Metadata,
    pub(super) spec: S,
}

#[derive(Debug, Serialize)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<&'static str, String>,
}

impl Metadata {
    pub(super) fn new(name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self { name: name.into(), namespace: namespace.into(), annotations: BTreeMap::new() }
    }
}

macro_rules! resources {
    ($($spec:ident: $version:literal $kind:literal),* $(,)?) => {$(
        impl From<(Metadata, $spec)> for Object {
            fn from((metadata, spec): (Metadata, $spec)) -> Self {
                Self::$spec(Resource { api_version: $version, kind: $kind, metadata, spec })
            }
        }
    )*};
}
resources!(
    Service: "v1" "Service",
    ServiceEntry: "networking.istio.io/v1" "ServiceEntry",
    DestinationRule: "networking.istio.io/v1" "DestinationRule",
    VirtualService: "networking.istio.io/v1" "VirtualService",
    HttpRoute: "gateway.networking.k8s.io/v1" "HTTPRoute",
    WasmPlugin: "extensions.istio.io/v1alpha1" "WasmPlugin",
    TrafficExtension: "extensions.istio.io/v1alpha1" "TrafficExtension",
    EnvoyFilter: "networking.istio.io/v1alpha3" "EnvoyFilter",
);
