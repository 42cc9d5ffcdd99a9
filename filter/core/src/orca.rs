//! Parses ORCA load reports in response headers: the utilization of the instance that responded.
//!
//! The formats are those of Envoy's `source/common/orca/orca_parser.h`: the header
//! `endpoint-load-metrics` with the prefix `TEXT `, `JSON ` or `BIN `, or the header
//! `endpoint-load-metrics-bin` with a base64 `xds.data.orca.v3.OrcaLoadReport`. ORCA has no disk
//! field; the entry `disk` of `utilization` is used, else the named metric `disk_utilization`.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::DecodePaddingMode::Indifferent;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use prost::Message;
use serde::Deserialize;

/// Header with a report in any of the three prefixed formats.
pub const HEADER: &str = "endpoint-load-metrics";
/// Response header, or gRPC response trailer, with a binary report.
pub const BINARY_HEADER: &str = "endpoint-load-metrics-bin";
/// Longest header value that is parsed, in bytes.
const MAX_HEADER_BYTES: usize = 4096;
/// gRPC omits the base64 padding, other senders include it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(Indifferent),
);
const DISK: &str = "disk";
const DISK_METRIC: &str = "disk_utilization";

/// Utilization of an instance, as fractions of its capacity. Values that are not reported or not
/// valid are `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OrcaLoad {
    /// CPU; may exceed 1.
    pub cpu: Option<f64>,
    /// Memory.
    pub memory: Option<f64>,
    /// Disk.
    pub disk: Option<f64>,
}

/// The fields of `xds.data.orca.v3.OrcaLoadReport` that are read.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
struct OrcaLoadReport {
    #[prost(double, tag = "1")]
    #[serde(alias = "cpuUtilization")]
    cpu_utilization: f64,
    #[prost(double, tag = "2")]
    #[serde(alias = "memUtilization")]
    mem_utilization: f64,
    #[prost(map = "string, double", tag = "5")]
    utilization: HashMap<String, f64>,
    #[prost(map = "string, double", tag = "8")]
    #[serde(alias = "namedMetrics")]
    named_metrics: HashMap<String, f64>,
}

impl OrcaLoad {
    /// Parses the value of [`HEADER`]. A malformed report yields no values.
    #[must_use]
    pub fn from_header(value: &[u8]) -> Self {
        let Some((format, report)) = as_text(value).and_then(|it| it.split_once(' ')) else {
            return Self::default();
        };
        match format {
            "TEXT" => Self::from_text(report),
            "JSON" => serde_json::from_str(report).map(Self::from_report).unwrap_or_default(),
            "BIN" => Self::from_base64(report),
            _ => Self::default(),
        }
    }

    /// Parses the value of [`BINARY_HEADER`]. A malformed report yields no values.
    #[must_use]
    pub fn from_binary_header(value: &[u8]) -> Self {
        as_text(value).map(Self::from_base64).unwrap_or_default()
    }

    fn from_base64(text: &str) -> Self {
        let bytes = BASE64.decode(text).unwrap_or_default();
        OrcaLoadReport::decode(bytes.as_slice()).map(Self::from_report).unwrap_or_default()
    }

    fn from_text(text: &str) -> Self {
        let mut load = Self::default();
        for (name, value) in text.split(',').filter_map(|pair| pair.split_once(['=', ':'])) {
            let fraction = value.trim().parse().ok().and_then(valid_fraction);
            match name.trim() {
                "cpu_utilization" => load.cpu = fraction,
                "mem_utilization" => load.memory = fraction,
                "utilization.disk" | "named_metrics.disk_utilization" => load.disk = fraction,
                _ => {}
            }
        }
        load
    }

    /// An `OrcaLoadReport` does not distinguish a CPU or memory utilization of 0 from an absent
    /// one.
    fn from_report(report: OrcaLoadReport) -> Self {
        let disk = report.utilization.get(DISK).or_else(|| report.named_metrics.get(DISK_METRIC));
        Self {
            cpu: valid_fraction(report.cpu_utilization).filter(|cpu| *cpu > 0.0),
            memory: valid_fraction(report.mem_utilization).filter(|memory| *memory > 0.0),
            disk: disk.copied().and_then(valid_fraction),
        }
    }
}

fn as_text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().filter(|value| value.len() <= MAX_HEADER_BYTES)
}

/// Accepts fractions above 1: an instance may use more CPU than its share.
fn valid_fraction(fraction: f64) -> Option<f64> {
    (fraction.is_finite() && fraction >= 0.0).then_some(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: OrcaLoad = OrcaLoad { cpu: Some(0.8), memory: Some(0.5), disk: Some(0.25) };

    #[test]
    fn all_formats_yield_the_same_values() {
        let report = OrcaLoadReport {
            cpu_utilization: 0.8,
            mem_utilization: 0.5,
            utilization: HashMap::from([("disk".to_owned(), 0.25)]),
            named_metrics: HashMap::new(),
        };
        let base64 = BASE64.encode(report.encode_to_vec());
        let headers = [
            "TEXT cpu_utilization=0.8,mem_utilization=0.5,named_metrics.disk_utilization=0.25".to_owned(),
            "TEXT cpu_utilization:0.8, mem_utilization:0.5, utilization.disk:0.25, eps:3".to_owned(),
            r#"JSON {"cpu_utilization":0.8,"mem_utilization":0.5,"utilization":{"disk":0.25},"eps":1}"#.to_owned(),
            r#"JSON {"cpuUtilization":0.8,"memUtilization":0.5,"namedMetrics":{"disk_utilization":0.25}}"#.to_owned(),
            format!("BIN {base64}"),
        ];
        for header in headers {
            assert_eq!(OrcaLoad::from_header(header.as_bytes()), EXPECTED, "{header}");
        }
        assert_eq!(OrcaLoad::from_binary_header(base64.as_bytes()), EXPECTED);
        let unpadded = base64.trim_end_matches('=');
        assert_eq!(
            OrcaLoad::from_binary_header(unpadded.as_bytes()),
            EXPECTED,
            "without padding, as in gRPC"
        );
    }

    #[test]
    fn malformed_reports_yield_no_values() {
        let long = format!("TEXT cpu_utilization=0.8,{}", "x".repeat(MAX_HEADER_BYTES));
        for header in [
            "",
            "TEXT",
            "TEXT ",
            "TEXT cpu_utilization",
            "TEXT cpu_utilization=NaN,mem_utilization=-1",
            "TEXT cpu_utilization=inf",
            "JSON {",
            "JSON []",
            "BIN ?",
            "BIN AAAA",
            "XML <cpu/>",
            &long,
        ] {
            assert_eq!(
                OrcaLoad::from_header(header.as_bytes()),
                OrcaLoad::default(),
                "{header:.60}"
            );
        }
        assert_eq!(OrcaLoad::from_header(b"TEXT \xff=1"), OrcaLoad::default());
        assert_eq!(OrcaLoad::from_binary_header(b"\0"), OrcaLoad::default());
    }

    #[test]
    fn a_text_report_of_zero_is_a_value() {
        assert_eq!(OrcaLoad::from_header(b"TEXT cpu_utilization=0").cpu, Some(0.0));
    }
}
