//! Services, versions and fleets of a mesh whose control plane is Istio.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::span::Spanned;

/// The sidecars of an Istio mesh that run the filter. It receives its configuration in the responses to its reports.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct IstioFleet {
    /// The cluster to which the filter sends reports, `outbound|PORT||HOST`. Default:
    /// `outbound|18000||tidegate.tidegate.svc.cluster.local`.
    pub(in crate::config) report_cluster: Option<Spanned<String>>,
    /// The `:authority` of reports. Default: the host in `report_cluster`.
    pub(in crate::config) authority: Option<Spanned<String>>,
    /// Names of services with `istio`. Default: `["*"]`, all.
    pub(in crate::config) services: Option<Spanned<Vec<Spanned<String>>>>,
}

/// A service in Istio's registry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct IstioService {
    /// Its full host name, such as `order.default.svc.cluster.local`.
    pub(in crate::config) host: Spanned<String>,
    /// Its service port.
    pub(in crate::config) port: Spanned<u16>,
}

/// Where Istio finds a version: a subset of the service's host, or a host of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct IstioTarget {
    /// The name of a subset.
    pub(in crate::config) subset: Option<Spanned<String>>,
    /// The labels of the subset's pods. Default: `version`, with the name of the version or environment.
    pub(in crate::config) labels: Option<Spanned<BTreeMap<String, String>>>,
    /// A full host name, with the port of the service.
    pub(in crate::config) host: Option<Spanned<String>>,
}
