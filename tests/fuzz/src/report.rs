//! Fuzz target of report intake: decoding, validation and counting.

use std::sync::Arc;

use prost::Message as _;
use tidegate::telemetry::Telemetry;
use tidegate::telemetry::intake::Report;
use tidegate_delivery::units::Timestamp;
use tidegate_proto::report::v1::ReportRequest;
use tokio::sync::Notify;

use crate::world;

/// Takes in a report and its retransmission, which must not be counted.
pub(crate) fn report(data: &[u8]) {
    let Ok(request) = ReportRequest::decode(data) else {
        return;
    };
    let report = match Report::try_from(request) {
        Ok(report) => report,
        Err(malformed) => {
            assert!(!malformed.to_string().is_empty());
            return;
        }
    };
    let telemetry = Telemetry::new(Arc::new(Notify::new()));
    telemetry.update(&world::LATER);
    let service = "order".parse().expect("a name");
    let sequence = report.sequence;
    let acknowledged = telemetry.ingest(report.clone(), Timestamp(1)).expect("there is room");
    assert_eq!(acknowledged, sequence);
    let once = telemetry.totals(&service);
    let again = telemetry.ingest(report, Timestamp(2)).expect("there is room");
    assert_eq!(again, sequence);
    assert_eq!(telemetry.totals(&service), once, "a retransmission was counted");
}
