//! The report RPC.

use std::sync::Arc;
use std::time::Instant;

use tidegate_core::config::FilterConfig;
use tidegate_proto::report::v1::report_service_server::ReportService;
use tidegate_proto::report::v1::{ReportRequest, ReportResponse};
use tonic::{Request, Response, Status};

use super::Telemetry;
use super::intake::Report;
use crate::auth::access::Access;
use crate::auth::peer::Peer;
use crate::clock::Clock;

/// A fleet's filter configuration, for sidecars that do not get it by xDS.
pub trait FilterConfigs: Send + Sync + 'static {
    /// A fleet's configuration now; none if there is no such fleet.
    fn of(&self, fleet: &str) -> Option<Arc<FilterConfig>>;
}

/// Serves the report RPC.
#[derive(Debug)]
pub struct Reports<F> {
    telemetry: Arc<Telemetry>,
    configs: F,
    access: Arc<Access>,
    clock: Clock,
}

impl<F: FilterConfigs> Reports<F> {
    /// Reports of whoever has access go into `telemetry`; sidecars that ask get their configuration
    /// from `configs`.
    #[must_use]
    pub const fn new(
        telemetry: Arc<Telemetry>,
        configs: F,
        access: Arc<Access>,
        clock: Clock,
    ) -> Self {
        Self { telemetry, configs, access, clock }
    }

    /// The configuration for a sidecar that wants it, if the one that it runs is old.
    fn newer_config(&self, request: &ReportRequest) -> Option<String> {
        if !request.config_requested {
            return None;
        }
        let config = self.configs.of(&request.fleet)?;
        if config.version == request.config_version {
            return None;
        }
        // Whoever asks once has to ask again: the configuration that it gets says so.
        let config = FilterConfig { standalone: true, ..FilterConfig::clone(&config) };
        Some(serde_json::json!(config).to_string())
    }
}

#[tonic::async_trait]
impl<F: FilterConfigs> ReportService for Reports<F> {
    async fn report(
        &self,
        request: Request<ReportRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        let began = Instant::now();
        let peer = Peer::of(request.extensions());
        let request = request.into_inner();
        let refused = |status| {
            self.telemetry.stats.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            status
        };
        let config = self.newer_config(&request);
        let fleet = request.fleet.clone();
        let report = Report::try_from(request)
            .map_err(|malformed| refused(Status::invalid_argument(malformed.to_string())))?;
        // After: only now are the names short enough to be kept.
        self.access
            .check(&peer, &fleet, &report.sender.node)
            .map_err(|denied| refused(denied.into()))?;
        let now = self.clock.now();
        let acknowledged = self
            .telemetry
            .take_in(report, now)
            .map_err(|full| Status::resource_exhausted(full.to_string()))?;
        self.telemetry.charge(now, began.elapsed());
        let interval_ms = self.telemetry.interval_ms();
        Ok(Response::new(ReportResponse { acknowledged, interval_ms, config }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_core::config::ReportConfig;
    use tokio::sync::Notify;

    use super::*;
    use tidegate_delivery::units::Timestamp;

    struct One;

    impl FilterConfigs for One {
        fn of(&self, fleet: &str) -> Option<Arc<FilterConfig>> {
            let config = FilterConfig {
                version: "new".into(),
                fleet: fleet.to_owned(),
                report: ReportConfig { cluster: "tidegate".into(), interval_ms: 250 },
                standalone: false,
                services: Vec::new(),
                flags: serde_json::Value::Null,
            };
            (fleet == "demo").then(|| Arc::new(config))
        }
    }

    fn anybody() -> Arc<Access> {
        Arc::new(Access::unrestricted(Arc::default()))
    }

    /// The configuration that comes with the answer to a first report.
    async fn answered(fleet: &str, config_requested: bool, has: &str) -> Option<FilterConfig> {
        let telemetry = Arc::new(Telemetry::new(Arc::new(Notify::new())));
        let reports = Reports::new(telemetry, One, anybody(), Clock::system());
        let request = ReportRequest {
            node_id: "envoy-1".into(),
            fleet: fleet.into(),
            sequence: 1,
            config_version: has.into(),
            config_requested,
            ..ReportRequest::default()
        };
        let answer = reports.report(Request::new(request)).await.unwrap().into_inner();
        assert_eq!(answer.acknowledged, 1);
        answer.config.map(|json| serde_json::from_str(&json).unwrap())
    }

    #[tokio::test]
    async fn who_asks_gets_a_newer_configuration_and_is_told_to_go_on_asking() {
        let config = answered("demo", true, "old").await.unwrap();
        assert_eq!((config.version.as_str(), config.standalone), ("new", true));
        assert_eq!(answered("demo", true, "new").await, None);
        assert_eq!(answered("demo", false, "old").await, None, "it comes by xDS");
        assert_eq!(answered("other", true, "old").await, None, "no such fleet");
    }

    /// A report that comes while reports take all of a core is told to come less often.
    #[tokio::test]
    async fn the_answer_says_when_to_report_again() {
        let telemetry = Arc::new(Telemetry::new(Arc::new(Notify::new())));
        let reports =
            Reports::new(Arc::clone(&telemetry), One, anybody(), Clock::new(|| Timestamp(10_000)));
        let answer = async |sequence| {
            let (node_id, fleet) = ("envoy-1".to_owned(), "demo".to_owned());
            let request = ReportRequest { node_id, fleet, sequence, ..ReportRequest::default() };
            reports.report(Request::new(request)).await.unwrap().into_inner().interval_ms
        };
        assert_eq!(answer(1).await, 5_000);
        telemetry.charge(Timestamp(30_000), Duration::from_secs(20));
        assert_eq!(answer(2).await, 10_000);
    }

    #[tokio::test]
    async fn a_malformed_report_is_refused_with_what_is_wrong() {
        let telemetry = Arc::new(Telemetry::new(Arc::new(Notify::new())));
        let reports = Reports::new(Arc::clone(&telemetry), One, anybody(), Clock::system());
        let refused = reports.report(Request::new(ReportRequest::default())).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(refused.message().contains("`node_id`"), "{refused}");
        assert_eq!(telemetry.stats.refused.load(std::sync::atomic::Ordering::Relaxed), 1);
    }
}
