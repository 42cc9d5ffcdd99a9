//! Reports as they come from the network, checked: sizes, counts, and sums that agree.

use std::collections::BTreeMap;

use tidegate_core::histogram::{Histogram, HistogramError};
use tidegate_core::utilization::UtilizationHistogram;
use tidegate_proto::report::v1::{
    BusinessCounts, Histogram as Sparse, ReportRequest, VersionCounts,
};

use super::counts::{Counts, Loads};
use tidegate_delivery::judge::Share;
use tidegate_delivery::names::MetricName;

/// Entries that one report may carry.
pub const MAX_ENTRIES: usize = 1024;
/// Most requests of one entry. An Envoy thread that could not report for a whole day has fewer; sums of so many
/// cannot reach what a number holds.
pub const MAX_REQUESTS: u64 = 10_000_000_000;
/// Business rules that one entry may carry.
pub const MAX_RULES: usize = 16;
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
    /// More than [`MAX_REQUESTS`].
    #[error("`counts[{index}]`: {requests} requests; at most {MAX_REQUESTS} are taken")]
    TooManyRequests {
        /// Which entry.
        index: usize,
        /// Its requests, or those that were given up.
        requests: u64,
    },
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
    /// A histogram that cannot be.
    #[error("`counts[{index}].{field}`: {source}")]
    Histogram {
        /// Which entry.
        index: usize,
        /// Which of its histograms.
        field: &'static str,
        /// What is wrong.
        source: HistogramError,
    },
    /// More samples than requests.
    #[error("`counts[{index}].{field}` holds {samples} samples of {requests} requests")]
    MoreSamplesThanRequests {
        /// Which entry.
        index: usize,
        /// Which of its histograms.
        field: &'static str,
        /// Samples in the histogram.
        samples: u64,
        /// Requests of the entry.
        requests: u64,
    },
    /// More than [`MAX_RULES`].
    #[error("`counts[{index}]`: {count} business rules; at most {MAX_RULES} are taken")]
    TooManyRules {
        /// Which entry.
        index: usize,
        /// How many there were.
        count: usize,
    },
    /// A business rule whose numbers cannot be, or that cannot be called that.
    #[error("`counts[{index}].business`: {bad} of {about} bad by `{rule}`, in {requests} requests")]
    Business {
        /// Which entry.
        index: usize,
        /// The rule's name, its beginning.
        rule: String,
        /// Requests that it says did not end well.
        bad: u64,
        /// Requests that it says it is about.
        about: u64,
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
    let most = requests.max(counts.cancelled);
    if most > MAX_REQUESTS {
        return Err(Malformed::TooManyRequests { index, requests: most });
    }
    let bad = counts.errors.saturating_add(counts.client_errors);
    if bad > requests {
        return Err(Malformed::MoreBadThanAll { index, bad, requests });
    }
    let samples = Samples { index, requests };
    let latency = samples.of("latency", counts.latency.as_ref(), Histogram::total)?;
    let load = Loads {
        cpu: samples.of("cpu", counts.cpu.as_ref(), UtilizationHistogram::total)?,
        memory: samples.of("memory", counts.memory.as_ref(), UtilizationHistogram::total)?,
        disk: samples.of("disk", counts.disk.as_ref(), UtilizationHistogram::total)?,
    };
    let business = samples.business(&counts.business)?;
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
            load,
            business,
        },
    })
}

/// What an entry says in more than a number: none of it may speak of more than its requests.
struct Samples {
    index: usize,
    requests: u64,
}

impl Samples {
    fn of<'a, T>(
        &self,
        field: &'static str,
        sparse: Option<&'a Sparse>,
        total: fn(&T) -> u64,
    ) -> Result<T, Malformed>
    where
        T: Default + TryFrom<&'a Sparse, Error = HistogramError>,
    {
        let Self { index, requests } = *self;
        let Some(sparse) = sparse else {
            return Ok(T::default());
        };
        let histogram =
            T::try_from(sparse).map_err(|source| Malformed::Histogram { index, field, source })?;
        let samples = total(&histogram);
        if samples > requests {
            return Err(Malformed::MoreSamplesThanRequests { index, field, samples, requests });
        }
        Ok(histogram)
    }

    /// A name that comes twice would count twice.
    fn business(
        &self,
        counts: &[BusinessCounts],
    ) -> Result<BTreeMap<MetricName, Share>, Malformed> {
        let Self { index, requests } = *self;
        if counts.len() > MAX_RULES {
            return Err(Malformed::TooManyRules { index, count: counts.len() });
        }
        let mut business = BTreeMap::new();
        for counts in counts {
            let share = Share { requests: counts.requests, bad: counts.bad };
            let possible = share.bad <= share.requests && share.requests <= requests;
            let name = counts.rule.parse::<MetricName>().ok().filter(|_| possible);
            let new = name.is_some_and(|name| business.insert(name, share).is_none());
            if !new {
                let rule = counts.rule.chars().take(40).collect();
                let Share { requests: about, bad } = share;
                return Err(Malformed::Business { index, rule, bad, about, requests });
            }
        }
        Ok(business)
    }
}

const fn check_name(field: &'static str, name: &str) -> Result<(), Malformed> {
    match name.len() {
        1..=MAX_NAME => Ok(()),
        length => Err(Malformed::Name { field, length }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(requests: u64, bad: u64) -> BusinessCounts {
        BusinessCounts { rule: "order_success".into(), requests, bad }
    }

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
                cpu: Some(Sparse { index: vec![80, 101], count: vec![1, 1] }),
                business: vec![placed(3, 1)],
                ..VersionCounts::default()
            }],
            ..ReportRequest::default()
        }
    }

    #[test]
    fn a_good_report_passes() {
        let report = Report::try_from(request()).unwrap();
        let counts = &report.entries[0].counts;
        assert_eq!((counts.latency.total(), counts.load.cpu.total()), (3, 2));
        assert_eq!(counts.business["order_success"], Share { requests: 3, bad: 1 });
        assert_eq!(report.sender, Sender { node: "envoy-1".into(), instance: 7 });
    }

    #[test]
    fn each_lie_is_named() {
        type Spoil = fn(&mut ReportRequest);
        let cases: [(&str, Spoil); 16] = [
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
            ("`counts[0].latency` holds 9 samples of 3", |r| {
                r.counts[0].latency = Some(Sparse { index: vec![9], count: vec![9] });
            }),
            ("`counts[0].cpu`: bucket index 102", |r| {
                r.counts[0].cpu = Some(Sparse { index: vec![102], count: vec![1] });
            }),
            ("`counts[0].disk` holds 4 samples of 3", |r| {
                r.counts[0].disk = Some(Sparse { index: vec![9], count: vec![4] });
            }),
            ("17 business rules", |r| r.counts[0].business = vec![placed(1, 0); 17]),
            ("2 of 1 bad by `order_success`, in 3", |r| r.counts[0].business = vec![placed(1, 2)]),
            ("0 of 4 bad by `order_success`, in 3", |r| r.counts[0].business = vec![placed(4, 0)]),
            ("bad by `order_success`", |r| r.counts[0].business = vec![placed(1, 0); 2]),
        ];
        for (expected, spoil) in cases {
            let mut request = request();
            spoil(&mut request);
            let error = Report::try_from(request).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
