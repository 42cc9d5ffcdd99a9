//! The counts of one version since its step began, and in the last seconds.
//!
//! The caller passes cumulative counts at every evaluation. A change of the limits is [`EvidenceWindows::rejudge`]d: counts
//! by the limits of before are never mixed with others.

use std::collections::VecDeque;
use std::time::Duration;

use super::Evidence;
use crate::units::Timestamp;

/// The lengths of the sliding windows, ascending.
pub const WINDOWS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];

/// Minimum distance of two checkpoints. It bounds their number to 32.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// The counts of one version since a step began, and in the last [`WINDOWS`].
#[derive(Debug, Clone)]
pub struct EvidenceWindows {
    began: Timestamp,
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
    /// Its length; none: since the step began.
    pub length: Option<Duration>,
    /// The counts in it.
    pub evidence: Evidence,
}

impl EvidenceWindows {
    /// Begins a step at the current cumulative counts.
    #[must_use]
    pub fn begin(now: Timestamp, cumulative: Evidence) -> Self {
        let checkpoints = VecDeque::from([(now, cumulative)]);
        Self { began: now, baseline: cumulative, latest: cumulative, checkpoints }
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

    /// Replaces the counts of the start of the step and of now by those of other limits. The windows begin now.
    pub fn rejudge(&mut self, now: Timestamp, baseline: Evidence, cumulative: Evidence) {
        self.baseline = baseline;
        self.latest = cumulative;
        self.checkpoints = VecDeque::from([(now, cumulative)]);
    }

    /// The time since the step began.
    #[must_use]
    pub const fn duration(&self, now: Timestamp) -> Duration {
        now.since(self.began)
    }

    /// The latest cumulative counts.
    #[must_use]
    pub const fn latest(&self) -> &Evidence {
        &self.latest
    }

    /// The counts since the step began.
    #[must_use]
    pub fn since_start(&self) -> Evidence {
        self.latest.since(&self.baseline)
    }

    /// The counts of the step, then those of each window that ends now and is shorter, longest first.
    #[must_use]
    pub fn all(&self, now: Timestamp) -> [Window; 3] {
        let [short, long] = WINDOWS;
        let step = Window { length: None, evidence: self.since_start() };
        [step, self.window(now, long), self.window(now, short)]
    }

    /// The counts of the last 5 seconds.
    #[must_use]
    pub fn recent(&self, now: Timestamp) -> Evidence {
        let [short, _] = WINDOWS;
        self.window(now, short).evidence
    }

    /// The counts of the last 30 seconds.
    #[must_use]
    pub fn longest(&self, now: Timestamp) -> Window {
        let [_, long] = WINDOWS;
        self.window(now, long)
    }

    fn window(&self, now: Timestamp, length: Duration) -> Window {
        if now.since(self.began) <= length {
            return Window { length: None, evidence: self.since_start() };
        }
        let older = self.checkpoints.partition_point(|(at, _)| now.since(*at) >= length);
        let checkpoint = self.checkpoints.get(older.saturating_sub(1));
        let before = checkpoint.map_or(self.baseline, |(_, evidence)| *evidence);
        Window { length: Some(length), evidence: self.latest.since(&before) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(requests: u64, errors: u64) -> Evidence {
        Evidence { requests, errors, ..Evidence::default() }
    }

    /// 10 good requests a second for a minute, then all of them bad for 5 seconds.
    fn breaks_late() -> (EvidenceWindows, Timestamp) {
        let mut windows = EvidenceWindows::begin(Timestamp(0), evidence(7, 3));
        let mut now = Timestamp(0);
        for second in 1..=60 {
            now = Timestamp(second * 1_000);
            windows.observe(now, evidence(7 + second * 10, 3));
        }
        for second in 1..=5 {
            now = Timestamp(60_000 + second * 1_000);
            windows.observe(now, evidence(607 + second * 10, 3 + second * 10));
        }
        (windows, now)
    }

    #[test]
    fn a_late_failure_is_visible_in_the_windows() {
        let (windows, now) = breaks_late();
        let all = windows.all(now).map(|window| window.evidence);
        assert_eq!(all, [evidence(650, 50), evidence(300, 50), evidence(50, 50)]);
        let [step, ..] = windows.all(now);
        assert_eq!(step.length, None);
    }

    #[test]
    fn memory_is_bounded() {
        let (mut windows, now) = breaks_late();
        for ms in 0..100_000 {
            windows.observe(Timestamp(now.0 + ms), evidence(10_000 + ms, 53));
        }
        assert!(windows.checkpoints.len() <= 32, "{}", windows.checkpoints.len());
    }

    #[test]
    fn windows_longer_than_the_step_have_all_its_counts() {
        let mut windows = EvidenceWindows::begin(Timestamp(5), evidence(10, 10));
        windows.observe(Timestamp(10), evidence(14, 11));
        for window in windows.all(Timestamp(10)) {
            assert_eq!(window, Window { length: None, evidence: evidence(4, 1) });
        }
    }

    #[test]
    fn a_clock_that_steps_back_loses_no_counts() {
        let mut windows = EvidenceWindows::begin(Timestamp(50_000), evidence(0, 0));
        windows.observe(Timestamp(1_000), evidence(10, 10));
        assert_eq!(windows.since_start(), evidence(10, 10));
        assert_eq!(windows.all(Timestamp(1_000))[2].evidence, evidence(10, 10));
    }

    #[test]
    fn counts_by_other_limits_are_not_mixed() {
        let slow = |requests, warning| Evidence {
            slow: crate::judge::SlowRequests { warning, ..Default::default() },
            ..evidence(requests, 0)
        };
        let mut windows = EvidenceWindows::begin(Timestamp(0), slow(100, 0));
        windows.observe(Timestamp(60_000), slow(140, 0));
        // By the tightened limit, 90 of the first 100 requests and 10 of the next 40 were slow.
        windows.rejudge(Timestamp(60_000), slow(100, 90), slow(140, 100));
        assert_eq!(windows.since_start(), slow(40, 10));
        windows.observe(Timestamp(61_000), slow(150, 105));
        for Window { evidence, .. } in windows.all(Timestamp(61_000)) {
            assert!(evidence.slow.warning <= evidence.requests, "{evidence:?}");
        }
    }
}
