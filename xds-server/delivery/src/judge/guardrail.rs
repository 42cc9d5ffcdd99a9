//! The guardrails by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::{MetricName, NameError};

/// Prefix of business metrics.
const BUSINESS: &str = "business/";
/// Prefix of queries.
const QUERY: &str = "query/";

/// The name of a guardrail: in JSON a string, also as the key of a map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Guardrail {
    /// The share of failed requests: `error_rate`.
    ErrorRate,
    /// The share of requests with HTTP 4xx: `client_errors`.
    ClientErrors,
    /// One quantile of the response time: `latency`.
    Latency,
    /// Use of CPU: `cpu`.
    Cpu,
    /// Use of memory: `memory`.
    Memory,
    /// Use of the disk: `disk`.
    Disk,
    /// A business metric: `business/NAME`.
    Business(MetricName),
    /// A query: `query/NAME`.
    Query(MetricName),
}

/// Why a text is not the name of a guardrail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardrailError {
    /// Not a known name.
    #[error(
        "unknown guardrail `{0}`; use error_rate, client_errors, latency, cpu, memory, disk, business/NAME or query/NAME"
    )]
    Unknown(String),
    /// An invalid name of a business metric.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl From<Guardrail> for String {
    fn from(guardrail: Guardrail) -> Self {
        match guardrail {
            Guardrail::ErrorRate => "error_rate".to_owned(),
            Guardrail::ClientErrors => "client_errors".to_owned(),
            Guardrail::Latency => "latency".to_owned(),
            Guardrail::Cpu => "cpu".to_owned(),
            Guardrail::Memory => "memory".to_owned(),
            Guardrail::Disk => "disk".to_owned(),
            Guardrail::Business(name) => format!("{BUSINESS}{name}"),
            Guardrail::Query(name) => format!("{QUERY}{name}"),
        }
    }
}

impl FromStr for Guardrail {
    type Err = GuardrailError;

    fn from_str(word: &str) -> Result<Self, GuardrailError> {
        Ok(match word {
            "error_rate" => Self::ErrorRate,
            "client_errors" => Self::ClientErrors,
            "latency" => Self::Latency,
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            "disk" => Self::Disk,
            other => match (other.strip_prefix(BUSINESS), other.strip_prefix(QUERY)) {
                (Some(name), _) => Self::Business(name.parse()?),
                (_, Some(name)) => Self::Query(name.parse()?),
                _ => {
                    let word = other.chars().take(40).collect();
                    return Err(GuardrailError::Unknown(word));
                }
            },
        })
    }
}

impl TryFrom<String> for Guardrail {
    type Error = GuardrailError;

    fn try_from(word: String) -> Result<Self, GuardrailError> {
        word.parse()
    }
}

/// As in messages: `error rate`.
impl fmt::Display for Guardrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErrorRate => f.write_str("error rate"),
            Self::ClientErrors => f.write_str("rate of client errors"),
            Self::Latency => f.write_str("latency"),
            Self::Cpu => f.write_str("use of CPU"),
            Self::Memory => f.write_str("use of memory"),
            Self::Disk => f.write_str("use of disk"),
            Self::Business(name) => write!(f, "share of bad `{name}`"),
            Self::Query(name) => write!(f, "query `{name}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_guardrail_is_read_as_it_is_written() {
        let all = [
            Guardrail::ErrorRate,
            Guardrail::ClientErrors,
            Guardrail::Latency,
            Guardrail::Cpu,
            Guardrail::Memory,
            Guardrail::Disk,
            Guardrail::Business("order_success".parse().unwrap()),
            Guardrail::Query("queue".parse().unwrap()),
        ];
        let map: BTreeMap<_, _> = all.into_iter().zip(0..).collect();
        let json = serde_json::to_string(&map).unwrap();
        assert_eq!(
            json,
            r#"{"error_rate":0,"client_errors":1,"latency":2,"cpu":3,"memory":4,"disk":5,"business/order_success":6,"query/queue":7}"#
        );
        assert_eq!(serde_json::from_str::<BTreeMap<Guardrail, i32>>(&json).unwrap(), map);
        for word in ["", "business", "business/", "business/a b", "errors"] {
            assert!(word.parse::<Guardrail>().is_err(), "{word}");
        }
    }
}
