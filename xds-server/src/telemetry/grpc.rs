//! The report RPC.

use std::sync::Arc;

use tidegate_proto::report::v1::report_service_server::ReportService;
use tidegate_proto::report::v1::{ReportRequest, ReportResponse};
use tonic::{Request, Response, Status};

use super::Telemetry;
use super::intake::Report;
use crate::clock::Clock;

/// A fleet's filter configuration, for sidecars that do not get it by xDS.
pub trait FilterConfigs: Send + Sync + 'static {
    /// The version and JSON of a fleet's configuration now.
    fn of(&self, fleet: &str) -> Option<(Arc<str>, Arc<str>)>;
}

/// Serves the report RPC.
#[derive(Debug)]
pub struct Reports<F> {
    telemetry: Arc<Telemetry>,
    configs: F,
    clock: Clock,
}

impl<F: FilterConfigs> Reports<F> {
    /// Reports go into `telemetry`; sidecars that ask get their configuration from `configs`.
    #[must_use]
    pub const fn new(telemetry: Arc<Telemetry>, configs: F, clock: Clock) -> Self {
        Self { telemetry, configs, clock }
    }

    /// The configuration for a sidecar that wants it, if the one that it runs is old.
    fn newer_config(&self, request: &ReportRequest) -> Option<String> {
        if !request.wants_config {
            return None;
        }
        let (version, json) = self.configs.of(&request.fleet)?;
        (*version != *request.config_version).then(|| json.to_string())
    }
}

#[tonic::async_trait]
impl<F: FilterConfigs> ReportService for Reports<F> {
    async fn report(
        &self,
        request: Request<ReportRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        let request = request.into_inner();
        let config = self.newer_config(&request);
        let report = Report::try_from(request).map_err(|malformed| {
            self.telemetry.stats.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Status::invalid_argument(malformed.to_string())
        })?;
        let acknowledged = self
            .telemetry
            .take_in(report, self.clock.now())
            .map_err(|full| Status::resource_exhausted(full.to_string()))?;
        let interval_ms = self.telemetry.interval_ms();
        Ok(Response::new(ReportResponse { acknowledged, interval_ms, config }))
    }
}
