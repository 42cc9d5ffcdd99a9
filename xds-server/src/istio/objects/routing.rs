//! Services, and the routes to their versions.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_saphyr::DoubleQuoted;

#[derive(Debug, Serialize)]
pub(in crate::istio) struct Service {
    pub(in crate::istio) selector: BTreeMap<&'static str, String>,
    pub(in crate::istio) ports: Vec<ServicePort>,
}

/// A port of a Service or a ServiceEntry.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(in crate::istio) enum ServicePort {
    #[serde(rename_all = "camelCase")]
    Service {
        name: &'static str,
        port: u16,
        target_port: u16,
        #[serde(skip_serializing_if = "Option::is_none")]
        app_protocol: Option<&'static str>,
    },
    Entry {
        number: u16,
        name: &'static str,
        protocol: &'static str,
    },
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct ServiceEntry {
    pub(in crate::istio) hosts: Vec<String>,
    pub(in crate::istio) location: &'static str,
    pub(in crate::istio) resolution: &'static str,
    pub(in crate::istio) ports: Vec<ServicePort>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct DestinationRule {
    pub(in crate::istio) host: String,
    pub(in crate::istio) subsets: Vec<Subset>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct Subset {
    pub(in crate::istio) name: DoubleQuoted<String>,
    /// Quoted: `on` and `1e3` would be no texts.
    pub(in crate::istio) labels: BTreeMap<String, DoubleQuoted<String>>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct VirtualService {
    pub(in crate::istio) hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::istio) gateways: Vec<String>,
    pub(in crate::istio) http: Vec<HttpRule>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct HttpRule {
    pub(in crate::istio) name: String,
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub(in crate::istio) matches: Vec<HttpMatch>,
    pub(in crate::istio) route: Vec<RouteDestination>,
    pub(in crate::istio) headers: Headers,
    pub(in crate::istio) retries: Retries,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct HttpMatch {
    pub(in crate::istio) headers: BTreeMap<&'static str, Exact>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct Exact {
    /// Quoted: digits with one `e` would be a number.
    pub(in crate::istio) exact: DoubleQuoted<String>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct RouteDestination {
    pub(in crate::istio) destination: Destination,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct Destination {
    pub(in crate::istio) host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::istio) subset: Option<DoubleQuoted<String>>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct Headers {
    pub(in crate::istio) request: HeaderOperations,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct HeaderOperations {
    pub(in crate::istio) remove: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct Retries {
    pub(in crate::istio) attempts: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::istio) struct HttpRoute {
    pub(in crate::istio) parent_refs: Vec<ParentRef>,
    pub(in crate::istio) rules: Vec<HttpRouteRule>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct ParentRef {
    /// Empty: the core group.
    pub(in crate::istio) group: &'static str,
    pub(in crate::istio) kind: &'static str,
    pub(in crate::istio) name: String,
    pub(in crate::istio) port: u16,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::istio) struct HttpRouteRule {
    pub(in crate::istio) name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::istio) matches: Vec<HttpRouteMatch>,
    pub(in crate::istio) filters: Vec<HeaderFilter>,
    pub(in crate::istio) backend_refs: Vec<BackendRef>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct HttpRouteMatch {
    pub(in crate::istio) headers: Vec<HttpRouteHeader>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct HttpRouteHeader {
    #[serde(rename = "type")]
    pub(in crate::istio) kind: &'static str,
    pub(in crate::istio) name: &'static str,
    pub(in crate::istio) value: DoubleQuoted<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::istio) struct HeaderFilter {
    #[serde(rename = "type")]
    pub(in crate::istio) kind: &'static str,
    pub(in crate::istio) request_header_modifier: ModifiedHeaders,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct ModifiedHeaders {
    pub(in crate::istio) remove: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub(in crate::istio) struct BackendRef {
    pub(in crate::istio) name: String,
    pub(in crate::istio) namespace: String,
    pub(in crate::istio) port: u16,
}
