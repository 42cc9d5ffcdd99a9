//! The other end of the filter's gRPC calls.

use std::collections::BTreeMap;

use prost::Message as _;
use tidegate_proto::report::v1::{ReportRequest, ReportResponse, VersionCounts};

/// A gRPC call that a VM made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// What the answer must bear.
    pub(crate) token: u32,
    /// The cluster it went to.
    pub(crate) cluster: String,
    /// `SERVICE/METHOD`.
    pub(crate) method: String,
    /// The request.
    pub(crate) message: Vec<u8>,
    /// Its deadline.
    pub(crate) timeout_millis: u32,
}

impl Call {
    /// The report that was sent.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn report(&self) -> Result<ReportRequest, prost::DecodeError> {
        ReportRequest::decode(self.message.as_slice())
    }
}

/// Counts reports as the control plane must: each number of each instance once.
#[derive(Debug, Default)]
pub(crate) struct ReportServer {
    /// Sums by service, version and release.
    pub(crate) sums: BTreeMap<(String, String, String), Sums>,
    last: BTreeMap<(String, u64), u64>,
}

/// What was counted for one version.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) client_errors: u64,
    pub(crate) cancelled: u64,
}

impl ReportServer {
    /// Takes a report in, and gives the answer to it.
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

    /// Instances that have reported.
    #[must_use]
    pub(crate) fn instances(&self) -> usize {
        self.last.len()
    }

    /// The sums of one version over all releases.
    #[must_use]
    pub(crate) fn version(&self, service: &str, version: &str) -> Sums {
        let of_version = self.sums.iter().filter(|((s, v, _), _)| s == service && v == version);
        of_version.fold(Sums::default(), |sum, (_, other)| Sums {
            requests: sum.requests + other.requests,
            errors: sum.errors + other.errors,
            client_errors: sum.client_errors + other.client_errors,
            cancelled: sum.cancelled + other.cancelled,
        })
    }

    fn count(&mut self, counts: &VersionCounts) {
        let key = (counts.service.clone(), counts.version.clone(), counts.release.clone());
        let sums = self.sums.entry(key).or_default();
        sums.requests += counts.requests;
        sums.errors += counts.errors;
        sums.client_errors += counts.client_errors;
        sums.cancelled += counts.cancelled;
    }
}
