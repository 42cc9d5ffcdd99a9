//! What can be made wrong with a service while it runs. Faults arrive from the network, so they are checked once, on
//! the way in, and only checked [`Faults`] exist.

use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use rand::Rng;
use rand_distr::{Distribution, LogNormal};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The 99th percentile of the standard normal distribution: places a log-normal by its median and p99.
const Z_P99: f64 = 2.326_347_874_040_841;
/// No answer is held longer than this, however heavy the tail.
const LONGEST: Duration = Duration::from_secs(60);

/// Faults that have been checked. Default: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Settings", into = "Settings")]
pub struct Faults {
    settings: Settings,
    latency: Option<LogNormal<f64>>,
}

/// Faults as written in JSON: `{"error_share": 0.2, "latency": {"median_ms": 20, "p99_ms": 80}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Share of the requests that are not reset which get `error_status`.
    pub error_share: f64,
    /// The status of those answers.
    pub error_status: u16,
    /// How long every answer takes; absent: no added time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Share of all requests whose TCP connection is reset instead of an answer.
    pub reset_share: f64,
    /// How busy every answer says the instance is; absent: it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// What every answer says in `x-outcome`: what became of the order, the payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Whether `/healthz` suffers too. Off by default: the interesting bad version is the one that says it is well.
    pub healthz: bool,
}

/// An ORCA load report, in fractions of what the instance has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// CPU; may be above 1.
    pub cpu: f64,
    /// Memory.
    pub memory: f64,
    /// Disk.
    pub disk: f64,
}

/// A log-normal distribution, given by what people read off a dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Half of the answers are quicker.
    pub median_ms: f64,
    /// One in a hundred is slower.
    pub p99_ms: f64,
}

/// Why faults were refused.
#[derive(Debug, Error, PartialEq)]
pub enum Nonsense {
    /// A share is a probability.
    #[error("{field} is {value}, but a share lies between 0 and 1")]
    Share {
        /// Which share.
        field: &'static str,
        /// What it was set to.
        value: f64,
    },
    /// Only final statuses can end a request.
    #[error("error_status is {0}, but must lie between 200 and 599")]
    Status(u16),
    /// An outcome stands in a header.
    #[error("outcome {0:?} cannot be the value of a header")]
    Outcome(String),
    /// Nothing can be used less than not at all.
    #[error("load of {0} is no fraction: 0 is idle, 1 is all that there is")]
    Load(f64),
    /// The two points do not describe a distribution.
    #[error(
        "latency needs 0 < median_ms <= p99_ms <= 60000, not median_ms {median_ms} and p99_ms {p99_ms}"
    )]
    Latency {
        /// The median asked for.
        median_ms: f64,
        /// The p99 asked for.
        p99_ms: f64,
    },
}

/// What happens to one request, once its delay is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is served.
    Served,
    /// It gets this status.
    Failed(u16),
    /// Its connection is reset.
    Reset,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            error_share: 0.0,
            error_status: 503,
            latency: None,
            reset_share: 0.0,
            load: None,
            outcome: None,
            healthz: false,
        }
    }
}

impl TryFrom<Settings> for Faults {
    type Error = Nonsense;

    fn try_from(settings: Settings) -> Result<Self, Nonsense> {
        for (field, value) in
            [("error_share", settings.error_share), ("reset_share", settings.reset_share)]
        {
            if !(0.0..=1.0).contains(&value) {
                return Err(Nonsense::Share { field, value });
            }
        }
        if !(200..=599).contains(&settings.error_status) {
            return Err(Nonsense::Status(settings.error_status));
        }
        if let Some(Load { cpu, memory, disk }) = settings.load
            && let Some(odd) =
                [cpu, memory, disk].into_iter().find(|it| !(0.0..=100.0).contains(it))
        {
            return Err(Nonsense::Load(odd));
        }
        let outcome = settings.outcome.as_deref();
        if let Some(outcome) = outcome.filter(|it| HeaderValue::from_str(it).is_err()) {
            return Err(Nonsense::Outcome(outcome.to_owned()));
        }
        let latency = settings.latency.map(Latency::distribution).transpose()?;
        Ok(Self { settings, latency })
    }
}

impl From<Faults> for Settings {
    fn from(faults: Faults) -> Self {
        faults.settings
    }
}

impl Latency {
    fn distribution(self) -> Result<LogNormal<f64>, Nonsense> {
        let Self { median_ms, p99_ms } = self;
        let nonsense = Nonsense::Latency { median_ms, p99_ms };
        let ordered =
            0.0 < median_ms && median_ms <= p99_ms && p99_ms <= LONGEST.as_secs_f64() * 1000.0;
        if !ordered {
            return Err(nonsense);
        }
        LogNormal::new(median_ms.ln(), (p99_ms / median_ms).ln() / Z_P99).map_err(|_| nonsense)
    }
}

impl Faults {
    /// Answers that fail with `status`, in this share of the requests.
    ///
    /// # Errors
    /// If the share or the status makes no sense.
    pub fn errors(error_share: f64, error_status: u16) -> Result<Self, Nonsense> {
        Settings { error_share, error_status, ..Settings::default() }.try_into()
    }

