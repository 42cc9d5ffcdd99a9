//! The limits of a version that no release judges: the stable one, and those that flags lead to. There is nothing to compare
//! it with, so only the limits of the guardrails on requests apply.
//!
//! The caller begins a [`VersionWatch`] with the first requests of the version, and calls [`VersionWatch::observe`] with its
//! cumulative counts about every [`BLOCK`]. Changed guardrails begin a new one. The evidence for each limit begins anew every
//! [`EPOCH`]: its prior on the moment of the break is one of half an hour. A rollback within a window needs the evidence of a
//! release times the number of epochs in the window, so `false_rollback` holds for the window. Alerts have an e-value of 20,
//! once in each epoch. The evidence allows for a jitter up to that of a version of which nothing is known: what the version
//! itself does must not raise it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bound::Bound;
use super::guardrails::Guardrails;
use super::limits::{Rule, rules};
use super::statistics::Units;
use super::statistics::ceiling::{BLOCK, Ceiling};
use super::statistics::jitter::UNKNOWN;
use super::verdict::FirstFailures;
use super::windows::{EvidenceWindows, Window};
use super::{EValue, Evidence, Finding, Guardrail, Level, Share};
use crate::units::Timestamp;

/// The e-value of an alert.
const ALERT: f64 = 20.0;
/// The e-value below which an alert can end.
const ALERT_ENDS: f64 = 5.0;
/// An alert can end below this part of its limit.
const HYSTERESIS: f64 = 0.9;
/// How long the rate must be below, so that an alert is not raised again and again.
const CALM: Duration = Duration::from_secs(60);
/// The evidence begins anew after this time.
const EPOCH: Duration = Duration::from_secs(30 * 60);
/// A version without requests for so long is idle.
const IDLE: Duration = Duration::from_secs(10 * 60);
/// Evidence above the needed one times this is given up, so that better counts lower it soon.
const MOST: f64 = 10.0;

/// See the module.
#[derive(Debug, Clone)]
pub struct VersionWatch {
    now: Timestamp,
    /// When its last requests were counted.
    served_at: Timestamp,
    guardrails: Guardrails,
    /// For which a rollback is possible.
    window: Duration,
    counts: EvidenceWindows,
    limits: Vec<WatchedLimit>,
}

#[derive(Debug, Clone)]
struct WatchedLimit {
    ceiling: Ceiling,
    /// The e-value that suffices for a rollback, if it is a limit of one.
    rolls_back_from: f64,
    began: Timestamp,
    /// Since when the rate is below the limit without a break.
    calm_since: Option<Timestamp>,
}

impl WatchedLimit {
    fn begin(now: Timestamp, rolls_back_from: f64) -> Self {
        let most = if rolls_back_from.is_finite() { MOST * rolls_back_from } else { MOST * ALERT };
        let ceiling = Ceiling::begin(now, UNKNOWN, most);
        Self { ceiling, rolls_back_from, began: now, calm_since: None }
    }

    fn observe(&mut self, now: Timestamp, units: Units, recent: Units, limit: f64) {
        self.ceiling.observe(units, limit);
        if self.ceiling.is_over(now) {
            self.ceiling.next_block(now, UNKNOWN);
        }
        let e_value = self.ceiling.value();
        let below = recent.all > 0 && recent.rate() <= HYSTERESIS * limit && e_value < ALERT_ENDS;
        self.calm_since = below.then(|| self.calm_since.unwrap_or(now));
        if e_value < ALERT_ENDS && now.since(self.began) >= EPOCH {
            let calm_since = self.calm_since;
            *self = Self { calm_since, ..Self::begin(now, self.rolls_back_from) };
        }
    }

    /// The level of a finding; none if there is none. `stands` is whether the version has the alert.
    fn level(&self, now: Timestamp, rule: &Rule, stands: bool) -> Option<Level> {
        let e_value = self.ceiling.value();
        let is_calm = self.calm_since.is_some_and(|since| now.since(since) >= CALM);
        if e_value >= self.rolls_back_from {
            Some(Level::Rollback)
        } else if e_value >= ALERT || (stands && !is_calm) {
            Some(rule.level.min(Level::Critical))
        } else {
            None
        }
    }
}

