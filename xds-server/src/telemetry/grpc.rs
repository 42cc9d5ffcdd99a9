//! The gRPC service `tidegate.report.v1.ReportService`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_delivery::names::ServiceName;
use tidegate_delivery::units::Timestamp;
use tidegate_proto::report::v1::report_service_server::ReportService;
use tidegate_proto::report::v1::{ReportRequest, ReportResponse};
use tidegate_xds::resources::EncodedConfig;
use tonic::{Request, Response, Status};

use super::intake::Report;
use super::sessions::RefusedReport;
use super::{Ingested, Telemetry};
use crate::auth::access::Access;
use crate::auth::peer::Peer;
use crate::clock::Clock;
use crate::rejections::Reason;
use crate::xds::fleet::reporters::{Reported, Reporters};
use crate::xds::fleet::{AckTracker, ReceivedReport};

/// Filter configurations for sidecars that do not receive them by ECDS.
pub trait FilterConfigs: Send + Sync + 'static {
    /// The current configuration of an Istio fleet.
    fn of(&self, fleet: &str) -> Option<Arc<EncodedConfig>>;

    /// Whether `version` is that of the filter configuration that a fleet receives by xDS.
    fn is_current(&self, fleet: &str, version: &str) -> bool;
}

/// Implementation of the service.
#[derive(Debug)]
pub struct Reports<F> {
    telemetry: Arc<Telemetry>,
    configs: F,
    access: Arc<Access>,
    ack_tracker: Arc<AckTracker>,
    reporters: Arc<Reporters>,
    clock: Clock,
}

impl<F: FilterConfigs> Reports<F> {
    /// Counts reports of clients with `access` in `telemetry`, records the versions of their filters in `ack_tracker`, and
    /// for Istio fleets their configurations in `reporters`, and answers requests for a configuration from `configs`.
    #[must_use]
    pub const fn new(
        telemetry: Arc<Telemetry>,
        configs: F,
        access: Arc<Access>,
        ack_tracker: Arc<AckTracker>,
        reporters: Arc<Reporters>,
        clock: Clock,
    ) -> Self {
        Self { telemetry, configs, access, ack_tracker, reporters, clock }
    }

    /// Records a sidecar that requests its configuration. Returns the interval until its next report, and the configuration
    /// if it has another one.
    fn reporter(&self, report: &Report, peer: &Peer, now: Timestamp) -> (u32, Option<String>) {
        let interval_ms = self.telemetry.istio_interval_ms();
        let is_known = self.reporters.record(
            &Reported {
                fleet: &report.fleet,
                node: &report.sender.node,
                instance: report.sender.instance,
                config_version: &report.config_version,
                config_error: &report.config_error,
                filter_version: report.filter_version.as_ref(),
                interval: Duration::from_millis(interval_ms.into()),
                connection: peer.connection(),
            },
            now,
        );
        let config =
            self.configs.of(&report.fleet).filter(|it| it.version != report.config_version);
        (interval_ms, config.filter(|_| is_known).map(|config| config.json.clone()))
    }

    /// Records the report of a sidecar that receives its configuration by xDS.
    fn record_streamed(&self, report: &Report) {
        self.ack_tracker.record_report(&ReceivedReport {
            fleet: &report.fleet,
            node: &report.sender.node,
            filter_version: report.filter_version.as_ref(),
            is_current: self.configs.is_current(&report.fleet, &report.config_version),
        });
    }

    /// Checks that the client may send a report, and counts it.
    fn ingest(&self, report: Report, peer: &Peer) -> Result<u64, Status> {
        let (node, fleet) = (report.sender.node.clone(), report.fleet.clone());
        let Ingested { acknowledged, foreign } = self
            .telemetry
            .ingest(report, &peer.client(), self.clock.now())
            .map_err(|refused| self.refuse(refused, peer))?;
        if let Some(service) = foreign {
            let error = ForeignService { node, fleet, service };
            self.access.rejections().record(Reason::Service, peer, &error);
        }
        Ok(acknowledged)
    }

    fn refuse(&self, refused: RefusedReport, peer: &Peer) -> Status {
        let status = match refused {
            RefusedReport::TooManySessions | RefusedReport::TooManySessionsOfClient => {
                Status::resource_exhausted
            }
            RefusedReport::ImpossibleCount { .. } => Status::invalid_argument,
        };
        self.access.rejections().record(Reason::Report, peer, &refused);
        status(refused.to_string())
    }
}

/// A report names a service that the sidecar's fleet does not carry.
#[derive(Debug, thiserror::Error)]
#[error("sidecar {node:?} reports for `{service}`, which its fleet {fleet:?} does not carry")]
struct ForeignService {
    node: String,
    fleet: String,
    service: ServiceName,
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
        let reject = |status| {
            self.telemetry.stats.rejected.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            status
        };
        let report = Report::try_from(request)
            .map_err(|malformed| reject(Status::invalid_argument(malformed.to_string())))?;
        // After validation, which bounds the length of the names.
        self.access
            .check(&peer, &report.fleet, &report.sender.node)
            .map_err(|denied| reject(denied.into()))?;
        let now = self.clock.now();
        let (interval_ms, config) = if report.config_requested {
            self.reporter(&report, &peer, now)
        } else {
            self.record_streamed(&report);
            (self.telemetry.interval_ms(), None)
        };
        let acknowledged = self.ingest(report, &peer)?;
        self.telemetry.charge(now, began.elapsed());
        Ok(Response::new(ReportResponse { acknowledged, interval_ms, config }))
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::version::FilterVersion;
    use tidegate_delivery::names::Services;
    use tidegate_xds::kind::Mode;
    use tokio::sync::Notify;