    /// Answers that take this long.
    ///
    /// # Errors
    /// If the two points do not describe a distribution.
    pub fn slow(median_ms: f64, p99_ms: f64) -> Result<Self, Nonsense> {
        Settings { latency: Some(Latency { median_ms, p99_ms }), ..Settings::default() }.try_into()
    }

    /// Whether health checks suffer too.
    #[must_use]
    pub fn reach_healthz(&self) -> bool {
        self.settings.healthz
    }

    /// What every answer says beside who gave it.
    #[must_use]
    pub fn sayings(&self) -> Vec<(HeaderName, HeaderValue)> {
        let load = self.settings.load.map(|Load { cpu, memory, disk }| {
            let report = format!(
                "TEXT cpu_utilization={cpu},mem_utilization={memory},named_metrics.disk_utilization={disk}"
            );
            (HeaderName::from_static("endpoint-load-metrics"), report)
        });
        let outcome = self.settings.outcome.clone();
        let outcome = outcome.map(|outcome| (HeaderName::from_static("x-outcome"), outcome));
        let sayings = load.into_iter().chain(outcome);
        // Checked on the way in.
        sayings.filter_map(|(name, value)| Some((name, value.try_into().ok()?))).collect()
    }

    /// Draws what becomes of one request: how long it waits, and its fate then.
    pub fn draw(&self, rng: &mut impl Rng) -> (Duration, Fate) {
        let millis = self.latency.map_or(0.0, |latency| latency.sample(rng));
        let delay = Duration::try_from_secs_f64(millis / 1000.0)
            .map_or(LONGEST, |delay| delay.min(LONGEST));
        let fate = if hit(self.settings.reset_share, rng) {
            Fate::Reset
        } else if hit(self.settings.error_share, rng) {
            Fate::Failed(self.settings.error_status)
        } else {
            Fate::Served
        };
        (delay, fate)
    }
}

/// True with probability `share`: never at 0, always at 1.
fn hit(share: f64, rng: &mut impl Rng) -> bool {
    rand::RngExt::random::<f64>(rng) < share
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    fn parse(text: &str) -> Result<Faults, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_empty_object_is_no_fault() {
        let faults = parse("{}").unwrap();
        assert_eq!(faults, Faults::default());
        let mut rng = SmallRng::seed_from_u64(1);
        assert!((0..1000).all(|_| faults.draw(&mut rng) == (Duration::ZERO, Fate::Served)));
    }

    #[test]
    fn nonsense_is_refused_with_the_reason() {
        for (text, reason) in [
            (r#"{"error_share": 1.5}"#, "error_share is 1.5"),
            (r#"{"reset_share": -0.1}"#, "reset_share is -0.1"),
            (r#"{"error_share": 1, "error_status": 99}"#, "error_status is 99"),
            (r#"{"latency": {"median_ms": 50, "p99_ms": 10}}"#, "median_ms <= p99_ms"),
            (r#"{"latency": {"median_ms": 0, "p99_ms": 10}}"#, "0 < median_ms"),
            (r#"{"latency": {"median_ms": 1, "p99_ms": 1e9}}"#, "60000"),
            (r#"{"load": {"cpu": -0.1}}"#, "load of -0.1"),
            (r#"{"outcome": "a\nb"}"#, "cannot be the value of a header"),
            (r#"{"eror_share": 1}"#, "unknown field"),
            (r#"{"error_share": "all"}"#, "invalid type"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn shares_and_latency_are_what_they_say() {
        let faults = parse(r#"{"error_share": 0.5, "reset_share": 0.2, "latency": {"median_ms": 20, "p99_ms": 80}}"#).unwrap();
        let mut rng = SmallRng::seed_from_u64(7);
        let drawn: Vec<_> = (0..100_000).map(|_| faults.draw(&mut rng)).collect();
        let share = |wanted: &dyn Fn(&(Duration, Fate)) -> bool| {
            f64::from(u32::try_from(drawn.iter().filter(|one| wanted(one)).count()).unwrap())
                / 100_000.0
        };
        assert!((share(&|(_, fate)| *fate == Fate::Reset) - 0.2).abs() < 0.01);
        assert!((share(&|(_, fate)| *fate == Fate::Failed(503)) - 0.4).abs() < 0.01);
        assert!((share(&|(delay, _)| *delay < Duration::from_millis(20)) - 0.5).abs() < 0.01);
        assert!((share(&|(delay, _)| *delay > Duration::from_millis(80)) - 0.01).abs() < 0.003);
    }

    proptest! {
        #[test]
        fn what_was_accepted_survives_the_wire_and_never_waits_past_the_limit(
            error_share in 0.0..=1.0, reset_share in 0.0..=1.0, median_ms in 0.001..60_000.0, spread in 1.0..1000.0, seed: u64,
        ) {
            let p99_ms = f64::min(median_ms * spread, 60_000.0);
            let settings = Settings {
                error_share, reset_share, latency: Some(Latency { median_ms, p99_ms }), ..Settings::default()
            };
            let faults = Faults::try_from(settings).unwrap();
            let (delay, _) = faults.draw(&mut SmallRng::seed_from_u64(seed));
            prop_assert!(delay <= LONGEST);
            prop_assert_eq!(parse(&serde_json::to_string(&faults).unwrap()).is_ok(), true);
        }
    }
}
