//! Quotas: a limit in total, and a limit for each client, so that one client cannot use up the total.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use prometheus_client::metrics::gauge::Gauge;

use crate::auth::peer::ClientKey;

/// A gauge of units in use.
pub type UsageGauge = Gauge<u64, AtomicU64>;

/// A limit in total and for each client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// In total.
    pub total: usize,
    /// For each client.
    pub per_client: usize,
}

/// A quota is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuotaExceeded {
    /// In total.
    #[error("the limit of {0} in total is reached")]
    Total(usize),
    /// By this client.
    #[error("the limit of {0} per client is reached")]
    Client(usize),
}

/// A number of units that clients acquire and release.
#[derive(Debug)]
pub struct Quota {
    limit: Limit,
    /// Also the metric.
    in_use: UsageGauge,
    by_client: DashMap<ClientKey, usize>,
}

impl Quota {
    /// A quota of which nothing is in use.
    #[must_use]
    pub fn new(limit: Limit) -> Arc<Self> {
        Arc::new(Self { limit, in_use: Gauge::default(), by_client: DashMap::new() })
    }

    /// Acquires one unit. Dropping the permit releases it.
    ///
    /// # Errors
    /// If the limit is reached, in total or for this client.
    pub fn acquire(self: &Arc<Self>, client: ClientKey) -> Result<QuotaPermit, QuotaExceeded> {
        let one_more = |used: u64| (used < self.limit.total as u64).then_some(used + 1);
        self.in_use
            .inner()
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .map_err(|_| QuotaExceeded::Total(self.limit.total))?;
        let mut of_client = self.by_client.entry(client.clone()).or_default();
        *of_client += 1;
        let exceeds = *of_client > self.limit.per_client;
        drop(of_client);
        // Both counts include this unit: dropping the permit decrements both, also on the error path.
        let permit = QuotaPermit { quota: Arc::clone(self), client };
        if exceeds { Err(QuotaExceeded::Client(self.limit.per_client)) } else { Ok(permit) }
    }

    /// The number of units in use.
    #[must_use]
    pub fn in_use(&self) -> u64 {
        self.in_use.get()
    }

    /// The metric of the units in use.
    #[must_use]
    pub fn gauge(&self) -> UsageGauge {
        self.in_use.clone()
    }
}

/// One unit in use.
#[derive(Debug)]
pub struct QuotaPermit {
    quota: Arc<Quota>,
    client: ClientKey,
}

impl Drop for QuotaPermit {
    fn drop(&mut self) {
        if let Entry::Occupied(mut of_client) = self.quota.by_client.entry(self.client.clone()) {
            *of_client.get_mut() -= 1;
            if *of_client.get() == 0 {
                of_client.remove();
            }
        }
        self.quota.in_use.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> ClientKey {
        ClientKey::from_address(address.parse().unwrap())
    }

    #[test]
    fn one_client_cannot_use_up_the_total() {
        let quota = Quota::new(Limit { total: 3, per_client: 2 });
        let first = quota.acquire(at("10.0.0.1")).unwrap();
        let _second = quota.acquire(at("10.0.0.1")).unwrap();
        assert_eq!(quota.acquire(at("10.0.0.1")).unwrap_err(), QuotaExceeded::Client(2));
        let _other = quota.acquire(at("10.0.0.2")).unwrap();
        assert_eq!(quota.acquire(at("10.0.0.3")).unwrap_err(), QuotaExceeded::Total(3));
        drop(first);
        assert_eq!(quota.in_use(), 2);
        let _again = quota.acquire(at("10.0.0.1")).unwrap();
    }

    #[test]
    fn a_client_without_permits_has_no_entry() {
        let quota = Quota::new(Limit { total: 10, per_client: 1 });
        let permit = quota.acquire(at("::1")).unwrap();
        quota.acquire(at("::1")).unwrap_err();
        drop(permit);
        assert_eq!((quota.in_use(), quota.by_client.len()), (0, 0));
    }
}