impl VersionWatch {
    /// Begins with the current counts. `window` is the time in which a rollback is possible.
    #[must_use]
    pub fn begin(
        now: Timestamp,
        cumulative: Evidence,
        guardrails: &Guardrails,
        window: Duration,
    ) -> Self {
        let epochs = window.as_secs().div_ceil(EPOCH.as_secs()).max(1);
        let epochs = f64::from(u32::try_from(epochs).unwrap_or(u32::MAX));
        let bound = Bound::of(guardrails, 1);
        let needed = |rule: &Rule| match (rule.level, &rule.guardrail) {
            (Level::Rollback, Guardrail::ErrorRate) => epochs * bound.errors,
            (Level::Rollback, Guardrail::ClientErrors) => epochs * bound.client_errors,
            (Level::Rollback, _) => epochs * bound.latency_limit,
            (Level::Warning | Level::Critical, _) => f64::INFINITY,
        };
        let limits = rules(guardrails).into_iter().filter(Rule::is_of_requests);
        Self {
            now,
            served_at: now,
            guardrails: guardrails.clone(),
            window,
            counts: EvidenceWindows::begin(now, cumulative),
            limits: limits.map(|rule| WatchedLimit::begin(now, needed(&rule))).collect(),
        }
    }

    /// Whether it watches by these limits, and for this window.
    #[must_use]
    pub fn is_of(&self, guardrails: &Guardrails, window: Duration) -> bool {
        self.guardrails == *guardrails && self.window == window
    }

