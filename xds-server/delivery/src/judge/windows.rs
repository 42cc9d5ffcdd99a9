//! The recent past of one version's counts.
//!
//! A version that served a million good requests and then breaks would take long to show in the
//! step's total; in the last second it shows at once. So the judge is given both.

use std::collections::VecDeque;
use std::time::Duration;

use super::Evidence;
use crate::units::Timestamp;

/// The spans that are looked at beside the whole step: short ones see a sudden end, long ones a slow leak.
pub const WINDOWS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

/// Marks are at least this far apart, so that a trail holds no more than 300 of them.
const SPACING: Duration = Duration::from_millis(100);

/// One version's counts since a step began, and over the last [`WINDOWS`].
#[derive(Debug, Clone)]
pub struct EvidenceWindows {
    start: Evidence,
    latest: Evidence,
    /// Cumulative counts at earlier moments, oldest first; the first is at least the longest window old,
    /// or the step's beginning.
    marks: VecDeque<(Timestamp, Evidence)>,
}

/// The counts of one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How far back it reaches.
    pub span: Duration,
    /// What was counted in it.
    pub evidence: Evidence,
}

impl EvidenceWindows {
    /// Begins a step at the counts that there are now.
    #[must_use]
    pub fn begin(now: Timestamp, cumulative: Evidence) -> Self {
        Self { start: cumulative, latest: cumulative, marks: VecDeque::from([(now, cumulative)]) }
    }

    /// Takes in the counts that there are now.
    pub fn observe(&mut self, now: Timestamp, cumulative: Evidence) {
        self.latest = cumulative;
        if self.marks.back().is_none_or(|(at, _)| now.since(*at) >= SPACING) {
            self.marks.push_back((now, cumulative));
        }
        let [.., longest] = WINDOWS;
        while self.marks.get(1).is_some_and(|(at, _)| now.since(*at) >= longest) {
            self.marks.pop_front();
        }
    }

    /// The counts since the step began.
    #[must_use]
    pub fn since_start(&self) -> Evidence {
        self.latest.since(&self.start)
    }

    /// The counts of each window that ends now, shortest first. Early in a step a window is what there is of it.
    #[must_use]
    pub fn recent(&self, now: Timestamp) -> [Window; 3] {
        WINDOWS.map(|span| {
            let older = self.marks.partition_point(|(at, _)| now.since(*at) >= span);
            let mark = self.marks.get(older.saturating_sub(1));
            let from = mark.map_or(self.start, |(_, evidence)| *evidence);
            Window { span, evidence: self.latest.since(&from) }
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
        let mut trail = EvidenceWindows::begin(Timestamp(0), evidence(7, 3));
        let mut now = Timestamp(0);
        for tenth in 1..=600 {
            now = Timestamp(tenth * 100);
            trail.observe(now, evidence(7 + tenth * 10, 3));
        }
        for tenth in 1..=5 {
            now = Timestamp(60_000 + tenth * 100);
            trail.observe(now, evidence(6_007 + tenth * 10, 3 + tenth * 10));
        }
        (trail, now)
    }

    #[test]
    fn windows_see_what_the_total_hides() {
        let (trail, now) = breaks_late();
        assert_eq!(trail.since_start(), evidence(6_050, 50));
        let recent = trail.recent(now).map(|window| window.evidence);
        assert_eq!(recent, [evidence(100, 50), evidence(500, 50), evidence(3_000, 50)]);
    }

    #[test]
    fn memory_is_bounded() {
        let (mut trail, now) = breaks_late();
        for ms in 0..100_000 {
            trail.observe(Timestamp(now.0 + ms), evidence(10_000 + ms, 53));
        }
        assert!(trail.marks.len() <= 302, "{}", trail.marks.len());
    }

    #[test]
    fn a_young_step_is_its_own_window() {
        let mut trail = EvidenceWindows::begin(Timestamp(5), evidence(10, 10));
        trail.observe(Timestamp(10), evidence(14, 11));
        for window in trail.recent(Timestamp(10)) {
            assert_eq!(window.evidence, evidence(4, 1));
        }
    }

    #[test]
    fn a_clock_that_steps_back_loses_nothing() {
        let mut trail = EvidenceWindows::begin(Timestamp(50_000), evidence(0, 0));
        trail.observe(Timestamp(1_000), evidence(10, 10));
        assert_eq!(trail.since_start(), evidence(10, 10));
        assert_eq!(trail.recent(Timestamp(1_000))[0].evidence, evidence(10, 10));
    }
}
