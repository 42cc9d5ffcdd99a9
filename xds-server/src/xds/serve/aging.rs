//! The lifetime of a stream. It ends at a maximum age, so that sidecars find replicas that were added later, and when the
//! server drains. Both are spread over time, because every ended stream reconnects at once.
//!
//! tonic can limit the age of connections, but without jitter, and it cuts responses in transit. This module ends streams,
//! preferably while no response is in transit.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Jitter of the maximum age, as a fraction in both directions: streams that were opened together end apart.
const JITTER: f64 = 0.2;
/// Longest wait of an expired stream until it is quiet. A client that answers nothing for this long is better served by a
/// new stream.
const EXPIRED_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait of a draining stream until it is quiet.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Limits of the lifetime of streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct AgeLimits {
    /// Maximum age, before jitter.
    pub(super) max_age: Duration,
    /// The period over which the streams end when the server drains.
    pub(super) drain_period: Duration,
}

impl Default for AgeLimits {
    /// Half an hour, as Istio: long compared to the cost of a new stream, short compared to the time in which a new replica
    /// should receive its share. Two seconds to drain are short for a restart, and limit the largest fleet to 4500
    /// reconnecting sidecars a second.
    fn default() -> Self {
        Self { max_age: Duration::from_secs(30 * 60), drain_period: Duration::from_secs(2) }
    }
}

/// The lifetime of one stream.
#[derive(Debug)]
pub(super) struct Lifetime {
    stage: Stage,
    /// The end of the stage.
    timer: Pin<Box<Sleep>>,
    limits: AgeLimits,
    quiet_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Active,
    /// Ends as soon as it is quiet.
    Ending,
    /// Ends now.
    Over,
}

impl Lifetime {
    /// The lifetime of a new stream. `random`, from 0 to 1, selects the jitter.
    pub(super) fn new(limits: AgeLimits, random: f64) -> Self {
        let end = Instant::now() + limits.max_age.mul_f64(1.0 - JITTER + 2.0 * JITTER * random);
        let timer = Box::pin(sleep_until(end));
        Self { stage: Stage::Active, timer, limits, quiet_timeout: EXPIRED_TIMEOUT }
    }

    /// Shortens the rest of the lifetime because the server drains. `random`, from 0 to 1, selects the end.
    pub(super) fn drain(&mut self, random: f64) {
        self.quiet_timeout = DRAIN_TIMEOUT;
        let left = match self.stage {
            Stage::Active => self.limits.drain_period.mul_f64(random),
            Stage::Ending | Stage::Over => self.quiet_timeout,
        };
        let end = self.timer.deadline().min(Instant::now() + left);
        self.timer.as_mut().reset(end);
    }

    /// Waits for the next stage. [`Self::is_over`] may change then. Cancel safe.
    pub(super) async fn next_stage(&mut self) {
        self.timer.as_mut().await;
        self.stage = match self.stage {
            Stage::Active => Stage::Ending,
            Stage::Ending | Stage::Over => Stage::Over,
        };
        self.timer.as_mut().reset(Instant::now() + self.quiet_timeout);
    }

    /// Whether the stream must end now. It is quiet if no response is in transit.
    pub(super) fn is_over(&self, is_quiet: bool) -> bool {
        match self.stage {
            Stage::Active => false,
            Stage::Ending => is_quiet,
            Stage::Over => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: AgeLimits =
        AgeLimits { max_age: Duration::from_secs(1000), drain_period: Duration::from_secs(2) };

    /// The time until a quiet stream ends.
    async fn time_left(mut lifetime: Lifetime) -> Duration {
        let start = Instant::now();
        while !lifetime.is_over(true) {
            lifetime.next_stage().await;
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn ages_have_a_jitter_of_a_fifth() {
        for (random, expected) in [(0.0, 800), (0.5, 1000), (0.999_999, 1200)] {
            let age = time_left(Lifetime::new(LIMITS, random)).await;
            let difference = age.as_secs_f64() - f64::from(expected);
            assert!(difference.abs() < 0.1, "{age:?} instead of {expected} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_stream_waits_until_it_is_quiet_for_a_limited_time() {
        let mut lifetime = Lifetime::new(LIMITS, 0.5);
        assert!(!lifetime.is_over(true), "it is not expired");
        lifetime.next_stage().await;
        assert!(!lifetime.is_over(false));
        assert!(lifetime.is_over(true));
        let expired = Instant::now();
        lifetime.next_stage().await;
        assert!(lifetime.is_over(false));
        assert_eq!(expired.elapsed().as_secs(), EXPIRED_TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn draining_spreads_the_ends_of_streams() {
        for (random, expected) in [(0.0, 0), (0.25, 500), (0.75, 1500)] {
            let mut lifetime = Lifetime::new(LIMITS, 0.5);
            lifetime.drain(random);
            let left = time_left(lifetime).await.as_millis();
            assert!((expected..expected + 10).contains(&left), "{left} instead of {expected} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn draining_extends_no_lifetime() {
        let mut lifetime = Lifetime::new(LIMITS, 0.0);
        tokio::time::advance(Duration::from_millis(799_900)).await;
        lifetime.drain(0.9);
        assert!(time_left(lifetime).await.as_millis() < 110);

        let mut busy = Lifetime::new(LIMITS, 0.0);
        busy.next_stage().await;
        busy.drain(0.9);
        let drained = Instant::now();
        busy.next_stage().await;
        assert!(busy.is_over(false));
        assert!(drained.elapsed().as_millis() < DRAIN_TIMEOUT.as_millis() + 10);
    }
}
