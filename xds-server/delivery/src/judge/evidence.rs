//! The counts of one version that the judge evaluates.

use serde::{Deserialize, Serialize};
use tidegate_core::config::MAX_BUSINESS_RULES;

use super::statistics::Units;
use super::statistics::two_by_two::SlowerRequests;

/// Cumulative counts of one version, or their difference between two times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Finished requests.
    pub requests: u64,
    /// Failed requests among them.
    pub errors: u64,
    /// Requests with HTTP 4xx among them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub client_errors: u64,
    /// Requests that the client gave up after longer than usual; not among `requests`. They count as failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unanswered: u64,
    /// Requests of clients that had failed less than five minutes before, and their failures: among `failures()`, and no
    /// independent evidence.
    #[serde(default, skip_serializing_if = "is_no_units")]
    pub repeated: Units,
    /// Slow requests, by limit of the latency guardrail.
    pub slow: SlowRequests,
    /// Requests that are slower than the quantiles of stable.
    #[serde(skip)]
    pub slower: SlowerRequests,
    /// Resource use reported by its instances.
    #[serde(default, skip_serializing_if = "ResourceUse::is_zero")]
    pub resource_use: ResourceUse,
    /// Its business metrics, in the order of the service's configuration.
    #[serde(default, skip_serializing_if = "Business::is_zero")]
    pub business: Business,
}

/// Requests above each limit of the latency guardrail. A request in the histogram bucket of the limit does not count. A
/// request in flight, or one that the client gave up, counts as soon as it has lasted longer than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SlowRequests {
    /// Slower than the warning limit.
    pub warning: u64,
    /// Slower than the critical limit.
    pub critical: u64,
    /// Slower than the rollback limit.
    pub rollback: u64,
    /// Requests in flight, and those that the client gave up.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unfinished: u64,
}

/// Samples of resource use in responses (ORCA).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResourceUse {
    /// CPU.
    pub cpu: ResourceSamples,
    /// Memory.
    pub memory: ResourceSamples,
    /// Disk.
    pub disk: ResourceSamples,
}

/// Samples of one resource, and the numbers above each limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResourceSamples {
    /// All samples.
    pub samples: u64,
    /// Above the warning limit.
    pub warning: u64,
    /// Above the critical limit.
    pub critical: u64,
}

/// One [`Share`] per business metric of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Share>", into = "Vec<Share>")]
pub struct Business([Share; MAX_BUSINESS_RULES]);

/// Requests that a business metric selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// All selected requests.
    pub requests: u64,
    /// Those without success.
    pub bad: u64,
}

