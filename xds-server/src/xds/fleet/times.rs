//! Time from publication to ACK: by stream, or by the report that names the configuration.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use parking_lot::Mutex;
use tidegate_core::histogram::Histogram;

use tidegate_delivery::model::progress::AckTimes;
use tidegate_delivery::units::Timestamp;

/// Number of publications with times of their own. Releases need those of their step.
const MAX_PUBLICATIONS: usize = 64;

/// Time from publication to ACK of each sidecar, for the newest publications.
#[derive(Debug, Default)]
pub struct PublicationTimes(Mutex<Times>);

#[derive(Debug, Default)]
struct Times {
    publications: VecDeque<Publication>,
    /// Of all publications since the server started.
    all: Histogram,
}

#[derive(Debug)]
struct Publication {
    serial: u64,
    at: Timestamp,
    ack_times: Histogram,
}

impl PublicationTimes {
    /// Records the start of a publication. A repeated serial replaces the earlier one, which published nothing.
    pub(super) fn begin(&self, serial: u64, at: Timestamp) {
        let publications = &mut self.0.lock().publications;
        publications.retain(|it| it.serial < serial);
        if publications.len() >= MAX_PUBLICATIONS {
            publications.pop_front();
        }
        publications.push_back(Publication { serial, at, ack_times: Histogram::default() });
    }

    /// Records that a sidecar, connected at `since`, has ACKed publications. Those from before it connected are ignored:
    /// their time would include the time without a connection.
    pub(super) fn record(&self, serials: &RangeInclusive<u64>, since: Timestamp, now: Timestamp) {
        let Times { publications, all } = &mut *self.0.lock();
        let acked = publications.iter_mut().filter(|it| serials.contains(&it.serial));
        for publication in acked.filter(|it| since <= it.at) {
            let time = now.since(publication.at);
            publication.ack_times.record(time);
            all.record(time);
        }
    }

    /// The times of one publication; `None` if no sidecar ACKed it, or it is too old.
    pub(super) fn of(&self, serial: u64) -> Option<AckTimes> {
        self.0.lock().publications.iter().find(|it| it.serial == serial)?.times()
    }

    /// The times of all publications since the server started.
    #[must_use]
    pub fn all(&self) -> Histogram {
        self.0.lock().all.clone()
    }
}

impl Publication {
    fn times(&self) -> Option<AckTimes> {
        let quantile = |q| self.ack_times.quantile(q);
        Some(AckTimes { p50: quantile(0.5)?, p99: quantile(0.99)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_that_skips_publications_is_timed_for_each() {
        let times = PublicationTimes::default();
        times.begin(1, Timestamp(1_000));
        times.begin(2, Timestamp(1_500));
        assert_eq!(times.all().total(), 0);
        times.record(&(1..=2), Timestamp(0), Timestamp(2_000));
        let p50 = |serial| times.of(serial).unwrap().p50.as_millis();
        assert!(p50(1).abs_diff(1_000) <= 63, "{}", p50(1));
        assert!(p50(2).abs_diff(500) <= 32, "{}", p50(2));
        assert_eq!(times.all().total(), 2);
    }

    #[test]
    fn a_sidecar_that_connected_later_is_not_timed() {
        let times = PublicationTimes::default();
        times.begin(1, Timestamp(1_000));
        times.record(&(1..=1), Timestamp(1_001), Timestamp(90_000));
        assert_eq!(times.of(1), None);
    }

    #[test]
    fn a_repeated_serial_starts_again() {
        let times = PublicationTimes::default();
        times.begin(1, Timestamp(0));
        times.begin(1, Timestamp(60_000));
        times.record(&(1..=1), Timestamp(0), Timestamp(60_100));
        assert!(times.of(1).unwrap().p99.as_millis() < 110);
    }

    #[test]
    fn memory_is_bounded() {
        let times = PublicationTimes::default();
        for serial in 0..1_000 {
            times.begin(serial, Timestamp(serial));
        }
        assert_eq!(times.0.lock().publications.len(), MAX_PUBLICATIONS);
    }
}
