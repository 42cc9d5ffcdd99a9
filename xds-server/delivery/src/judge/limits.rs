//! The limits of the guardrails as shares of what counts against them.

use std::time::Duration;

use super::guardrails::{ClientErrors, Guardrails, Latency, Resources};
use super::statistics::Units;
use super::{Evidence, Guardrail, Level, Limit, ResourceSamples, ResourceUse, SlowRequests};
use crate::units::Ppm;

/// One limit.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) guardrail: Guardrail,
    pub(super) level: Level,
    /// The greatest share of bad ones.
    pub(super) threshold: Ppm,
    pub(super) count: Count,
    pub(super) configured: Limit,
}

/// Selects the samples of one resource.
type Resource = fn(&ResourceUse) -> ResourceSamples;

/// What counts against a limit, and out of how many.
#[derive(Debug, Clone, Copy)]
pub(super) enum Count {
    /// Failed requests; what is judged are the first failures of clients.
    Failures,
    ClientFailures,
    Slow(fn(&SlowRequests) -> u64),
    ResourceUse(Resource, fn(ResourceSamples) -> u64),
    Business(usize),
}

impl Count {
    /// What is judged: independent units, as far as the counts tell them apart.
    pub(super) fn judged(self, evidence: &Evidence) -> Units {
        match self {
            Self::Failures => evidence.first_failures(),
            _ => self.observed(evidence),
        }
    }

    /// What an operator sees.
    pub(super) fn observed(self, evidence: &Evidence) -> Units {
        let (bad, all) = match self {
            Self::Failures => return evidence.failures(),
            Self::ClientFailures => return evidence.client_failures(),
            Self::Slow(of) => return evidence.slow(of),
            Self::ResourceUse(resource, bad) => {
                let above = resource(&evidence.resource_use);
                (bad(above), above.samples)
            }
            Self::Business(rule) => {
                let share = evidence.business.of(rule);
                (share.bad, share.requests)
            }
        };
        Units { bad: bad.min(all), all }
    }
}

impl Rule {
    /// Resource use has current values only; all others have evidence since the release started.
    pub(super) const fn is_of_requests(&self) -> bool {
        !matches!(self.count, Count::ResourceUse(..))
    }
}

/// All limits; those of one guardrail follow each other, worst first. The same guardrails have the same order.
pub(super) fn rules(guardrails: &Guardrails) -> Vec<Rule> {
    let errors = |level, threshold: Ppm| Rule {
        guardrail: Guardrail::ErrorRate,
        level,
        threshold,
        count: Count::Failures,
        configured: Limit::Share { max_ppm: threshold },
    };
    let client_errors = |(level, threshold)| Rule {
        guardrail: Guardrail::ClientErrors,
        count: Count::ClientFailures,
        ..errors(level, threshold)
    };
    let Latency { quantile, warning, critical, rollback, .. } = guardrails.latency;
    // The p-quantile is above a limit exactly when more than 1 − p of the requests are.
    let slow = |level, limit: Duration, bad| Rule {
        guardrail: Guardrail::Latency,
        level,
        threshold: quantile.complement(),
        count: Count::Slow(bad),
        configured: Limit::Latency { quantile_ppm: quantile, max: limit },
    };
    let mut limits = vec![
        errors(Level::Rollback, guardrails.error_rate.rollback),
        errors(Level::Critical, guardrails.error_rate.alert),
        slow(Level::Rollback, rollback, |slow| slow.rollback),
        slow(Level::Critical, critical, |slow| slow.critical),
        slow(Level::Warning, warning, |slow| slow.warning),
    ];
    let ClientErrors { alert, rollback, .. } = guardrails.client_errors;
    let optional =
        [rollback.map(|it| (Level::Rollback, it)), alert.map(|it| (Level::Critical, it))];
    limits.extend(optional.into_iter().flatten().map(client_errors));
    // The record has a person decide about business metrics and resources: an alert holds the release, and nothing more.
    limits.extend(guardrails.business.iter().enumerate().map(|(place, metric)| Rule {
        guardrail: Guardrail::Business(metric.name.clone()),
        level: Level::Critical,
        threshold: metric.at_least.complement(),
        count: Count::Business(place),
        configured: Limit::Share { max_ppm: metric.at_least.complement() },
    }));
    let resources: [(_, Resource); 3] = [
        (Guardrail::Cpu, |busy| busy.cpu),
        (Guardrail::Memory, |busy| busy.memory),
        (Guardrail::Disk, |busy| busy.disk),
    ];
    for (guardrail, of) in resources {
        let Resources { quantile, warning, critical } = guardrails.resources;
        let busy = |level, limit: Ppm, bad| Rule {
            guardrail: guardrail.clone(),
            level,
            threshold: quantile.complement(),
            count: Count::ResourceUse(of, bad),
            configured: Limit::ResourceUse { quantile_ppm: quantile, max_ppm: limit },
        };
        limits.push(busy(Level::Critical, critical, |above| above.critical));
        limits.push(busy(Level::Warning, warning, |above| above.warning));
    }
    limits
}
