//! Fault injection for the demo service. Settings come from the network: [`FaultSettings`] is the JSON form,
//! [`Faults`] the validated one, and the conversion between them is the only constructor.

use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use rand::Rng;
use rand_distr::{Distribution, LogNormal};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The 99th percentile of the standard normal distribution, for the sigma of a log-normal given by median and p99.
const Z_P99: f64 = 2.326_347_874_040_841;
/// Upper bound of an injected delay.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Validated faults. The default injects none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "FaultSettings", into = "FaultSettings")]
pub struct Faults {
    settings: FaultSettings,
    latency: Option<LogNormal<f64>>,
}

/// Faults as written in JSON: `{"error_share": 0.2, "latency": {"median_ms": 20, "p99_ms": 80}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultSettings {
    /// Probability, 0 to 1, that a request that is not reset is answered with `error_status`.
    pub error_share: f64,
    /// 200 to 599.
    pub error_status: u16,
    /// Delay added before every response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Probability, 0 to 1, that a request's TCP connection is reset instead of answered.
    pub reset_share: f64,
    /// ORCA load report sent with every response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<OrcaLoad>,
    /// Value of the `x-outcome` header of every response: the business outcome of the order or the payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Whether the faults apply to `/healthz` too. By default a faulty version still passes its health checks.
    pub healthz: bool,
}

/// An ORCA load report. Each value is a fraction of the instance's capacity, 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrcaLoad {
    pub cpu: f64,
    pub memory: f64,
    pub disk: f64,
}

/// A log-normal distribution, given by two of its quantiles: 0 < `median_ms` <= `p99_ms` <= 60000.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    pub median_ms: f64,
    pub p99_ms: f64,
}

/// An invalid [`FaultSettings`].
#[derive(Debug, Error, PartialEq)]
pub enum FaultsError {
    #[error("{field} is {value}, but a share lies between 0 and 1")]
    Share { field: &'static str, value: f64 },
    #[error("error_status is {0}, but must lie between 200 and 599")]
    Status(u16),
    #[error("outcome {0:?} is not a valid header value")]
    Outcome(String),
    #[error("load of {0} is not between 0 (idle) and 100 (100 times the capacity)")]
    Load(f64),
    #[error(
        "latency needs 0 < median_ms <= p99_ms <= 60000, not median_ms {median_ms} and p99_ms {p99_ms}"
    )]
    Latency { median_ms: f64, p99_ms: f64 },
}

/// How the service answers one request, after the delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Serve,
    /// Responds with this status.
    Fail(u16),
    /// Resets the connection.
    Reset,
}

impl Default for FaultSettings {
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

impl TryFrom<FaultSettings> for Faults {
    type Error = FaultsError;

    fn try_from(settings: FaultSettings) -> Result<Self, FaultsError> {
        for (field, value) in
            [("error_share", settings.error_share), ("reset_share", settings.reset_share)]
        {
            if !(0.0..=1.0).contains(&value) {
                return Err(FaultsError::Share { field, value });
            }
        }
        if !(200..=599).contains(&settings.error_status) {
            return Err(FaultsError::Status(settings.error_status));
        }
        if let Some(OrcaLoad { cpu, memory, disk }) = settings.load
            && let Some(invalid) =
                [cpu, memory, disk].into_iter().find(|it| !(0.0..=100.0).contains(it))
        {
            return Err(FaultsError::Load(invalid));
        }
        let outcome = settings.outcome.as_deref();
        if let Some(outcome) = outcome.filter(|it| HeaderValue::from_str(it).is_err()) {
            return Err(FaultsError::Outcome(outcome.to_owned()));
        }
        let latency = settings.latency.map(Latency::distribution).transpose()?;
        Ok(Self { settings, latency })
    }
}

impl From<Faults> for FaultSettings {
    fn from(faults: Faults) -> Self {
        faults.settings
    }
}

impl Latency {
    fn distribution(self) -> Result<LogNormal<f64>, FaultsError> {
        let Self { median_ms, p99_ms } = self;
        let invalid = FaultsError::Latency { median_ms, p99_ms };
        let ordered =
            0.0 < median_ms && median_ms <= p99_ms && p99_ms <= MAX_DELAY.as_secs_f64() * 1000.0;
        if !ordered {
            return Err(invalid);
        }
        LogNormal::new(median_ms.ln(), (p99_ms / median_ms).ln() / Z_P99).map_err(|_| invalid)
    }
}

impl Faults {
    /// Faults that answer a share of the requests with `error_status`.
    ///
    /// # Errors
    /// If the share or the status is out of range.
    pub fn errors(error_share: f64, error_status: u16) -> Result<Self, FaultsError> {
        FaultSettings { error_share, error_status, ..FaultSettings::default() }.try_into()
    }

