//! The counts of one version since its step began, and in sliding windows.
//!
//! After a million good requests a failure is visible late in the total of the step, and at once in the last second. The
//! judge therefore evaluates both. The caller passes cumulative counts, at least every [`CHECKPOINT_INTERVAL`] for windows of
//! full resolution.

use std::collections::VecDeque;
use std::time::Duration;

use super::Evidence;
use crate::units::Timestamp;

/// The lengths of the sliding windows, ascending. Short ones detect a sudden failure, long ones a small increase.
pub const WINDOWS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

/// Minimum distance of two checkpoints. It bounds their number to 300.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(100);

/// The counts of one version since a step began, and in the last [`WINDOWS`].
#[derive(Debug, Clone)]
pub struct EvidenceWindows {
    /// Cumulative counts at the start of the step.
    baseline: Evidence,
    latest: Evidence,
    /// Cumulative counts at earlier times, oldest first. The first is at least as old as the longest window, or at the start
    /// of the step.
    checkpoints: VecDeque<(Timestamp, Evidence)>,
}

/// The counts of one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its length.
    pub length: Duration,
    /// The counts in it.
    pub evidence: Evidence,
}

impl EvidenceWindows {
    /// Begins a step at the current cumulative counts.
    #[must_use]
    pub fn begin(now: Timestamp, cumulative: Evidence) -> Self {
        let checkpoints = VecDeque::from([(now, cumulative)]);
        Self { baseline: cumulative, latest: cumulative, checkpoints }
    }

    /// Adds the current cumulative counts.
    pub fn observe(&mut self, now: Timestamp, cumulative: Evidence) {
        self.latest = cumulative;
        if self.checkpoints.back().is_none_or(|(at, _)| now.since(*at) >= CHECKPOINT_INTERVAL) {
            self.checkpoints.push_back((now, cumulative));
        }
        let [.., longest] = WINDOWS;
        while self.checkpoints.get(1).is_some_and(|(at, _)| now.since(*at) >= longest) {
            self.checkpoints.pop_front();
        }
    }

    /// The counts since the step began.
    #[must_use]
    pub fn since_start(&self) -> Evidence {
        self.latest.since(&self.baseline)
    }

    /// The counts of each window that ends now, shortest first. A window that is longer than the step so far has all counts
    /// of the step.
    #[must_use]
    pub fn recent(&self, now: Timestamp) -> [Window; 3] {
        WINDOWS.map(|length| {
            let older = self.checkpoints.partition_point(|(at, _)| now.since(*at) >= length);
            let checkpoint = self.checkpoints.get(older.saturating_sub(1));
            let before = checkpoint.map_or(self.baseline, |(_, evidence)| *evidence);
            Window { length, evidence: self.latest.since(&before) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(requests: u64, errors: u64) -> Evidence {
        Evidence { requests, errors, ..Evidence::default() }
    }

    /// 100 good requests a second for a minute, then all of them bad.
    fn breaks_late() -> (EvidenceWindows, Timestamp) {
        let mut windows = EvidenceWindows::begin(Timestamp(0), evidence(7, 3));
        let mut now = Timestamp(0);
        for tenth in 1..=600 {
            now = Timestamp(tenth * 100);
            windows.observe(now, evidence(7 + tenth * 10, 3));
        }
        for tenth in 1..=5 {
            now = Timestamp(60_000 + tenth * 100);
            windows.observe(now, evidence(6_007 + tenth * 10, 3 + tenth * 10));
        }
        (windows, now)
    }

    #[test]
    fn a_late_failure_is_visible_in_the_windows() {
        let (windows, now) = breaks_late();
        assert_eq!(windows.since_start(), evidence(6_050, 50));
        let recent = windows.recent(now).map(|window| window.evidence);
        assert_eq!(recent, [evidence(100, 50), evidence(500, 50), evidence(3_000, 50)]);
    }

    #[test]
    fn memory_is_bounded() {
        let (mut windows, now) = breaks_late();
        for ms in 0..100_000 {
            windows.observe(Timestamp(now.0 + ms), evidence(10_000 + ms, 53));
        }
        assert!(windows.checkpoints.len() <= 302, "{}", windows.checkpoints.len());
    }

    #[test]
    fn windows_longer_than_the_step_have_all_its_counts() {
        let mut windows = EvidenceWindows::begin(Timestamp(5), evidence(10, 10));
        windows.observe(Timestamp(10), evidence(14, 11));
        for window in windows.recent(Timestamp(10)) {
            assert_eq!(window.evidence, evidence(4, 1));
        }
    }

    #[test]
    fn a_clock_that_steps_back_loses_no_counts() {
        let mut windows = EvidenceWindows::begin(Timestamp(50_000), evidence(0, 0));
        windows.observe(Timestamp(1_000), evidence(10, 10));
        assert_eq!(windows.since_start(), evidence(10, 10));
        assert_eq!(windows.recent(Timestamp(1_000))[0].evidence, evidence(10, 10));
    }
}
