//! How long a rollback takes from its decision until every connected sidecar of the service has acknowledged it.

use std::time::Duration;

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::Sidecars;
use tidegate_delivery::names::ServiceName;
use tidegate_delivery::units::Timestamp;

/// Most rollbacks whose acknowledgement is awaited.
const MAX_PENDING: usize = 1000;
/// How long it is awaited. A sidecar that does not answer for longer is shown as not synced.
const MAX_TIME: Duration = Duration::from_secs(600);

/// The times of all rollbacks since the server started. Clones share the values.
#[derive(Debug, Clone)]
pub struct RollbackTimes(Histogram);

impl Default for RollbackTimes {
    fn default() -> Self {
        // From 10 ms to 5 minutes.
        Self(Histogram::new(exponential_buckets(0.01, 2.0, 16)))
    }
}

impl RollbackTimes {
    /// Adds the metric to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Time from the decision of a rollback until every connected sidecar has acknowledged it";
        registry.register("rollback_seconds", help, self.0.clone());
    }
}

/// The rollbacks that not every sidecar has acknowledged.
#[derive(Debug)]
pub(super) struct PendingRollbacks {
    times: RollbackTimes,
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    service: ServiceName,
    /// The publication with the rollback.
    serial: u64,
    decided_at: Timestamp,
}

impl PendingRollbacks {
    pub(super) const fn new(times: RollbackTimes) -> Self {
        Self { times, pending: Vec::new() }
    }

    /// A rollback was published.
    pub(super) fn begin(&mut self, service: ServiceName, serial: u64, decided_at: Timestamp) {
        if self.pending.len() < MAX_PENDING {
            self.pending.push(Pending { service, serial, decided_at });
        }
    }

    /// Records the rollbacks that every connected sidecar has acknowledged. Without sidecars there is nothing to record.
    pub(super) fn update(&mut self, sidecars: &dyn Sidecars, now: Timestamp) {
        let Self { times, pending } = self;
        pending.retain(|it| {
            let convergence = sidecars.convergence(it.serial, &it.service);
            let time = now.since(it.decided_at);
            let is_acked = convergence.acked == convergence.connected;
            if is_acked && convergence.connected > 0 {
                times.0.observe(time.as_secs_f64());
            }
            !is_acked && time < MAX_TIME
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_delivery::fixtures::name;
    use tidegate_delivery::model::progress::Convergence;
    use tidegate_delivery::model::state::State;
    use tidegate_xds::mesh::Mesh;

    /// Three sidecars, of which some have acknowledged the publication 7.
    struct Acked(u32);

    impl Sidecars for Acked {
        fn publish(&mut self, _: &Mesh, _: &State) -> u64 {
            7
        }

        fn convergence(&self, serial: u64, service: &ServiceName) -> Convergence {
            assert_eq!((serial, service.as_str()), (7, "order"));
            Convergence { acked: self.0, connected: 3, ..Convergence::default() }
        }

        fn time_since_gap(&self, _: &ServiceName) -> Duration {
            Duration::ZERO
        }
    }

    fn exported(times: &RollbackTimes) -> String {
        let mut registry = Registry::default();
        times.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn a_rollback_ends_with_the_acknowledgement_of_the_last_sidecar() {
        let times = RollbackTimes::default();
        let mut rollbacks = PendingRollbacks::new(times.clone());
        rollbacks.begin(name("order"), 7, Timestamp(1_000));
        rollbacks.update(&Acked(2), Timestamp(1_100));
        assert!(exported(&times).contains("rollback_seconds_count 0"), "{}", exported(&times));
        for now in [1_250, 9_000] {
            rollbacks.update(&Acked(3), Timestamp(now));
            let text = exported(&times);
            assert!(text.contains("rollback_seconds_count 1"), "{text}");
            assert!(text.contains("rollback_seconds_sum 0.25"), "{text}");
        }
    }

    #[test]
    fn a_sidecar_that_does_not_answer_is_not_awaited_for_ever() {
        let times = RollbackTimes::default();
        let mut rollbacks = PendingRollbacks::new(times.clone());
        rollbacks.begin(name("order"), 7, Timestamp(0));
        rollbacks.update(&Acked(2), Timestamp(600_000));
        assert!(rollbacks.pending.is_empty());
        assert!(exported(&times).contains("rollback_seconds_count 0"), "{}", exported(&times));
    }
}