    /// Faults that delay every response.
    ///
    /// # Errors
    /// If the two quantiles are out of range or out of order.
    pub fn slow(median_ms: f64, p99_ms: f64) -> Result<Self, FaultsError> {
        FaultSettings { latency: Some(Latency { median_ms, p99_ms }), ..FaultSettings::default() }
            .try_into()
    }

    #[must_use]
    pub fn apply_to_healthz(&self) -> bool {
        self.settings.healthz
    }

    /// Headers added to every response: the ORCA load report and the business outcome, where set.
    #[must_use]
    pub fn response_headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let load = self.settings.load.map(|OrcaLoad { cpu, memory, disk }| {
            let report = format!(
                "TEXT cpu_utilization={cpu},mem_utilization={memory},named_metrics.disk_utilization={disk}"
            );
            (HeaderName::from_static("endpoint-load-metrics"), report)
        });
        let outcome = self.settings.outcome.clone();
        let outcome = outcome.map(|outcome| (HeaderName::from_static("x-outcome"), outcome));
        let headers = load.into_iter().chain(outcome);
        // The values were validated on construction, so none is dropped here.
        headers.filter_map(|(name, value)| Some((name, value.try_into().ok()?))).collect()
    }

    /// Draws delay and action of one request.
    pub fn draw(&self, rng: &mut impl Rng) -> (Duration, Action) {
        let millis = self.latency.map_or(0.0, |latency| latency.sample(rng));
        let delay = Duration::try_from_secs_f64(millis / 1000.0)
            .map_or(MAX_DELAY, |delay| delay.min(MAX_DELAY));
        let action = if hit(self.settings.reset_share, rng) {
            Action::Reset
        } else if hit(self.settings.error_share, rng) {
            Action::Fail(self.settings.error_status)
        } else {
            Action::Serve
        };
        (delay, action)
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
    fn the_empty_object_injects_no_fault() {
        let faults = parse("{}").unwrap();
        assert_eq!(faults, Faults::default());
        let mut rng = SmallRng::seed_from_u64(1);
        assert!((0..1000).all(|_| faults.draw(&mut rng) == (Duration::ZERO, Action::Serve)));
    }

    #[test]
    fn invalid_settings_are_rejected_with_the_reason() {
        for (text, reason) in [
            (r#"{"error_share": 1.5}"#, "error_share is 1.5"),
            (r#"{"reset_share": -0.1}"#, "reset_share is -0.1"),
            (r#"{"error_share": 1, "error_status": 99}"#, "error_status is 99"),
            (r#"{"latency": {"median_ms": 50, "p99_ms": 10}}"#, "median_ms <= p99_ms"),
            (r#"{"latency": {"median_ms": 0, "p99_ms": 10}}"#, "0 < median_ms"),
            (r#"{"latency": {"median_ms": 1, "p99_ms": 1e9}}"#, "60000"),
            (r#"{"load": {"cpu": -0.1}}"#, "load of -0.1"),
            (r#"{"outcome": "a\nb"}"#, "not a valid header value"),
            (r#"{"eror_share": 1}"#, "unknown field"),
            (r#"{"error_share": "all"}"#, "invalid type"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn drawn_shares_and_delays_match_the_settings() {
        let faults = parse(r#"{"error_share": 0.5, "reset_share": 0.2, "latency": {"median_ms": 20, "p99_ms": 80}}"#).unwrap();
        let mut rng = SmallRng::seed_from_u64(7);
        let drawn: Vec<_> = (0..100_000).map(|_| faults.draw(&mut rng)).collect();
        let share = |wanted: &dyn Fn(&(Duration, Action)) -> bool| {
            f64::from(u32::try_from(drawn.iter().filter(|one| wanted(one)).count()).unwrap())
                / 100_000.0
        };
        assert!((share(&|(_, action)| *action == Action::Reset) - 0.2).abs() < 0.01);
        assert!((share(&|(_, action)| *action == Action::Fail(503)) - 0.4).abs() < 0.01);
        assert!((share(&|(delay, _)| *delay < Duration::from_millis(20)) - 0.5).abs() < 0.01);
        assert!((share(&|(delay, _)| *delay > Duration::from_millis(80)) - 0.01).abs() < 0.003);
    }

    proptest! {
        #[test]
        fn valid_settings_round_trip_and_delays_stay_below_the_limit(
            error_share in 0.0..=1.0, reset_share in 0.0..=1.0, median_ms in 0.001..60_000.0, spread in 1.0..1000.0, seed: u64,
        ) {
            let p99_ms = f64::min(median_ms * spread, 60_000.0);
            let settings = FaultSettings {
                error_share, reset_share, latency: Some(Latency { median_ms, p99_ms }), ..FaultSettings::default()
            };
            let faults = Faults::try_from(settings).unwrap();
            let (delay, _) = faults.draw(&mut SmallRng::seed_from_u64(seed));
            prop_assert!(delay <= MAX_DELAY);
            prop_assert_eq!(parse(&serde_json::to_string(&faults).unwrap()).is_ok(), true);
        }
    }
}
