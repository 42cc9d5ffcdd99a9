//! What one version did in the time that is judged: sums that only grow.

use serde::{Deserialize, Serialize};
use tidegate_core::config::MAX_BUSINESS_RULES;

/// What one version did in the time that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Finished requests.
    pub requests: u64,
    /// Failed ones among them.
    pub errors: u64,
    /// Those certainly slower than the latency guardrail's three limits.
    pub slow: SlowRequests,
    /// How busy its instances said they were.
    #[serde(default, skip_serializing_if = "ResourceUse::is_nothing")]
    pub busy: ResourceUse,
    /// Its business metrics, in the order of the service's rules.
    #[serde(default, skip_serializing_if = "Business::is_nothing")]
    pub business: Business,
}

/// Requests certainly slower than each limit of a latency guardrail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SlowRequests {
    /// Slower than the warning limit.
    pub warning: u64,
    /// Slower than the critical limit.
    pub critical: u64,
    /// Slower than the rollback limit.
    pub rollback: u64,
}

/// Answers that came with a word of how busy the instance was, by resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResourceUse {
    /// CPU.
    pub cpu: ResourceSamples,
    /// Memory.
    pub memory: ResourceSamples,
    /// Disk.
    pub disk: ResourceSamples,
}

/// Samples of one resource, and those certainly above each limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResourceSamples {
    /// All.
    pub samples: u64,
    /// Above the warning limit.
    pub warning: u64,
    /// Above the critical limit.
    pub critical: u64,
}

/// One [`Share`] for each business rule of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Share>", into = "Vec<Share>")]
pub struct Business([Share; MAX_BUSINESS_RULES]);

/// Requests that a business rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// All.
    pub requests: u64,
    /// Those that did not end well.
    pub bad: u64,
}

impl Evidence {
    /// What came after `earlier`, of counts that only grow.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            slow: SlowRequests {
                warning: self.slow.warning.saturating_sub(earlier.slow.warning),
                critical: self.slow.critical.saturating_sub(earlier.slow.critical),
                rollback: self.slow.rollback.saturating_sub(earlier.slow.rollback),
            },
            busy: ResourceUse {
                cpu: self.busy.cpu.since(earlier.busy.cpu),
                memory: self.busy.memory.since(earlier.busy.memory),
                disk: self.busy.disk.since(earlier.busy.disk),
            },
            business: self.business.since(&earlier.business),
        }
    }
}

impl ResourceUse {
    fn is_nothing(&self) -> bool {
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
    /// The share of one rule, by its place among the service's.
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

    fn is_nothing(&self) -> bool {
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
    fn evidence_of_before_there_was_more_is_read_and_written_as_it_was() {
        let old = r#"{"requests":3,"errors":1,"slow":{"warning":1,"critical":0,"rollback":0}}"#;
        let read: Evidence = serde_json::from_str(old).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), old);
    }

    #[test]
    fn what_came_since_is_the_difference_of_every_count() {
        let share = |requests, bad| Share { requests, bad };
        let above = |samples, warning| ResourceSamples { samples, warning, critical: 0 };
        let earlier = Evidence {
            requests: 10,
            busy: ResourceUse { cpu: above(4, 1), ..ResourceUse::default() },
            business: [share(5, 1)].into_iter().collect(),
            ..Evidence::default()
        };
        let later = Evidence {
            requests: 25,
            busy: ResourceUse { cpu: above(9, 4), ..ResourceUse::default() },
            business: [share(12, 3), share(1, 0)].into_iter().collect(),
            ..Evidence::default()
        };
        let since = later.since(&earlier);
        assert_eq!((since.requests, since.busy.cpu), (15, above(5, 3)));
        assert_eq!((since.business.of(0), since.business.of(1)), (share(7, 2), share(1, 0)));
        assert_eq!(since.business.of(99), Share::default());
        let json = serde_json::to_string(&since).unwrap();
        assert_eq!(serde_json::from_str::<Evidence>(&json).unwrap(), since);
    }
}
