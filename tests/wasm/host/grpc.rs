//! The server side of the filter's gRPC calls.

use std::collections::BTreeMap;

use prost::Message as _;
use tidegate_proto::report::v1::{ReportRequest, ReportResponse, VersionCounts};

/// A gRPC call that a VM made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) token: u32,
    pub(crate) cluster: String,
    /// `:authority`. Envoy sends the cluster's name by default.
    pub(crate) authority: String,
    /// `SERVICE/METHOD`.
    pub(crate) method: String,
    /// The encoded request.
    pub(crate) message: Vec<u8>,
    pub(crate) timeout_millis: u32,
}

impl Call {
    /// Decodes the message as a report.
    pub(crate) fn report(&self) -> Result<ReportRequest, prost::DecodeError> {
        ReportRequest::decode(self.message.as_slice())
    }
}

/// Counts reports by the rule of the protocol: each sequence number of each instance once.
#[derive(Debug, Default)]
pub(crate) struct ReportServer {
    /// By service, version and release.
    pub(crate) totals: BTreeMap<(String, String, String), VersionTotals>,
    last: BTreeMap<(String, u64), u64>,
}

/// Counts of one version.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VersionTotals {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) client_errors: u64,
    pub(crate) cancelled: u64,
}

impl ReportServer {
    /// Counts a report and returns the response.
    pub(crate) fn receive(&mut self, report: &ReportRequest) -> ReportResponse {
        let instance = (report.node_id.clone(), report.instance);
        let last = self.last.entry(instance).or_default();
        if report.sequence > *last {
            *last = report.sequence;
            for counts in &report.counts {
                self.count(counts);
            }
        }
        ReportResponse { acknowledged: report.sequence, interval_ms: 250, config: None }
    }

    /// Number of instances that have reported.
    #[must_use]
    pub(crate) fn instances(&self) -> usize {
        self.last.len()
    }

    /// The totals of one version over all releases.
    #[must_use]
    pub(crate) fn version(&self, service: &str, version: &str) -> VersionTotals {
        let of_version = self.totals.iter().filter(|((s, v, _), _)| s == service && v == version);
        of_version.fold(VersionTotals::default(), |sum, (_, other)| VersionTotals {
            requests: sum.requests + other.requests,
            errors: sum.errors + other.errors,
            client_errors: sum.client_errors + other.client_errors,
            cancelled: sum.cancelled + other.cancelled,
        })
    }

    fn count(&mut self, counts: &VersionCounts) {
        let key = (counts.service.clone(), counts.version.clone(), counts.release.clone());
        let totals = self.totals.entry(key).or_default();
        totals.requests += counts.requests;
        totals.errors += counts.errors;
        totals.client_errors += counts.client_errors;
        totals.cancelled += counts.cancelled;
    }
}
