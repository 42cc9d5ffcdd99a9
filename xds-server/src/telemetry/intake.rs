//! Reports as they come from the network, checked: sizes, counts, and sums that agree.

use tidegate_core::histogram::{Histogram, HistogramError};
use tidegate_proto::report::v1::{ReportRequest, VersionCounts};

use super::counts::Counts;

/// Entries that one report may carry.
pub const MAX_ENTRIES: usize = 1024;
/// Bytes of a node id, fleet, service, version or release.
pub const MAX_NAME: usize = 256;

/// A report that may be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who sent it.
    pub sender: Sender,
    /// The sender's own number for it, from 1.
    pub sequence: u64,
    /// The filter configuration that the sender runs.
    pub config_version: String,
    /// What it counted.
    pub entries: Vec<Entry>,
    /// Counts that it gave up.
    pub dropped: u64,
}

/// One filter instance of one sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sender {
    /// Envoy's `node.id`.
    pub node: String,
    /// Random, once per instance.
    pub instance: u64,
}

/// What one version did, by one report. The names are as reported: unknown ones are dropped later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The service.
    pub service: String,
    /// The version.
    pub version: String,
    /// The release that ran, or empty.
    pub release: String,
    /// The counts.
    pub counts: Counts,
}

/// Why a report was refused. Nothing of it was counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A name is missing or too long.
    #[error("`{field}` must have 1 to {MAX_NAME} bytes, not {length}")]
    Name {
        /// Which field.
        field: &'static str,
        /// Its length.
        length: usize,
    },
    /// Numbers begin at 1.
    #[error("`sequence` must be at least 1")]
    Sequence,
    /// More than [`MAX_ENTRIES`].
    #[error("{0} entries in `counts`; at most {MAX_ENTRIES} are taken")]
    TooManyEntries(usize),
    /// More failures than requests.
    #[error("`counts[{index}]`: {bad} errors and client errors in {requests} requests")]
    MoreBadThanAll {
        /// Which entry.
        index: usize,
        /// Its errors and client errors.
        bad: u64,
        /// Its requests.
        requests: u64,
    },
    /// A histogram that cannot be, or that holds more than the requests.
    #[error("`counts[{index}].latency`: {source}")]
    Histogram {
        /// Which entry.
        index: usize,
        /// What is wrong.
        source: HistogramError,
    },
    /// More durations than requests.
    #[error("`counts[{index}].latency` holds {durations} durations of {requests} requests")]
    MoreDurationsThanRequests {
        /// Which entry.
        index: usize,
        /// Durations in the histogram.
        durations: u64,
        /// Requests of the entry.
        requests: u64,
    },
}

impl TryFrom<ReportRequest> for Report {
    type Error = Malformed;

    fn try_from(request: ReportRequest) -> Result<Self, Malformed> {
        check_name("node_id", &request.node_id)?;
        check_name("fleet", &request.fleet)?;
        if request.sequence == 0 {
            return Err(Malformed::Sequence);
        }
        if request.config_version.len() > MAX_NAME {
            let length = request.config_version.len();
            return Err(Malformed::Name { field: "config_version", length });
        }
        if request.counts.len() > MAX_ENTRIES {
            return Err(Malformed::TooManyEntries(request.counts.len()));
        }
        let entries =
            request.counts.into_iter().enumerate().map(entry).collect::<Result<_, _>>()?;
        Ok(Self {
            sender: Sender { node: request.node_id, instance: request.instance },
            sequence: request.sequence,
            config_version: request.config_version,
            entries,
            dropped: request.dropped,
        })
    }
}

fn entry((index, counts): (usize, VersionCounts)) -> Result<Entry, Malformed> {
    check_name("counts.service", &counts.service)?;
    check_name("counts.version", &counts.version)?;
    if counts.release.len() > MAX_NAME {
        return Err(Malformed::Name { field: "counts.release", length: counts.release.len() });
    }
    let requests = counts.requests;
    let bad = counts.errors.saturating_add(counts.client_errors);
    if bad > requests {
        return Err(Malformed::MoreBadThanAll { index, bad, requests });
    }
    let latency = match &counts.latency {
        Some(sparse) => {
            Histogram::try_from(sparse).map_err(|source| Malformed::Histogram { index, source })?
        }
        None => Histogram::default(),
    };
    let durations = latency.total();
    if durations > requests {
        return Err(Malformed::MoreDurationsThanRequests { index, durations, requests });
    }
    Ok(Entry {
        service: counts.service,
        version: counts.version,
        release: counts.release,
        counts: Counts {
            requests,
            errors: counts.errors,
            client_errors: counts.client_errors,
            cancelled: counts.cancelled,
            latency,
        },
    })
}

const fn check_name(field: &'static str, name: &str) -> Result<(), Malformed> {
    match name.len() {
        1..=MAX_NAME => Ok(()),
        length => Err(Malformed::Name { field, length }),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_proto::report::v1::Histogram as Sparse;

    use super::*;

    fn request() -> ReportRequest {
        ReportRequest {
            node_id: "envoy-1".into(),
            fleet: "demo".into(),
            instance: 7,
            sequence: 1,
            counts: vec![VersionCounts {
                service: "order".into(),
                version: "v2".into(),
                requests: 3,
                errors: 1,
                latency: Some(Sparse { index: vec![4, 9], count: vec![1, 2] }),
                ..VersionCounts::default()
            }],
            ..ReportRequest::default()
        }
    }

    #[test]
    fn a_good_report_passes() {
        let report = Report::try_from(request()).unwrap();
        assert_eq!(report.entries[0].counts.latency.total(), 3);
        assert_eq!(report.sender, Sender { node: "envoy-1".into(), instance: 7 });
    }

    #[test]
    fn each_lie_is_named() {
        type Spoil = fn(&mut ReportRequest);
        let cases: [(&str, Spoil); 10] = [
            ("`node_id` must have", |r| r.node_id.clear()),
            ("`fleet` must have", |r| r.fleet = "x".repeat(257)),
            ("`sequence` must be", |r| r.sequence = 0),
            ("`config_version` must", |r| r.config_version = "x".repeat(257)),
            ("1025 entries", |r| r.counts = vec![r.counts[0].clone(); 1025]),
            ("`counts.service` must", |r| r.counts[0].service.clear()),
            ("`counts.release` must", |r| r.counts[0].release = "x".repeat(257)),
            ("4 errors and client errors in 3", |r| r.counts[0].client_errors = 3),
            ("`counts[0].latency`: ", |r| {
                r.counts[0].latency = Some(Sparse { index: vec![9, 4], count: vec![1, 1] });
            }),
            ("holds 9 durations of 3", |r| {
                r.counts[0].latency = Some(Sparse { index: vec![9], count: vec![9] });
            }),
        ];
        for (expected, spoil) in cases {
            let mut request = request();
            spoil(&mut request);
            let error = Report::try_from(request).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
