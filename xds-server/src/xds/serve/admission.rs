//! Admission: limits how many new streams receive their first configuration at a time.
//!
//! A new stream needs many pushes. When a whole fleet reconnects, those would delay a rollback for the streams that are
//! already served. New streams wait in the order of arrival, each as a parked task; the stream quota bounds their number.
//! The limit follows the scheduling latency of tasks, by additive increase and multiplicative decrease
//! ([`ConcurrencyLimit`]).
//!
//! Streams are not rejected with a retry hint: Envoy and gRPC use only their own backoff on xDS streams (`tidegate envoy
//! bootstrap` sets it), and a gRPC client whose stream ends before the first response fails its calls.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

/// Scheduling latency above which the limit decreases. A push passes through a few tasks and must reach the last sidecar
/// within the half second in which a bad version is rolled back.
const MAX_LATENCY: Duration = Duration::from_millis(50);
/// The limit at the start: with ten services about 25 ms of CPU time.
const INITIAL: usize = 64;
/// The lowest limit. With [`MAX_HOLD`] it admits at least 64 streams a second.
const MIN: usize = 16;
/// The highest limit.
const MAX: usize = 512;
/// Longest time that a stream counts as new. One that takes longer waits for its own clusters or client, not for CPU time.
const MAX_HOLD: Duration = Duration::from_millis(250);

/// The number of new streams to serve at a time.
#[derive(Debug)]
struct ConcurrencyLimit {
    limit: usize,
    /// Measurements of streams that were admitted under a higher limit. Their latency does not decrease it again.
    outdated: usize,
}

impl ConcurrencyLimit {
    /// Increases the limit by one if latency is low and streams are waiting; halves it if latency is high.
    fn update(&mut self, latency: Duration, has_waiting: bool) {
        let is_outdated = self.outdated > 0;
        self.outdated = self.outdated.saturating_sub(1);
        if latency <= MAX_LATENCY {
            self.limit = (self.limit + usize::from(has_waiting)).min(MAX);
        } else if !is_outdated {
            self.outdated = self.limit;
            self.limit = (self.limit / 2).max(MIN);
        }
    }
}

/// Admits new streams.
#[derive(Debug)]
pub(super) struct Admission {
    semaphore: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: ConcurrencyLimit,
    /// Permits of the semaphore, acquired or free. They follow the limit; downwards as permits are released.
    permits: usize,
}

/// The server drains: no stream is admitted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed;

/// The admission of one stream. Released when it is dropped, or after [`MAX_HOLD`].
#[derive(Debug)]
pub(super) struct Permit {
    _released: oneshot::Sender<()>,
}

impl Default for Admission {
    fn default() -> Self {
        Self::with_limit(INITIAL)
    }
}

impl Admission {
    pub(super) fn with_limit(limit: usize) -> Self {
        let state = State { limit: ConcurrencyLimit { limit, outdated: 0 }, permits: limit };
        Self { semaphore: Arc::new(Semaphore::new(limit)), state: Mutex::new(state) }
    }

    /// A permit, if one is free.
    pub(super) fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        Arc::clone(&self.semaphore).try_acquire_owned().ok().map(|permit| self.hold(permit))
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// If the server drains.
    pub(super) async fn acquire(self: &Arc<Self>) -> Result<Permit, Closed> {
        let permit = Arc::clone(&self.semaphore).acquire_owned().await.map_err(|_| Closed)?;
        Ok(self.hold(permit))
    }

    /// Measures the scheduling latency with the current task, and updates the limit.
    pub(super) async fn measure(&self) {
        let start = Instant::now();
        yield_now().await;
        self.update(start.elapsed());
    }

    /// Ends all waits with [`Closed`].
    pub(super) fn close(&self) {
        self.semaphore.close();
    }

    fn update(&self, latency: Duration) {
        let has_waiting = self.semaphore.available_permits() == 0;
        let mut state = self.state.lock();
        state.limit.update(latency, has_waiting);
        let more = state.limit.limit.saturating_sub(state.permits);
        state.permits += more;
        self.semaphore.add_permits(more);
    }

