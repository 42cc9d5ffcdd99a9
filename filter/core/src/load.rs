//! How busy an instance says it is: ORCA load reports, as they come with an answer.
//!
//! The formats are Envoy's (`source/common/orca/orca_parser.h`): the header `endpoint-load-metrics`
//! with `TEXT `, `JSON ` or `BIN ` before the report, or `endpoint-load-metrics-bin` with a
//! `xds.data.orca.v3.OrcaLoadReport` in base64. ORCA has no field for disks: the utilisation named
//! `disk` counts, or the named metric `disk_utilization`.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::DecodePaddingMode::Indifferent;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use prost::Message;
use serde::Deserialize;

/// The header with a report in any format.
pub const HEADER: &str = "endpoint-load-metrics";
/// The header, or trailer of a gRPC answer, with a binary report.
pub const BINARY_HEADER: &str = "endpoint-load-metrics-bin";
/// Longest report that is read, in bytes.
const MAX_BYTES: usize = 4096;
/// gRPC sends base64 without padding, everybody else with it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(Indifferent),
);
const DISK: &str = "disk";
const DISK_METRIC: &str = "disk_utilization";

/// What an instance said of itself, as fractions of what it has. What it did not say is absent, and
/// so is what cannot be.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// CPU.
    pub cpu: Option<f64>,
    /// Memory.
    pub memory: Option<f64>,
    /// Disk.
    pub disk: Option<f64>,
}

/// The parts of an `OrcaLoadReport` that are read.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
struct Report {
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

impl Load {
    /// Reads the value of [`HEADER`]. Whatever is no report says nothing.
    #[must_use]
    pub fn from_header(value: &[u8]) -> Self {
        let Some((format, report)) = bounded(value).and_then(|it| it.split_once(' ')) else {
            return Self::default();
        };
        match format {
            "TEXT" => Self::from_text(report),
            "JSON" => serde_json::from_str(report).map(Self::from_report).unwrap_or_default(),
            "BIN" => Self::from_base64(report),
            _ => Self::default(),
        }
    }

    /// Reads the value of [`BINARY_HEADER`].
    #[must_use]
    pub fn from_binary_header(value: &[u8]) -> Self {
        bounded(value).map(Self::from_base64).unwrap_or_default()
    }

    fn from_base64(text: &str) -> Self {
        let bytes = BASE64.decode(text).unwrap_or_default();
        Report::decode(bytes.as_slice()).map(Self::from_report).unwrap_or_default()
    }

    fn from_text(text: &str) -> Self {
        let mut load = Self::default();
        for (name, value) in text.split(',').filter_map(|pair| pair.split_once(['=', ':'])) {
            let said = value.trim().parse().ok().and_then(sane);
            match name.trim() {
                "cpu_utilization" => load.cpu = said,
                "mem_utilization" => load.memory = said,
                "utilization.disk" | "named_metrics.disk_utilization" => load.disk = said,
                _ => {}
            }
        }
        load
    }

    /// In protobuf, 0 is what was not said.
    fn from_report(report: Report) -> Self {
        let disk = report.utilization.get(DISK).or_else(|| report.named_metrics.get(DISK_METRIC));
        Self {
            cpu: sane(report.cpu_utilization).filter(|cpu| *cpu > 0.0),
            memory: sane(report.mem_utilization).filter(|memory| *memory > 0.0),
            disk: disk.copied().and_then(sane),
        }
    }
}

fn bounded(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().filter(|value| value.len() <= MAX_BYTES)
}

/// CPU may be above 1: the instance uses more than its share.
fn sane(fraction: f64) -> Option<f64> {
    (fraction.is_finite() && fraction >= 0.0).then_some(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Load = Load { cpu: Some(0.8), memory: Some(0.5), disk: Some(0.25) };

    #[test]
    fn every_format_says_the_same() {
        let report = Report {
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
            assert_eq!(Load::from_header(header.as_bytes()), BUSY, "{header}");
        }
        assert_eq!(Load::from_binary_header(base64.as_bytes()), BUSY);
        let unpadded = base64.trim_end_matches('=');
        assert_eq!(Load::from_binary_header(unpadded.as_bytes()), BUSY, "as gRPC sends it");
    }

    #[test]
    fn what_is_no_report_says_nothing() {
        let long = format!("TEXT cpu_utilization=0.8,{}", "x".repeat(MAX_BYTES));
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
            assert_eq!(Load::from_header(header.as_bytes()), Load::default(), "{header:.60}");
        }
        assert_eq!(Load::from_header(b"TEXT \xff=1"), Load::default());
        assert_eq!(Load::from_binary_header(b"\0"), Load::default());
    }

    #[test]
    fn an_idle_instance_that_says_so_is_heard() {
        assert_eq!(Load::from_header(b"TEXT cpu_utilization=0").cpu, Some(0.0));
    }
}
