//! Scenarios: the traffic of a service and the behaviour of both versions over time.
//!
//! Times count from the first request of the candidate. Before that, stable serves alone for half an hour, as [`Behaviour`]
//! has it without changes.

use std::time::Duration;

use serde::Deserialize;

use crate::text;

/// Most runs of one scenario.
pub const MAX_RUNS: u64 = 1_000_000;
/// Most requests per second.
pub const MAX_RATE: f64 = 1e6;
/// The longest simulated time of a run: four weeks.
pub const MAX_UNTIL: Duration = Duration::from_secs(28 * 24 * 3600);
/// Most changes and incidents of a scenario.
const MAX_CHANGES: usize = 100;

/// One scenario.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// The traffic of the service.
    pub traffic: Traffic,
    /// What stable does.
    #[serde(default)]
    pub stable: Behaviour,
    /// What the candidate does; absent members are those of stable.
    #[serde(default)]
    pub candidate: Candidate,
    /// Incidents of both versions.
    #[serde(default)]
    pub incidents: Vec<Incident>,
    /// When a run ends that has not ended by itself; absent: three times the time of the plan.
    #[serde(default, deserialize_with = "text::optional_duration")]
    pub until: Option<Duration>,
}

/// The traffic of a service.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// To both versions together.
    pub requests_per_second: f64,
    /// Distinct clients, which send equally many requests.
    #[serde(default = "clients")]
    pub clients: u32,
    /// The rate varies as a sine by this part of it, …
    #[serde(default, deserialize_with = "text::share")]
    pub swing: f64,
    /// … with this period.
    #[serde(default = "day", deserialize_with = "text::duration")]
    pub period: Duration,
    /// Failures that come in clumps of one client.
    #[serde(default)]
    pub clumps: Option<Clumps>,
    /// Moments in which one version fails more or less often.
    #[serde(default)]
    pub hiccups: Option<Hiccups>,
}

const fn clients() -> u32 {
    100_000
}

const fn day() -> Duration {
    Duration::from_secs(24 * 3600)
}

/// Failures of one client in a row, within a second.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clumps {
    /// The share of stable's failures that come in clumps, on both versions.
    #[serde(deserialize_with = "text::share")]
    pub share: f64,
    /// The least and the greatest number of failures of a clump.
    pub size: [u32; 2],
}

/// The error rate of each version is multiplied by a gamma variable of its own.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hiccups {
    /// How often the variable is drawn anew.
    #[serde(deserialize_with = "text::duration")]
    pub every: Duration,
    /// The shape of the variable; its squared coefficient of variation is the inverse.
    pub shape: f64,
}

/// What a version does.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    /// The share of failed requests.
    #[serde(default, deserialize_with = "text::share")]
    pub error_rate: f64,
    /// The response time.
    #[serde(default)]
    pub latency: Latency,
}

/// What the candidate does.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// The share of failed requests.
    #[serde(default, deserialize_with = "text::optional_share")]
    pub error_rate: Option<f64>,
    /// The response time.
    #[serde(default)]
    pub latency: Option<Latency>,
    /// Changes, in the order of their times.
    #[serde(default)]
    pub changes: Vec<Change>,
}

/// A change of the candidate.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// When.
    #[serde(deserialize_with = "text::duration")]
    pub at: Duration,
    /// The share of failed requests from then on.
    #[serde(default, deserialize_with = "text::optional_share")]
    pub error_rate: Option<f64>,
    /// The response time from then on.
    #[serde(default)]
    pub latency: Option<Latency>,
}

/// A time in which both versions fail.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// When it begins.
    #[serde(deserialize_with = "text::duration")]
    pub at: Duration,
    /// How long it lasts.
    #[serde(rename = "for", deserialize_with = "text::duration")]
    pub lasts: Duration,
    /// The share of failed requests of both versions.
    #[serde(deserialize_with = "text::share")]
    pub error_rate: f64,
}

/// A lognormal response time.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// The median.
    #[serde(deserialize_with = "text::duration")]
    pub p50: Duration,
    /// The 99th percentile.
    #[serde(deserialize_with = "text::duration")]
    pub p99: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self { p50: Duration::from_millis(20), p99: Duration::from_millis(200) }
    }
}

/// Why a scenario cannot be simulated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Mistake {
    /// The name is empty or has control characters.
    #[error("a scenario needs a `name` of printable characters, at most 60")]
    Name,
    /// A number out of its range.
    #[error("scenario `{scenario}`: `{key}` must be {range}")]
    Range {
        /// The name of the scenario.
        scenario: String,
        /// Which number.
        key: &'static str,
        /// What it may be.
        range: String,
    },
}