    /// Holds a permit until its stream releases it, at most for [`MAX_HOLD`].
    fn hold(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Permit {
        let (sender, released) = oneshot::channel::<()>();
        let admission = Arc::clone(self);
        tokio::spawn(async move {
            // Both outcomes release the permit.
            let _ = timeout(MAX_HOLD, released).await;
            admission.release(permit);
        });
        Permit { _released: sender }
    }

    fn release(&self, permit: OwnedSemaphorePermit) {
        let mut state = self.state.lock();
        if state.permits > state.limit.limit {
            state.permits -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOW: Duration = Duration::from_millis(1);
    const HIGH: Duration = Duration::from_millis(400);

    fn limit(limit: usize) -> ConcurrencyLimit {
        ConcurrencyLimit { limit, outdated: 0 }
    }

    #[test]
    fn high_latency_halves_the_limit_once_per_generation() {
        let mut limit = limit(400);
        limit.update(HIGH, true);
        assert_eq!(limit.limit, 200);
        for _ in 0..400 {
            limit.update(HIGH, true);
        }
        assert_eq!(limit.limit, 200, "those streams were admitted before");
        limit.update(HIGH, true);
        assert_eq!(limit.limit, 100);
    }

    #[test]
    fn low_latency_raises_the_limit_while_streams_wait() {
        let mut limit = limit(INITIAL);
        for _ in 0..INITIAL {
            limit.update(LOW, true);
        }
        assert_eq!(limit.limit, 2 * INITIAL);
        limit.update(LOW, false);
        assert_eq!(limit.limit, 2 * INITIAL, "no stream waits");
    }

    proptest! {
        #[test]
        fn the_limit_stays_in_its_range_and_recovers(
            latencies in proptest::collection::vec((0_u64..200, proptest::bool::ANY), 0..2_000),
        ) {
            let mut limit = limit(INITIAL);
            for (latency, has_waiting) in latencies {
                limit.update(Duration::from_millis(latency), has_waiting);
                prop_assert!((MIN..=MAX).contains(&limit.limit));
            }
            for _ in 0..MAX {
                limit.update(LOW, true);
            }
            prop_assert_eq!(limit.limit, MAX);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn permits_are_granted_in_the_order_of_arrival() {
        let admission = Arc::new(Admission::with_limit(1));
        let first = admission.try_acquire().unwrap();
        assert!(admission.try_acquire().is_none());
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiting: Vec<_> = (0..5)
            .map(|stream| {
                let (admission, order) = (Arc::clone(&admission), Arc::clone(&order));
                tokio::spawn(async move {
                    let permit = admission.acquire().await.unwrap();
                    order.lock().push(stream);
                    drop(permit);
                })
            })
            .collect();
        yield_now().await;
        assert!(order.lock().is_empty());
        drop(first);
        for stream in waiting {
            stream.await.unwrap();
        }
        assert_eq!(*order.lock(), [0, 1, 2, 3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_is_released_after_its_longest_time() {
        let admission = Arc::new(Admission::with_limit(1));
        let slow = admission.try_acquire().unwrap();
        let start = Instant::now();
        admission.acquire().await.unwrap();
        assert!(start.elapsed() >= MAX_HOLD);
        drop(slow);
    }

    #[tokio::test(start_paused = true)]
    async fn permits_follow_the_limit() {
        let admission = Arc::new(Admission::with_limit(64));
        let permits: Vec<_> = (0..64).map(|_| admission.try_acquire().unwrap()).collect();
        admission.update(LOW);
        let more = admission.try_acquire();
        assert!(more.is_some() && admission.try_acquire().is_none(), "one more than before");
        admission.update(HIGH);
        drop((permits, more));
        tokio::time::sleep(2 * MAX_HOLD).await;
        assert_eq!(admission.semaphore.available_permits(), 32);
    }

    #[tokio::test]
    async fn closing_ends_all_waits() {
        let admission = Arc::new(Admission::with_limit(1));
        let _permit = admission.try_acquire().unwrap();
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.acquire().await.map(drop) }
        });
        yield_now().await;
        admission.close();
        assert_eq!(waiting.await.unwrap(), Err(Closed));
    }
}