    /// Whether the next counts are expected now.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        now.since(self.now) >= BLOCK
    }

    /// Adds the cumulative counts.
    pub fn observe(&mut self, now: Timestamp, cumulative: Evidence) {
        self.now = now;
        let new = cumulative.since(self.counts.latest());
        self.counts.observe(now, cumulative);
        if new.requests > 0 {
            self.served_at = now;
        }
        let [_, recent, _] = self.counts.all(now);
        let rules = rules(&self.guardrails).into_iter().filter(Rule::is_of_requests);
        for (rule, limit) in rules.zip(&mut self.limits) {
            let units = rule.count.judged(&new);
            // Clients that still fail are no new evidence, and keep an alert.
            let recent = rule.count.observed(&recent.evidence);
            limit.observe(now, units, recent, rule.threshold.fraction());
        }
    }

    /// Whether it has had no requests for ten minutes.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.now.since(self.served_at).as_secs() >= IDLE.as_secs()
    }

    /// What is found now, one finding for each guardrail. `alerts` are those that the version has.
    #[must_use]
    pub fn findings(&self, alerts: &BTreeMap<Guardrail, Level>) -> Vec<Finding> {
        let rules = rules(&self.guardrails).into_iter().filter(Rule::is_of_requests);
        let mut findings: Vec<Finding> = Vec::new();
        for (rule, limit) in rules.zip(&self.limits) {
            let stands = alerts.get(&rule.guardrail).is_some_and(|level| *level >= rule.level);
            let Some(level) = limit.level(self.now, &rule, stands) else { continue };
            // The limits of a guardrail follow each other, worst first.
            if findings.iter().all(|it| it.guardrail != rule.guardrail) {
                findings.push(self.finding(&rule, level, limit.ceiling.value()));
            }
        }
        findings
    }

    /// With the counts of the last 30 seconds; of a shorter window if the version is above the limit only in that.
    fn finding(&self, rule: &Rule, level: Level, e_value: f64) -> Finding {
        let [_, long, short] = self.counts.all(self.now);
        let count = |it: &Window| rule.count.observed(&it.evidence);
        let is_above = |it: &Window| count(it).rate() > rule.threshold.fraction();
        let shown = if !is_above(&long) && is_above(&short) { short } else { long };
        let observed = count(&shown);
        let judged = rule.count.judged(&shown.evidence);
        Finding {
            guardrail: rule.guardrail.clone(),
            level,
            limit: rule.configured,
            bad: observed.bad,
            requests: observed.all,
            window_ms: shown.length.and_then(|it| u64::try_from(it.as_millis()).ok()),
            stable: None,
            first_failures: (judged != observed).then(|| FirstFailures {
                candidate: Share { requests: judged.all, bad: judged.bad },
                stable: None,
            }),
            e_value: (e_value >= ALERT_ENDS).then(|| EValue::of(e_value)),
            ratio: None,
            common_mode: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A version with 100 requests per second, observed every five seconds.
    struct World {
        now: u64,
        counts: Evidence,
        watch: VersionWatch,
        alerts: BTreeMap<Guardrail, Level>,
    }

    impl World {
        fn new(window: Duration) -> Self {
            let watch = VersionWatch::begin(
                Timestamp(0),
                Evidence::default(),
                &Guardrails::default(),
                window,
            );
            Self { now: 0, counts: Evidence::default(), watch, alerts: BTreeMap::new() }
        }

        /// Seconds with so many errors in each; the levels of the error rate, without repetitions.
        fn pass(&mut self, seconds: u64, errors: u64) -> Vec<Option<Level>> {
            let mut levels = Vec::new();
            for _ in 0..seconds / 5 {
                self.now += 5_000;
                self.counts.requests += 500;
                self.counts.errors += 5 * errors;
                self.watch.observe(Timestamp(self.now), self.counts);
                let level = self.watch.findings(&self.alerts).first().map(|it| it.level);
                self.alerts =
                    level.map(|level| (Guardrail::ErrorRate, level)).into_iter().collect();
                levels.push(level);
            }
            levels.dedup();
            levels
        }
    }

    #[test]
    fn a_version_within_its_limits_is_never_found() {
        let mut world = World::new(Duration::from_secs(3600));
        for _ in 0..100 {
            assert_eq!(world.pass(100, 0), [None]);
            assert_eq!(world.pass(100, 1), [None], "at the limit of the alert");
        }
    }

    #[test]
    fn a_broken_version_is_found_also_after_days() {
        for seconds in [0, 100, 3_600, 3 * 24 * 3_600] {
            let mut world = World::new(Duration::from_secs(3600));
            world.pass(seconds, 0);
            let levels = world.pass(30, 50);
            assert_eq!(
                levels.last(),
                Some(&Some(Level::Rollback)),
                "after {seconds} s: {levels:?}"
            );
            let mut world = World::new(Duration::ZERO);
            world.pass(seconds, 0);
            let levels = world.pass(180, 3);
            assert_eq!(levels, [None, Some(Level::Critical)], "after {seconds} s");
        }
    }

    #[test]
    fn an_alert_ends_once_after_a_calm_minute() {
        let mut world = World::new(Duration::ZERO);
        assert_eq!(world.pass(120, 4).last(), Some(&Some(Level::Critical)));
        let levels = world.pass(600, 0);
        assert_eq!(levels, [Some(Level::Critical), None]);
        // Without requests nothing ends.
        world.pass(120, 4);
        world.now += 3_600_000;
        world.watch.observe(Timestamp(world.now), world.counts);
        assert_eq!(world.watch.findings(&world.alerts).len(), 1);
    }

    #[test]
    fn a_rate_that_comes_and_goes_is_one_alert() {
        let mut world = World::new(Duration::ZERO);
        world.pass(120, 4);
        for _ in 0..20 {
            assert_eq!(world.pass(40, 0), [Some(Level::Critical)]);
            assert_eq!(world.pass(10, 4), [Some(Level::Critical)]);
        }
    }

    #[test]
    fn a_longer_window_needs_more_evidence() {
        let needed = |hours: u64| {
            let mut world = World::new(Duration::from_secs(hours * 3600));
            let levels: Vec<_> = (0..100).map(|_| world.pass(5, 6)[0]).collect();
            levels.iter().position(|it| *it == Some(Level::Rollback))
        };
        assert!(needed(1) <= needed(1000), "{:?} {:?}", needed(1), needed(1000));
    }
}