impl Scenario {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The first one that is out of its range.
    pub fn validate(&self) -> Result<(), Mistake> {
        let length = self.name.chars().count();
        if !(1..=60).contains(&length) || self.name.chars().any(char::is_control) {
            return Err(Mistake::Name);
        }
        let Traffic { requests_per_second, clients, swing: _, period, clumps, hiccups } =
            &self.traffic;
        let require = |holds: bool, key, range: &str| {
            let mistake =
                || Mistake::Range { scenario: self.name.clone(), key, range: range.to_owned() };
            if holds { Ok(()) } else { Err(mistake()) }
        };
        let rate = *requests_per_second;
        require(
            rate > 0.0 && rate <= MAX_RATE,
            "traffic.requests_per_second",
            "above 0 and at most 1000000",
        )?;
        require((1..=10_000_000).contains(clients), "traffic.clients", "1 to 10000000")?;
        require(!period.is_zero(), "traffic.period", "above 0")?;
        if let Some(Clumps { size: [least, most], .. }) = clumps {
            let valid = *least >= 1 && least <= most && *most <= 10_000;
            require(valid, "traffic.clumps.size", "two numbers from 1 to 10000, ascending")?;
        }
        if let Some(Hiccups { every, shape }) = hiccups {
            require(*every >= Duration::from_secs(1), "traffic.hiccups.every", "at least 1s")?;
            let valid = *shape >= 0.1 && *shape <= 1e6;
            require(valid, "traffic.hiccups.shape", "0.1 to 1000000")?;
        }
        let latencies = [Some(self.stable.latency), self.candidate.latency];
        let changed = self.candidate.changes.iter().map(|it| it.latency);
        for Latency { p50, p99 } in latencies.into_iter().chain(changed).flatten() {
            let valid = !p50.is_zero() && p50 < p99 && p99 <= Duration::from_secs(3600);
            require(valid, "latency", "`p50` above 0 and below `p99`, which is at most 1h")?;
        }
        let changes = &self.candidate.changes;
        let sorted = changes.iter().zip(changes.iter().skip(1)).all(|(a, b)| a.at <= b.at);
        require(sorted, "candidate.changes", "in the order of their times")?;
        let has_effect = |it: &Change| it.error_rate.is_some() || it.latency.is_some();
        let all = changes.iter().all(has_effect);
        require(all, "candidate.changes", "changes of `error_rate` or `latency`")?;
        let count = changes.len().max(self.incidents.len());
        require(count <= MAX_CHANGES, "candidate.changes, incidents", "at most 100")?;
        let until = self.until.unwrap_or(Duration::from_secs(1));
        require(!until.is_zero() && until <= MAX_UNTIL, "until", "above 0 and at most 28 days")
    }

    /// What the candidate does at a time.
    #[must_use]
    pub fn candidate_at(&self, at: Duration) -> Behaviour {
        let mut now = Behaviour {
            error_rate: self.candidate.error_rate.unwrap_or(self.stable.error_rate),
            latency: self.candidate.latency.unwrap_or(self.stable.latency),
        };
        for change in self.candidate.changes.iter().take_while(|it| it.at <= at) {
            now.error_rate = change.error_rate.unwrap_or(now.error_rate);
            now.latency = change.latency.unwrap_or(now.latency);
        }
        now
    }

    /// When the candidate becomes worse than stable; none if it never does.
    #[must_use]
    pub fn breaks_at(&self) -> Option<Duration> {
        let times =
            std::iter::once(Duration::ZERO).chain(self.candidate.changes.iter().map(|it| it.at));
        let is_worse = |at: &Duration| {
            let now = self.candidate_at(*at);
            let Latency { p50, p99 } = self.stable.latency;
            now.error_rate > self.stable.error_rate
                || now.latency.p50 > p50
                || now.latency.p99 > p99
        };
        times.into_iter().find(is_worse)
    }

    /// The error rate of both versions in an incident.
    #[must_use]
    pub fn incident_at(&self, at: Duration) -> Option<f64> {
        let is_now = |it: &&Incident| it.at <= at && at < it.at.saturating_add(it.lasts);
        self.incidents.iter().find(is_now).map(|it| it.error_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Scenario, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn absent_members_of_the_candidate_are_those_of_stable() {
        let scenario = read(
            r#"{"name": "late", "traffic": {"requests_per_second": 10}, "stable": {"error_rate": "0.5%"},
                "candidate": {"changes": [{"at": "1m", "error_rate": "10%"}, {"at": "2m", "error_rate": "0%"}]},
                "incidents": [{"at": "30s", "for": "10s", "error_rate": "30%"}]}"#,
        )
        .unwrap();
        assert_eq!(scenario.validate(), Ok(()));
        let rate = |seconds| scenario.candidate_at(Duration::from_secs(seconds)).error_rate;
        assert_eq!([0, 59, 60, 120].map(rate), [0.005, 0.005, 0.1, 0.0]);
        assert_eq!(scenario.breaks_at(), Some(Duration::from_secs(60)));
        let incident = |seconds| scenario.incident_at(Duration::from_secs(seconds));
        assert_eq!([29, 30, 39, 40].map(incident), [None, Some(0.3), Some(0.3), None]);
    }

    #[test]
    fn mistakes_are_named() {
        for (members, message) in [
            (r#""traffic": {"requests_per_second": 0}"#, "requests_per_second"),
            (r#""traffic": {"requests_per_second": 1, "clients": 0}"#, "clients"),
            (
                r#""traffic": {"requests_per_second": 1, "clumps": {"share": "50%", "size": [5, 2]}}"#,
                "clumps.size",
            ),
            (r#""traffic": {"requests_per_second": 1}, "until": "0s""#, "until"),
            (
                r#""traffic": {"requests_per_second": 1}, "candidate": {"changes": [{"at": "1m"}]}"#,
                "changes",
            ),
            (
                r#""traffic": {"requests_per_second": 1}, "stable": {"latency": {"p50": "2s", "p99": "1s"}}"#,
                "latency",
            ),
        ] {
            let scenario = read(&format!(r#"{{"name": "x", {members}}}"#)).unwrap();
            let mistake = scenario.validate().unwrap_err().to_string();
            assert!(mistake.contains(message), "{mistake}");
        }
        let unknown = read(r#"{"name": "x", "traffic": {"rps": 1}}"#).unwrap_err();
        assert!(unknown.to_string().contains("unknown field `rps`"), "{unknown}");
        let share = read(
            r#"{"name": "x", "traffic": {"requests_per_second": 1}, "stable": {"error_rate": "2"}}"#,
        );
        assert!(share.unwrap_err().to_string().contains("write 0% to 100%"));
    }
}
