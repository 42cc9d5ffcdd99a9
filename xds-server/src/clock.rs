//! Time, read in one place and passed on as a value, so that decisions can be replayed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidegate_delivery::units::Timestamp;

type Read = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// From this on it is worth a word that the clock and the machine's disagree.
const WORTH_A_WORD: Duration = Duration::from_secs(10);

/// A clock that never runs backwards. Its copies show the same time.
#[derive(Clone)]
pub struct Clock {
    read: Read,
    /// What the machine says, whatever was done to it.
    wall: Read,
    /// In milliseconds.
    ahead: Arc<AtomicU64>,
}

/// How far the clock and the machine's are apart. Durations are measured by the former and do not
/// feel it; but the times in the journal are off by as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    /// The clock shows a later time: the machine's was set back, or an earlier run saw a later one.
    Ahead(Duration),
    /// It shows an earlier time: the machine's was set forward since the start.
    Behind(Duration),
}

/// Tells the log when the skew changes.
#[derive(Debug, Default)]
pub struct SkewLog {
    told: Option<Skew>,
}

impl Clock {
    /// The wall clock as it is now, carried on by the monotonic one: a machine whose clock is set
    /// while a release runs neither stops nor hurries it.
    #[must_use]
    pub fn system() -> Self {
        let started = Instant::now();
        let wall = machine();
        Self { wall: Arc::new(machine), ..Self::new(move || wall.after(started.elapsed())) }
    }

    /// A clock over whatever says the time, which must not run backwards.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let read: Read = Arc::new(read);
        Self { wall: Arc::clone(&read), read, ahead: Arc::default() }
    }

    /// From now on it is at least this late, and goes on from there: what an earlier run of the
    /// server saw must not lie in the future.
    pub fn not_before(&self, time: Timestamp) {
        let by = u64::try_from(time.since(self.now()).as_millis()).unwrap_or(u64::MAX);
        self.ahead.fetch_add(by, Ordering::Relaxed);
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.read)().after(Duration::from_millis(self.ahead.load(Ordering::Relaxed)))
    }

    /// How far it and the machine's are apart now.
    #[must_use]
    pub fn skew(&self) -> Skew {
        let (now, wall) = (self.now(), (self.wall)());
        if now < wall { Skew::Behind(wall.since(now)) } else { Skew::Ahead(now.since(wall)) }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn machine() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock set to before 1970 reads as 1970.
    Timestamp::default().after(since.unwrap_or_default())
}

impl Skew {
    /// In seconds, negative if behind.
    #[must_use]
    pub fn seconds(self) -> f64 {
        match self {
            Self::Ahead(by) => by.as_secs_f64(),
            Self::Behind(by) => -by.as_secs_f64(),
        }
    }
}

impl SkewLog {
    /// Says it once when they part by more than seconds, and again when that changes.
    pub fn look(&mut self, skew: Skew) {
        let told = self.told.unwrap_or(Skew::Ahead(Duration::ZERO)).seconds();
        if (skew.seconds() - told).abs() < WORTH_A_WORD.as_secs_f64() {
            return;
        }
        self.told = Some(skew);
        tracing::warn!(
            seconds = skew.seconds(),
            "the journal's time and the machine's clock are apart: times that are written down \
             are off by as much, durations are not"
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

    fn set_by_hand() -> (Arc<AtomicU64>, Clock) {
        let time = Arc::new(AtomicU64::new(100));
        let beneath = Arc::clone(&time);
        (time, Clock::new(move || Timestamp(beneath.load(Ordering::Relaxed))))
    }

    #[test]
    fn goes_on_from_what_was_seen_last() {
        let (time, clock) = set_by_hand();
        let copy = clock.clone();
        clock.not_before(Timestamp(50));
        assert_eq!(clock.now(), Timestamp(100));
        clock.not_before(Timestamp(200));
        assert_eq!(clock.now(), Timestamp(200));
        time.store(101, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp(201), "it does not wait for the one beneath");
        assert_eq!(copy.now(), Timestamp(201), "copies show the same time");
    }

    #[test]
    fn a_machine_whose_clock_is_set_neither_hurries_nor_stops_it() {
        let (wall, by_hand) = set_by_hand();
        let (time, clock) = set_by_hand();
        let clock = Clock { wall: by_hand.read, ..clock };
        assert_eq!(clock.skew(), Skew::Ahead(Duration::ZERO));
        wall.store(1_000_000, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp(100));
        assert_eq!(clock.skew(), Skew::Behind(Duration::from_millis(999_900)));
        wall.store(40, Ordering::Relaxed);
        time.store(140, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp(140));
        assert_eq!(clock.skew(), Skew::Ahead(Duration::from_millis(100)));
    }

    #[test]
    fn says_it_once_and_again_when_it_changes() {
        let ahead = |seconds| Skew::Ahead(Duration::from_secs(seconds));
        let mut log = SkewLog::default();
        for (skew, told) in [
            (ahead(9), None),
            (ahead(60), Some(ahead(60))),
            (ahead(65), Some(ahead(60))),
            (ahead(3), Some(ahead(3))),
        ] {
            log.look(skew);
            assert_eq!(log.told, told, "{skew:?}");
        }
    }
}
