//! Sums of reported counts of one version, and the evidence in them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tidegate_core::histogram::Histogram;
use tidegate_core::utilization::UtilizationHistogram;

use super::clients::KnownClients;
use super::usual::Usual;
use tidegate_delivery::judge::guardrails::{Guardrails, Latency, Resources};
use tidegate_delivery::judge::statistics::Units;
use tidegate_delivery::judge::{Evidence, ResourceSamples, ResourceUse, Share, SlowRequests};
use tidegate_delivery::names::MetricName;

/// Requests of one version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Finished requests, including failed ones.
    pub requests: u64,
    /// Requests that the version failed: HTTP 5xx, resets, gRPC errors.
    pub errors: u64,
    /// Requests with HTTP 4xx.
    pub client_errors: u64,
    /// Requests cancelled by the client; not part of `requests`.
    pub cancelled: u64,
    /// How long the clients waited for the responses.
    #[serde(skip)]
    pub latency: Histogram,
    /// How long the clients of cancelled requests had waited.
    #[serde(skip)]
    pub abandoned: Histogram,
    /// How long the clients of requests in flight have waited until now.
    #[serde(skip)]
    pub waiting: Histogram,
    /// Requests of clients that had failed less than five minutes before, and the errors among them.
    #[serde(skip)]
    pub repeated: Units,
    /// How long such clients had waited, of cancelled requests.
    #[serde(skip)]
    pub repeated_abandoned: Histogram,
    /// Unanswered requests of such clients that are not in `repeated_abandoned`: another filter instance had reported the
    /// client.
    #[serde(skip)]
    pub repeated_unanswered: u64,
    /// Utilization that the instances reported in ORCA headers.
    #[serde(skip)]
    pub utilization: Utilization,
    /// Requests per business metric.
    #[serde(skip)]
    pub business: BTreeMap<MetricName, Share>,
}

/// Utilization by resource.
#[expect(missing_docs, reason = "named by resource")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Utilization {
    pub cpu: UtilizationHistogram,
    pub memory: UtilizationHistogram,
    pub disk: UtilizationHistogram,
}

impl Counts {
    /// Adds counts of finished requests, and of business metrics only the declared ones.
    pub(super) fn add(&mut self, other: &Self, rules: &[MetricName]) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.client_errors = self.client_errors.saturating_add(other.client_errors);
        self.cancelled = self.cancelled.saturating_add(other.cancelled);
        self.latency.merge(&other.latency);
        self.abandoned.merge(&other.abandoned);
        self.repeated = self.repeated.plus(other.repeated);
        self.repeated_abandoned.merge(&other.repeated_abandoned);
        self.utilization.cpu.merge(&other.utilization.cpu);
        self.utilization.memory.merge(&other.utilization.memory);
        self.utilization.disk.merge(&other.utilization.disk);
        for rule in rules {
            if let Some(counted) = other.business.get(rule) {
                let share = self.business.entry(rule.clone()).or_default();
                share.requests = share.requests.saturating_add(counted.requests);
                share.bad = share.bad.saturating_add(counted.bad);
            }
        }
    }

    /// Failed requests, those included that a client gave up after `limit`.
    #[must_use]
    pub fn failures(&self, limit: Duration) -> Units {
        let unanswered = self.abandoned.count_above(limit);
        let all = self.requests.saturating_add(unanswered);
        Units { bad: self.errors.saturating_add(unanswered).min(all), all }
    }

    /// Likewise, without the requests of clients that had failed.
    pub(super) fn first_failures(&self, limit: Duration) -> Units {
        let (failures, repeated) = (self.failures(limit), self.repeated(limit));
        let all = failures.all.saturating_sub(repeated.all);
        Units { bad: failures.bad.saturating_sub(repeated.bad).min(all), all }
    }

    /// First failures in `report` of clients that are `known` become repeated ones. Which of the abandoned requests are
    /// theirs is not reported: as many as possible are.
    pub(super) fn repeat(&mut self, report: &Self, known: KnownClients, limit: Duration) {
        let KnownClients { errors, given_up } = known;
        self.repeated = self.repeated.plus(Units { bad: errors, all: errors });
        let first = report
            .abandoned
            .count_above(limit)
            .saturating_sub(report.repeated_abandoned.count_above(limit));
        self.repeated_unanswered = self.repeated_unanswered.saturating_add(given_up.min(first));
    }

    /// Requests of clients that had failed, and their failures, those included that a client gave up after `limit`.
    pub(super) fn repeated(&self, limit: Duration) -> Units {
        let unanswered = self.repeated_abandoned.count_above(limit);
        let unanswered = unanswered.saturating_add(self.repeated_unanswered);
        self.repeated.plus(Units { bad: unanswered, all: unanswered })
    }

    /// The wait of every request: of those without a response, until now or until the client left. A request never becomes
    /// faster in it.
    #[must_use]
    pub fn waits(&self) -> Histogram {
        let mut waits = self.latency.clone();
        waits.merge(&self.abandoned);
        waits.merge(&self.waiting);
        waits
    }

    /// These counts by the limits of guardrails and by what is usual. More bad requests than requests cannot be, and are cut.
    #[must_use]
    pub fn evidence(&self, guardrails: &Guardrails, usual: &Usual) -> Evidence {
        let Latency { warning, critical, rollback, .. } = guardrails.latency;
        let rules = guardrails.business.iter();
        let waits = self.waits();
        let all = waits.total();
        let errors = self.errors.min(self.requests);
        Evidence {
            requests: self.requests,
            errors,
            client_errors: self.client_errors.min(self.requests.saturating_sub(errors)),
            unanswered: self.abandoned.count_above(usual.answer),
            repeated: self.repeated(usual.answer),
            slow: SlowRequests {
                warning: waits.count_above(warning),
                critical: waits.count_above(critical),
                rollback: waits.count_above(rollback),
                unfinished: all.saturating_sub(self.requests),
            },
            slower: usual.slower(&waits),
            resource_use: ResourceUse {
                cpu: above(&self.utilization.cpu, &guardrails.resources),
                memory: above(&self.utilization.memory, &guardrails.resources),
                disk: above(&self.utilization.disk, &guardrails.resources),
            },
            business: rules
                .map(|rule| self.business.get(&rule.name).copied().unwrap_or_default())
                .collect(),
        }
    }
}

fn above(utilization: &UtilizationHistogram, limits: &Resources) -> ResourceSamples {
    ResourceSamples {
        samples: utilization.total(),
        warning: utilization.count_above(limits.warning.parts()),
        critical: utilization.count_above(limits.critical.parts()),
    }
}
