//! Fuzz targets of single documents: configuration files, flag documents, and reports.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use prost::Message as _;
use serde_json::Value;
use tidegate::auth::peer::ClientKey;
use tidegate::telemetry::Telemetry;
use tidegate::telemetry::intake::Report;
use tidegate::telemetry::sessions::RefusedReport;
use tidegate_core::flags::{FlagSet, JsonContext};
use tidegate_delivery::units::Timestamp;
use tidegate_proto::report::v1::ReportRequest;
use tokio::sync::Notify;

use crate::world;

/// Checks a configuration. A rejected one must have messages.
pub(crate) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // The path of a flag file may name a device.
    if text.contains("flags") {
        return;
    }
    if let Err(problems) = tidegate::config::check(text, Path::new("")) {
        assert!(!problems.is_empty(), "rejected without a message");
    }
}

/// Compiles a flag document and evaluates its flags. An optional context follows after a zero byte.
pub(crate) fn flags(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == 0);
    let document = halves.next().unwrap_or_default();
    let Ok(document) = std::str::from_utf8(document) else {
        return;
    };
    let flags = match FlagSet::parse(document) {
        Ok(flags) => flags,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let attributes = halves.next().and_then(|bytes| serde_json::from_slice(bytes).ok());
    let attributes: Value = attributes.unwrap_or_default();
    let context = JsonContext { attributes: &attributes, unix_seconds: 1_700_000_000 };
    for (key, flag) in flags.iter() {
        let answer = flags.evaluate(key, &context).expect("the flag exists");
        if let Some(value) = answer.value {
            assert!(flag.values().any(|it| it == value), "{key}: the value is not a variant");
        }
    }
}

/// Counts a report, and rejects its retransmission.
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
    telemetry.update(&world::MESH, &world::RELEASING);
    let (service, sequence) = ("order".parse().expect("a name"), report.sequence);
    let client = ClientKey::from_address(Ipv4Addr::LOCALHOST.into());
    let acknowledged = match telemetry.ingest(report.clone(), &client, Timestamp(1)) {
        Ok(ingested) => ingested.acknowledged,
        Err(refused) => {
            assert!(matches!(refused, RefusedReport::ImpossibleCount { .. }), "{refused}");
            return;
        }
    };
    assert_eq!(acknowledged, sequence);
    let once = telemetry.totals(&service);
    let again = telemetry.ingest(report, &client, Timestamp(2)).expect("a retransmission");
    assert_eq!(again.acknowledged, sequence);
    assert_eq!(telemetry.totals(&service), once, "a retransmission was counted");
}