impl Evidence {
    /// The difference to `earlier`. A count that is lower than before yields 0.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            client_errors: self.client_errors.saturating_sub(earlier.client_errors),
            unanswered: self.unanswered.saturating_sub(earlier.unanswered),
            repeated: Units {
                bad: self.repeated.bad.saturating_sub(earlier.repeated.bad),
                all: self.repeated.all.saturating_sub(earlier.repeated.all),
            },
            slower: self.slower.since(&earlier.slower),
            slow: SlowRequests {
                unfinished: self.slow.unfinished.saturating_sub(earlier.slow.unfinished),
                warning: self.slow.warning.saturating_sub(earlier.slow.warning),
                critical: self.slow.critical.saturating_sub(earlier.slow.critical),
                rollback: self.slow.rollback.saturating_sub(earlier.slow.rollback),
            },
            resource_use: ResourceUse {
                cpu: self.resource_use.cpu.since(earlier.resource_use.cpu),
                memory: self.resource_use.memory.since(earlier.resource_use.memory),
                disk: self.resource_use.disk.since(earlier.resource_use.disk),
            },
            business: self.business.since(&earlier.business),
        }
    }

    /// Failed and unanswered requests.
    #[must_use]
    pub fn failures(&self) -> Units {
        let all = self.requests.saturating_add(self.unanswered);
        Units { bad: self.errors.saturating_add(self.unanswered).min(all), all }
    }

    /// Clients that failed for the first time in five minutes, among the requests of clients that had not.
    #[must_use]
    pub fn first_failures(&self) -> Units {
        let Units { bad, all } = self.failures();
        let all = all.saturating_sub(self.repeated.all);
        Units { bad: bad.saturating_sub(self.repeated.bad).min(all), all }
    }

    /// Requests that the client failed.
    #[must_use]
    pub fn client_failures(&self) -> Units {
        Units { bad: self.client_errors.min(self.requests), all: self.requests }
    }

    /// Requests above a limit of the latency.
    pub(super) fn slow(&self, of: fn(&SlowRequests) -> u64) -> Units {
        let all = self.requests.saturating_add(self.slow.unfinished);
        Units { bad: of(&self.slow).min(all), all }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn is_no_units(units: &Units) -> bool {
    *units == Units::default()
}

impl ResourceUse {
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl ResourceSamples {
    const fn since(self, earlier: Self) -> Self {
        Self {
            samples: self.samples.saturating_sub(earlier.samples),
            warning: self.warning.saturating_sub(earlier.warning),
            critical: self.critical.saturating_sub(earlier.critical),
        }
    }
}

impl Business {
    /// The share of the metric with this index; zero for an unknown one.
    #[must_use]
    pub fn of(&self, rule: usize) -> Share {
        self.0.get(rule).copied().unwrap_or_default()
    }

    fn since(&self, earlier: &Self) -> Self {
        let mut rest = *self;
        for (share, earlier) in rest.0.iter_mut().zip(&earlier.0) {
            share.requests = share.requests.saturating_sub(earlier.requests);
            share.bad = share.bad.saturating_sub(earlier.bad);
        }
        rest
    }

    fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl FromIterator<Share> for Business {
    fn from_iter<T: IntoIterator<Item = Share>>(shares: T) -> Self {
        let mut business = Self::default();
        for (place, share) in business.0.iter_mut().zip(shares) {
            *place = share;
        }
        business
    }
}

impl From<Vec<Share>> for Business {
    fn from(shares: Vec<Share>) -> Self {
        shares.into_iter().collect()
    }
}

impl From<Business> for Vec<Share> {
    fn from(business: Business) -> Self {
        business.0.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_are_zero_are_omitted() {
        let json = r#"{"requests":3,"errors":1,"slow":{"warning":1,"critical":0,"rollback":0}}"#;
        let read: Evidence = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }

    #[test]
    fn more_bad_requests_than_requests_are_cut() {
        let odd = Evidence {
            requests: 3,
            errors: 9,
            client_errors: 9,
            unanswered: 2,
            slow: SlowRequests { warning: 9, ..SlowRequests::default() },
            ..Evidence::default()
        };
        assert_eq!(odd.failures(), Units { bad: 5, all: 5 });
        assert_eq!(odd.client_failures(), Units { bad: 3, all: 3 });
        assert_eq!(odd.slow(|slow| slow.warning), Units { bad: 3, all: 3 });
    }

    #[test]
    fn the_difference_is_taken_of_every_count() {
        let share = |requests, bad| Share { requests, bad };
        let above = |samples, warning| ResourceSamples { samples, warning, critical: 0 };
        let earlier = Evidence {
            requests: 10,
            resource_use: ResourceUse { cpu: above(4, 1), ..ResourceUse::default() },
            business: [share(5, 1)].into_iter().collect(),
            ..Evidence::default()
        };
        let later = Evidence {
            requests: 25,
            resource_use: ResourceUse { cpu: above(9, 4), ..ResourceUse::default() },
            business: [share(12, 3), share(1, 0)].into_iter().collect(),
            ..Evidence::default()
        };
        let since = later.since(&earlier);
        assert_eq!((since.requests, since.resource_use.cpu), (15, above(5, 3)));
        assert_eq!((since.business.of(0), since.business.of(1)), (share(7, 2), share(1, 0)));
        assert_eq!(since.business.of(99), Share::default());
        let json = serde_json::to_string(&since).unwrap();
        assert_eq!(serde_json::from_str::<Evidence>(&json).unwrap(), since);
    }
}
