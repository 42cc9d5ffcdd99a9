//! The text of verdicts, findings and limits.

use std::fmt;
use std::time::Duration;

use crate::judge::{EValue, Finding, FirstFailures, Level, Limit, RatioInterval, Share, Verdict};
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

/// `latency above p99 2s: 8 of 90 requests in 5s, stable 1 of 800 (e-value 70)`; of the error rate also `; clients that failed
/// first: 3 of 80, stable 1 of 799`, if one of them failed more than once.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { guardrail, limit, bad, requests, window_ms, stable, .. } = self;
        let Self { first_failures, e_value, ratio, .. } = self;
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
        if let Some(FirstFailures { candidate, stable }) = first_failures {
            write!(f, "; clients that failed first: {} of {}", candidate.bad, candidate.requests)?;
            if let Some(Share { requests, bad }) = stable {
                write!(f, ", stable {bad} of {requests}")?;
            }
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
    use crate::judge::Guardrail;

    #[test]
    fn limits_are_shown_as_configured() {
        let latency =
            Limit::Latency { quantile_ppm: Ppm::percent(99), max: Duration::from_secs(10) };
        let cpu = Limit::ResourceUse { quantile_ppm: Ppm::percent(90), max_ppm: Ppm::percent(80) };
        assert_eq!(latency.to_string(), "p99 10s");
        assert_eq!(cpu.to_string(), "p90 80%");
    }

    #[test]
    fn requests_are_shown_beside_the_clients_that_were_judged() {
        let share = |bad, requests| Share { requests, bad };
        let finding = Finding {
            guardrail: Guardrail::ErrorRate,
            level: Level::Rollback,
            limit: Limit::Stable,
            bad: 40,
            requests: 500,
            window_ms: None,
            stable: Some(share(5, 9_500)),
            first_failures: Some(FirstFailures {
                candidate: share(21, 470),
                stable: Some(share(5, 9_500)),
            }),
            e_value: Some(EValue(20_000)),
            ratio: None,
            common_mode: false,
        };
        assert_eq!(
            finding.to_string(),
            "error rate above that of stable: 40 of 500 requests, stable 5 of 9500; \
             clients that failed first: 21 of 470, stable 5 of 9500 (e-value 20000)"
        );
    }
}
