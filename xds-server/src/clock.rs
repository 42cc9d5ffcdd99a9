//! The two clocks of the server. Both are read here and passed on as values, so decisions can be replayed.
//!
//! [`Clock::now`] is the *journal time*: the wall time at the start, advanced by the monotonic clock. It never decreases.
//! Records carry it, and every duration is a difference of two journal times: step times, rollback windows, report gaps.
//! A stepped system clock and a suspended machine do not change these durations.
//!
//! [`Clock::wall`] is the system clock, read again at each call. Everything that refers to the calendar, or that another
//! system compares with its own clock, uses it: freeze windows, approval expiry, `$flagd.timestamp`, TSIG, webhook
//! signatures. rustls reads the system clock itself when it verifies certificates.
//!
//! Wake-ups are tokio timers, which are monotonic. The controller evaluates every 100 ms, so a step of the system clock and
//! the end of a suspend take effect within that time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidegate_delivery::units::Timestamp;

type Read = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A change of the skew from which on it is logged again.
const SKEW_LOG_THRESHOLD: Duration = Duration::from_secs(10);

/// Journal time and wall time. Clones share both.
#[derive(Clone)]
pub struct Clock {
    monotonic: Read,
    wall: Read,
    /// Added to `monotonic`, in milliseconds.
    offset: Arc<AtomicU64>,
}

/// Both times, read together for one decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// As [`Clock::now`].
    pub now: Timestamp,
    /// As [`Clock::wall`].
    pub wall: Timestamp,
}

/// The difference between journal time and wall time. Times in the journal are off by it; durations are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    /// Journal time is later: the system clock was set back, or an earlier run of the server recorded a later time.
    Ahead(Duration),
    /// Journal time is earlier: since the start the system clock was set forward, or the machine was suspended.
    Behind(Duration),
}

/// Logs the skew when it changes.
#[derive(Debug, Default)]
pub struct SkewLog {
    logged: Option<Skew>,
}

impl Clock {
    /// The clocks of the machine.
    #[must_use]
    pub fn system() -> Self {
        let started = Instant::now();
        let start = system_time();
        Self::of(move || start.after(started.elapsed()), system_time)
    }

    /// One source for journal time and wall time. It must not run backwards.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let read: Read = Arc::new(read);
        Self { wall: Arc::clone(&read), monotonic: read, offset: Arc::default() }
    }

    /// A source for each. `monotonic` must not run backwards; `wall` may.
    pub fn of(
        monotonic: impl Fn() -> Timestamp + Send + Sync + 'static,
        wall: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        Self { monotonic: Arc::new(monotonic), wall: Arc::new(wall), offset: Arc::default() }
    }

    /// Advances journal time to at least `time`, the newest record of earlier runs of the server.
    pub fn not_before(&self, time: Timestamp) {
        let by = u64::try_from(time.since(self.now()).as_millis()).unwrap_or(u64::MAX);
        self.offset.fetch_add(by, Ordering::Relaxed);
    }

    /// Journal time: for records and durations.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.monotonic)().after(Duration::from_millis(self.offset.load(Ordering::Relaxed)))
    }

    /// Wall time: for the calendar and for other systems. It may jump in both directions.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        (self.wall)()
    }

    /// Both times.
    #[must_use]
    pub fn times(&self) -> Times {
        Times { now: self.now(), wall: self.wall() }
    }

    /// The difference between both, now.
    #[must_use]
    pub fn skew(&self) -> Skew {
        let Times { now, wall } = self.times();
        if now < wall { Skew::Behind(wall.since(now)) } else { Skew::Ahead(now.since(wall)) }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
fn system_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock set to before 1970 reads as 1970.
    Timestamp::default().after(since.unwrap_or_default())
}

impl Skew {
    /// In seconds; negative if journal time is behind.
    #[must_use]
    pub fn seconds(self) -> f64 {
        match self {
            Self::Ahead(by) => by.as_secs_f64(),
            Self::Behind(by) => -by.as_secs_f64(),
        }
    }
}

impl SkewLog {
    /// Logs a skew that differs by at least [`SKEW_LOG_THRESHOLD`] from the one logged before.
    pub fn update(&mut self, skew: Skew) {
        let logged = self.logged.unwrap_or(Skew::Ahead(Duration::ZERO)).seconds();
        if (skew.seconds() - logged).abs() < SKEW_LOG_THRESHOLD.as_secs_f64() {
            return;
        }
        self.logged = Some(skew);
        tracing::warn!(
            seconds = skew.seconds(),
            "journal time differs from the system clock: recorded times are off by the difference, durations are not; \
             a restart corrects journal time that is behind"
        );
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("now", &self.now()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock whose monotonic and wall readings are set by the test, both at 100 ms.
    fn stepped() -> (Arc<AtomicU64>, Arc<AtomicU64>, Clock) {
        let (monotonic, wall) = (Arc::new(AtomicU64::new(100)), Arc::new(AtomicU64::new(100)));
        let read = |of: &Arc<AtomicU64>| {
            let of = Arc::clone(of);
            move || Timestamp(of.load(Ordering::Relaxed))
        };
        let clock = Clock::of(read(&monotonic), read(&wall));
        (monotonic, wall, clock)
    }

    #[test]
    fn journal_time_continues_from_the_newest_record() {
        let (monotonic, _, clock) = stepped();
        let copy = clock.clone();
        clock.not_before(Timestamp(50));
        assert_eq!(clock.now(), Timestamp(100));
        clock.not_before(Timestamp(200));
        assert_eq!(clock.now(), Timestamp(200));
        monotonic.store(101, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp(201), "it advances at once");
        assert_eq!(copy.now(), Timestamp(201), "clones share the offset");
        assert_eq!(clock.wall(), Timestamp(100), "the system clock is not changed by it");
    }

    #[test]
    fn a_stepped_system_clock_changes_wall_time_only() {
        let (monotonic, wall, clock) = stepped();
        assert_eq!(clock.skew(), Skew::Ahead(Duration::ZERO));
        wall.store(1_000_000, Ordering::Relaxed);
        assert_eq!((clock.now(), clock.wall()), (Timestamp(100), Timestamp(1_000_000)));
        assert_eq!(clock.skew(), Skew::Behind(Duration::from_millis(999_900)));
        wall.store(40, Ordering::Relaxed);
        monotonic.store(140, Ordering::Relaxed);
        assert_eq!((clock.now(), clock.wall()), (Timestamp(140), Timestamp(40)));
        assert_eq!(clock.skew(), Skew::Ahead(Duration::from_millis(100)));
    }

    #[test]
    fn a_skew_is_logged_once_and_again_when_it_changes() {
        let ahead = |seconds| Skew::Ahead(Duration::from_secs(seconds));
        let mut log = SkewLog::default();
        for (skew, logged) in [
            (ahead(9), None),
            (ahead(60), Some(ahead(60))),
            (ahead(65), Some(ahead(60))),
            (ahead(3), Some(ahead(3))),
        ] {
            log.update(skew);
            assert_eq!(log.logged, logged, "{skew:?}");
        }
    }
}