    use super::*;
    use crate::xds::fleet::reporters::PublishedFleet;

    struct One;

    impl FilterConfigs for One {
        fn of(&self, fleet: &str) -> Option<Arc<EncodedConfig>> {
            let config = EncodedConfig { version: "new".into(), json: "{}".into() };
            (fleet == "mesh").then(|| Arc::new(config))
        }

        fn is_current(&self, _: &str, _: &str) -> bool {
            false
        }
    }

    fn reports(telemetry: Arc<Telemetry>, clock: Clock) -> Reports<One> {
        let access = Arc::new(Access::unrestricted(Arc::default()));
        let ack_tracker = AckTracker::new(clock.clone());
        let reporters = Arc::new(Reporters::new(Arc::default(), ack_tracker.times()));
        let (name, config_version) = ("mesh".parse().unwrap(), "new".to_owned());
        reporters
            .published(1, vec![PublishedFleet { name, services: Services::All, config_version }]);
        Reports::new(telemetry, One, access, ack_tracker, reporters, clock)
    }

    /// The configuration in the response to a first report.
    async fn config_in_response(fleet: &str, config_requested: bool, has: &str) -> Option<String> {
        let telemetry = Arc::new(Telemetry::new(Arc::new(Notify::new())));
        let reports = reports(telemetry, Clock::system());
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
        answer.config
    }

    #[tokio::test]
    async fn a_requested_configuration_is_sent_if_it_differs() {
        assert_eq!(config_in_response("mesh", true, "old").await.as_deref(), Some("{}"));
        assert_eq!(config_in_response("mesh", true, "").await.as_deref(), Some("{}"));
        assert_eq!(config_in_response("mesh", true, "new").await, None);
        assert_eq!(config_in_response("mesh", false, "old").await, None, "not requested");
        assert_eq!(config_in_response("demo", true, "old").await, None, "not an Istio fleet");
    }

    #[tokio::test]
    async fn a_sidecar_that_requests_its_configuration_counts_in_convergence() {
        let telemetry = Arc::new(Telemetry::new(Arc::new(Notify::new())));
        let reports = reports(telemetry, Clock::new(|| Timestamp(10_000)));
        let report = async |sequence, config_version: &str| {
            let request = ReportRequest {
                node_id: "app-1".into(),
                fleet: "mesh".into(),
                sequence,
                config_version: config_version.into(),
                config_requested: true,
                filter_version: "0.1.0".into(),
                filter_protocol: 2,
                ..ReportRequest::default()
            };
            let response = reports.report(Request::new(request)).await.unwrap().into_inner();
            assert_eq!(response.interval_ms, 1_000);
        };
        let convergence = || {
            let mut convergence = tidegate_delivery::model::progress::Convergence::default();
            reports.reporters.add_to(&mut convergence, 1, &"order".parse().unwrap());
            (convergence.acked, convergence.connected)
        };
        report(1, "").await;
        assert_eq!(convergence(), (0, 1));
        report(2, "new").await;
        assert_eq!(convergence(), (1, 1));
        let filter_version = reports.reporters.nodes().remove(0).filter_version;
        assert_eq!(filter_version, FilterVersion::parse("0.1.0", 2).ok());
    }

    /// While reports use a whole core, the response asks for a longer interval.
    #[tokio::test]
    async fn the_response_contains_the_report_interval() {
        let telemetry = Arc::new(Telemetry::new(Arc::new(Notify::new())));
        let reports = reports(Arc::clone(&telemetry), Clock::new(|| Timestamp(10_000)));
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
    async fn an_invalid_report_is_rejected_with_the_field() {
        let telemetry = Arc::new(Telemetry::new(Arc::new(Notify::new())));
        let reports = reports(Arc::clone(&telemetry), Clock::system());
        let refused = reports.report(Request::new(ReportRequest::default())).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(refused.message().contains("`node_id`"), "{refused}");
        assert_eq!(telemetry.stats.rejected.load(std::sync::atomic::Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn the_version_of_a_connected_filter_is_recorded() {
        let telemetry = Arc::new(Telemetry::new(Arc::new(Notify::new())));
        let reports = reports(telemetry, Clock::system());
        let _stream = reports.ack_tracker.connect("demo".parse().unwrap(), "envoy-1", Mode::Delta);
        let report = async |sequence, filter_version: &str| {
            let request = ReportRequest {
                node_id: "envoy-1".into(),
                fleet: "demo".into(),
                sequence,
                filter_version: filter_version.to_owned(),
                filter_protocol: 1,
                ..ReportRequest::default()
            };
            reports.report(Request::new(request)).await.map(|_| ())
        };
        let recorded = || reports.ack_tracker.nodes()[0].filter_version.clone();
        report(1, "").await.unwrap();
        assert_eq!(recorded(), None);
        report(2, "0.1.0").await.unwrap();
        assert_eq!(recorded(), Some(FilterVersion::parse("0.1.0", 1).unwrap()));
        for invalid in ["new", "1.0.0-x\n", &format!("1.0.0-{}", "x".repeat(27))] {
            let error = report(3, invalid).await.unwrap_err();
            assert_eq!(error.code(), tonic::Code::InvalidArgument);
            assert!(error.message().contains("`filter_version`"), "{error}");
        }
    }
}
