//! The text of verdicts, findings and limits.

use std::fmt;
use std::time::Duration;

use crate::judge::{EValue, Finding, Level, Limit, RatioInterval, Share, Verdict};
use crate::units::Ppm;

/// `p99`.
fn quantile(quantile: Ppm) -> String {
    format!("p{}", f64::from(quantile.parts()) / 10_000.0)
}

/// `warning`, `critical`, `rollback`.
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Rollback => "rollback",
        })
    }
}

/// `5%`, `p99 10s`, `p90 80%`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share { max_ppm } => write!(f, "{max_ppm}"),
            Self::Latency { quantile_ppm, max } => {
                write!(f, "{} {max:?}", quantile(*quantile_ppm))
            }
            Self::ResourceUse { quantile_ppm, max_ppm } => {
                write!(f, "{} {max_ppm}", quantile(*quantile_ppm))
            }
            Self::Query { limit, .. } => write!(f, "{limit}"),
            Self::Stable => f.write_str("that of stable"),
            Self::Before { max_percent } => {
                write!(f, "{} times that of stable before", times(*max_percent))
            }
        }
    }
}

/// `latency above p99 2s: 8 of 90 requests in 5s, stable 1 of 800 (e-value 70)`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { guardrail, limit, bad, requests, window_ms, stable, e_value, ratio, .. } = self;
        if let Limit::Query { limit, value, of_stable } = limit {
            write!(f, "{guardrail} {limit}: {value}")?;
            if let Some(stable) = of_stable {
                write!(f, ", stable {stable}")?;
            }
            return write!(f, ", {bad} samples in a row");
        }
        write!(f, "{guardrail} above {limit}")?;
        if self.common_mode {
            f.write_str(" on both versions")?;
        }
        write!(f, ": {bad} of {requests} requests")?;
        if let Some(window) = window_ms.map(Duration::from_millis) {
            write!(f, " in {}", humantime::format_duration(window))?;
        }
        if let Some(Share { requests, bad }) = stable {
            write!(f, ", stable {bad} of {requests}")?;
        }
        let evidence = [
            e_value.map(|EValue(value)| format!("e-value {value}")),
            ratio.map(|RatioInterval { low_percent, high_percent }| {
                format!("{} to {} times stable", times(low_percent), times(high_percent))
            }),
        ];
        let evidence: Vec<_> = evidence.into_iter().flatten().collect();
        if evidence.is_empty() { Ok(()) } else { write!(f, " ({})", evidence.join(", ")) }
    }
}

/// `1.5` of 150.
fn times(percent: u32) -> f64 {
    f64::from(percent) / 100.0
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Inconclusive { missing, at_limit: None } => {
                write!(f, "inconclusive, needs about {missing} more requests")
            }
            Self::Inconclusive { at_limit: Some(guardrail), .. } => {
                write!(
                    f,
                    "inconclusive, the {guardrail} is above its alert limit, perhaps by chance"
                )
            }
            Self::Alert { findings } => write!(f, "{}", all(findings)),
            Self::RollBack { findings } => write!(f, "rolls back: {}", all(findings)),
        }
    }
}

/// All findings, each with its level.
fn all(findings: &[Finding]) -> String {
    let each: Vec<String> = findings.iter().map(|it| format!("{}: {it}", it.level)).collect();
    each.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shown_as_configured() {
        let latency =
            Limit::Latency { quantile_ppm: Ppm::percent(99), max: Duration::from_secs(10) };
        let cpu = Limit::ResourceUse { quantile_ppm: Ppm::percent(90), max_ppm: Ppm::percent(80) };
        assert_eq!(latency.to_string(), "p99 10s");
        assert_eq!(cpu.to_string(), "p90 80%");
    }
}
