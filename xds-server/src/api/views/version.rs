//! The versions of a service, with their requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::backend::Backend;
use crate::telemetry::counts::Counts;
use crate::telemetry::recent::RecentFigures;
use tidegate_delivery::judge::{Guardrail, Level};
use tidegate_delivery::model::catalogue::{Environment, VersionSpec};
use tidegate_delivery::model::istio::IstioTarget;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::{ReleaseId, VersionName};
use tidegate_delivery::units::{Ppm, percent};

/// A version of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    pub name: VersionName,
    /// `host:port` of each instance.
    pub endpoints: Vec<String>,
    /// Names among the endpoints that the control plane cannot resolve.
    #[serde(default)]
    pub unresolved: Vec<String>,
    /// Its target in Istio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub istio: Option<IstioTarget>,
    /// Its environment, for blue/green services.
    pub environment: Option<Environment>,
    /// The commit that it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Its intended share of the traffic.
    #[serde(rename = "weight_percent", with = "percent")]
    pub weight: Ppm,
    /// The release with which it was rolled back, while no flag selects it for that.
    #[serde(default)]
    pub rolled_back: Option<ReleaseId>,
    /// Its alerts while no release judges it.
    #[serde(default)]
    pub alerts: BTreeMap<Guardrail, Level>,
    pub totals: Totals,
    pub recent: RecentView,
}

/// The requests of one version since the server started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Finished requests, including failed ones.
    pub requests: u64,
    /// Failed by the version.
    pub errors: u64,
    /// Failed by the client.
    pub client_errors: u64,
    /// Cancelled by the client.
    pub cancelled: u64,
}

/// The requests of one version in the last half minute.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct RecentView {
    /// The time that the figures refer to.
    pub window_ms: u64,
    /// Finished requests, including failed ones.
    pub requests: u64,
    pub requests_per_second: f64,
    /// The share that the version failed; absent without requests, as the percentiles of the response time.
    #[serde(default, rename = "error_rate_percent", with = "percent::option")]
    pub error_rate: Option<Ppm>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

impl Version {
    /// The versions of a service.
    pub(super) fn all(backend: &dyn Backend, service: &ServiceState) -> Vec<Self> {
        let spec = &service.spec;
        let (totals, recent) = (backend.totals(&spec.name), backend.recent(&spec.name));
        let unresolved = backend.unresolved_names();
        let version = |(name, version): (&VersionName, &VersionSpec)| Self {
            name: name.clone(),
            endpoints: version.endpoints.iter().map(ToString::to_string).collect(),
            unresolved: version
                .hosts()
                .filter(|host| unresolved.contains(*host))
                .cloned()
                .collect(),
            istio: version.istio.clone(),
            environment: version.environment,
            commit: version.commit.as_ref().and_then(|it| it.id.clone()),
            weight: weight(service, name),
            rolled_back: service.rolled_back.get(name).cloned(),
            alerts: service.alerts.get(name).cloned().unwrap_or_default(),
            totals: totals.get(name).map(Totals::from).unwrap_or_default(),
            recent: recent.get(name).map(RecentView::from).unwrap_or_default(),
        };
        spec.versions.iter().map(version).collect()
    }
}

/// A version's intended share of its service's traffic.
pub(in crate::api) fn weight(service: &ServiceState, version: &VersionName) -> Ppm {
    let split = service.split();
    match split.candidate {
        Some((candidate, weight)) if candidate == version => weight,
        Some((_, weight)) if split.stable == version => weight.complement(),
        None if split.stable == version => Ppm::ALL,
        _ => Ppm::ZERO,
    }
}

impl From<&Counts> for Totals {
    fn from(counts: &Counts) -> Self {
        let Counts { requests, errors, client_errors, cancelled, .. } = *counts;
        Self { requests, errors, client_errors, cancelled }
    }
}

impl From<&RecentFigures> for RecentView {
    fn from(figures: &RecentFigures) -> Self {
        // To a microsecond.
        let ms = |time: std::time::Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        Self {
            window_ms: u64::try_from(figures.window.as_millis()).unwrap_or(u64::MAX),
            requests: figures.requests,
            requests_per_second: (figures.requests_per_second * 1e3).round() / 1e3,
            error_rate: figures.error_rate,
            p50_ms: figures.p50.map(ms),
            p99_ms: figures.p99.map(ms),
        }
    }
}
