//! The text of blockers, findings, verdicts, rollback causes and refusals, for people: CLI, REST `detail`, notifications and
//! the messages of commands. No decision depends on it; the journal and the JSON carry the values.

mod changes;
mod configuration;

use std::fmt;
use std::time::Duration;

pub use self::changes::{lost, quoted};
pub use self::configuration::{allow_options, unused, withheld};

use crate::judge::{EValue, Finding, Level, Limit, RatioInterval, Share, Verdict};
use crate::model::blocker::Blocker;
use crate::model::failure::{RequestFailure, SmokeTestFailure};
use crate::model::flag::FlagBlock;
use crate::model::health::{InstanceHealth, UnhealthyInstance};
use crate::model::plan::{HealthCheck, SmokeTest};
use crate::model::progress::Nack;
use crate::model::refusal::{Conflict, VersionUsage, Weaknesses};
use crate::model::release::RollbackCause;
use crate::model::requirements::Approvals;
use crate::model::signals::reason_suffix;
use crate::model::weakness::Weakness;
use crate::names::{ServiceName, VersionName};
use crate::units::Ppm;

/// What a release waits for: the end of a sentence that begins with "waits for".
#[must_use]
pub fn blocker(blocker: &Blocker) -> String {
    match blocker {
        Blocker::Paused => "an operator to resume it".to_owned(),
        Blocker::PausedByGuardrail { finding } => {
            let Finding { guardrail, limit, bad, requests, .. } = finding;
            format!(
                "an operator to resume it or roll it back: the {guardrail} is above {limit} ({bad} of {requests})"
            )
        }
        Blocker::StepStarting => "its step to begin".to_owned(),
        Blocker::Time { remaining } => format!("time: {} s more", seconds(*remaining)),
        Blocker::Requests { missing } => format!("requests: {missing} more"),
        Blocker::ReportCoverage { remaining } => {
            format!("reports: {} s more of them, since the last gap", seconds(*remaining))
        }
        Blocker::Alert { finding } => {
            let Finding { guardrail, limit, bad, requests, .. } = finding;
            format!("the {guardrail} to fall below {limit} ({bad} of {requests} above it)")
        }
        Blocker::UnclearedAlert { guardrail, level, missing } => {
            format!("{missing} more requests to clear the {level} alert of its {guardrail}")
        }
        Blocker::AtLimit { guardrail } => {
            format!("the {guardrail} to fall below its alert limit; it may be above it by chance")
        }
        Blocker::Inconclusive { missing, remaining_ms } => {
            let remaining = remaining_ms.map(Duration::from_millis).map(seconds);
            let or = remaining.map_or_else(String::new, |it| format!(", or {it} s"));
            format!("evidence: about {missing} more requests{or}")
        }
        Blocker::Approval { role, missing: 1, weight } => {
            format!("1 more approval as `{role}` to enter {weight}")
        }
        Blocker::Approval { role, missing, weight } => {
            format!("{missing} more approvals as `{role}` to enter {weight}")
        }
        Blocker::CheckMissing { check } => format!("the check `{check}` to be reported"),
        Blocker::CheckFailed { check, reason, url } => {
            let url = url.as_ref().map_or_else(String::new, |url| format!(", see {url}"));
            let reason = reason_suffix(reason.as_deref());
            format!("the check `{check}` to pass, which failed{reason}{url}")
        }
        Blocker::FreezeWindow { freeze, until } => {
            format!("the freeze window `{freeze}` to end, {until}")
        }
        Blocker::Freeze { service, by, reason } => {
            let of = service.as_ref().map_or_else(String::new, |name| format!(" of `{name}`"));
            format!("the freeze{of} by {by} to end{}", reason_suffix(reason.as_deref()))
        }
        Blocker::HealthUnknown => "the first health check of its instances".to_owned(),
        Blocker::Health { health } => format!("its instances to be healthy: {health}"),
        Blocker::SmokeTests => "its smoke tests".to_owned(),
        Blocker::Hook { hook } => format!("hook `{hook}`"),
        Blocker::HookFailed { hook, error } => {
            format!("an operator to promote it or roll it back: hook `{hook}` failed: {error}")
        }
        Blocker::Dns { name, version, error: None } => {
            format!("DNS: the server to answer for `{name}` with {version}")
        }
        Blocker::Dns { name, error: Some(error), .. } => {
            format!("DNS: `{name}` could not be updated: {error}")
        }
        Blocker::DnsCaches { name, remaining } => {
            format!("DNS: old answers for `{name}` to expire, {} s more", seconds(*remaining))
        }
        Blocker::Nack { nack: Nack { node, resource, message } } => {
            format!(
                "sidecar `{node}` to accept the {resource} configuration it rejected: {message}"
            )
        }
        Blocker::MoreNacks { sidecars } => {
            format!("{sidecars} more sidecars to accept what they rejected")
        }
        Blocker::NoSidecars => {
            "sidecars: none is connected, so none has acknowledged it".to_owned()
        }
        Blocker::Convergence { acked, connected, lagging, more } => {
            let names = sidecars(lagging, *more);
            format!("sidecars: {acked} of {connected} have it, not yet {names}")
        }
        Blocker::SilentSidecars { silent, connected, nodes, more } => {
            let names = sidecars(nodes, *more);
            format!("reports of {silent} of {connected} sidecars, which have the filter: {names}")
        }
        Blocker::Signal { signal, reason } => {
            format!("the business signal `{signal}` to clear{}", reason_suffix(reason.as_deref()))
        }
        Blocker::Group { group, release, blockers } => {
            let blockers = self::blockers(blockers);
            format!("`{release}` of its group `{group}`, which waits for {blockers}")
        }
    }
}

/// Sidecars by name, and how many more.
fn sidecars(names: &[String], more: u32) -> String {
    let names: Vec<_> = names.iter().map(|it| format!("`{it}`")).collect();
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    names.join(", ") + &rest
}

/// All of them, in one line.
#[must_use]
pub fn blockers(blockers: &[Blocker]) -> String {
    blockers.iter().map(blocker).collect::<Vec<_>>().join("; ")
}

/// Why no flag selects a version, and the command that allows it.
#[must_use]
pub fn flag_block(service: &ServiceName, version: &VersionName, block: &FlagBlock) -> String {
    match block {
        FlagBlock::Quarantined { signal } => format!(
            "no flag selects version `{version}` of `{service}`: it is quarantined by the security signal `{signal}`"
        ),
        FlagBlock::RolledBack { release } => format!(
            "no flag selects version `{version}` of `{service}`: it was rolled back with release `{release}`; complete a \
             release of it, or allow it: tidegate version allow-flags {service} {version}"
        ),
    }
}

/// A routing flag reads attributes that requests do not have.
#[must_use]
pub fn absent_attributes(flag: &str, attributes: &[&str]) -> String {
    let names: Vec<_> = attributes.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "the rules of flag `{flag}` read {}, which no request has: use targetingKey, headers.NAME, cookies.NAME, host, path or method",
        names.join(", ")
    )
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> u128 {
    time.as_millis().div_ceil(1000)
}

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

impl fmt::Display for RequestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedStatus { status, expected } => write!(f, "{status}, not {expected}"),
            Self::Timeout => f.write_str("no response within the timeout"),
            Self::Transport { error } => f.write_str(error),
        }
    }
}

impl fmt::Display for SmokeTestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GET {}: {}", self.url, self.failure)
    }
}

/// The unhealthy instances, each with its failure.
impl fmt::Display for InstanceHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, UnhealthyInstance { endpoint, failure }) in self.unhealthy.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{endpoint} ({failure})")?;
        }
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        Ok(())
    }
}

impl fmt::Display for RollbackCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guardrail { finding } => write!(f, "{finding}"),
            Self::SmokeTest { failure } => write!(f, "smoke test: {failure}"),
            Self::Security { signal, reason } => {
                write!(f, "security signal {signal}{}", reason_suffix(reason.as_deref()))
            }
            Self::Group { release, cause } => write!(f, "with {release} of its group: {cause}"),
            Self::Operator => f.write_str("by an operator"),
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("it has ended"),
            Self::RolledBack => f.write_str("it was rolled back; start a new release"),
            Self::Complete => f.write_str("it is complete; roll it back instead"),
            Self::AtFullWeight => f.write_str("it is at 100% already; roll it back instead"),
            Self::SmokeTests => {
                f.write_str("its smoke tests have not passed yet; wait for them, or abort it")
            }
            Self::NoFurtherStep => f.write_str("its plan has no further step; roll it back"),
            Self::Blocked { blockers } => write!(f, "it waits for {}", self::blockers(blockers)),
            Self::NoApproval => f.write_str("its next step requires no approval"),
            Self::OtherRole { role } => {
                write!(f, "its next step requires approvals as `{role}`; approve with that role")
            }
            Self::OwnRelease { actor } => {
                write!(f, "{actor} started it; another person must approve it")
            }
            Self::GroupMember { group, verb } => write!(
                f,
                "it is a member of group `{group}`; use the command on the whole group: \
                 tidegate release group {verb} {group}"
            ),
            Self::PreviousVersionGone { version: Some(version) } => write!(
                f,
                "`{version}`, the stable version before it, is not kept any more; release it instead"
            ),
            Self::PreviousVersionGone { version: None } => f.write_str(
                "the stable version before it is not kept any more; start a release of it instead",
            ),
            Self::SuccessorRunning { release } => {
                write!(
                    f,
                    "release `{release}` started from it and is running; roll that back first"
                )
            }
            Self::OtherStep { current, from } => {
                write!(f, "it is on step {current}, not on step {from}; see tidegate status")
            }
        }
    }
}

impl fmt::Display for VersionUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stable => {
                f.write_str("it is the stable version; complete a release of another one first")
            }
            Self::Candidate { release } => write!(
                f,
                "release `{release}` to it is running; complete it and release another version, abort it, or roll it back"
            ),
            Self::Previous { until: Some(until) } => write!(
                f,
                "it is kept for a rollback, and no rollback could return to it, as it can until {until}; wait until then"
            ),
            Self::Previous { until: None } => f.write_str(
                "it is kept for a rollback, and no rollback could return to it; complete another release first",
            ),
            Self::Flag { key } => write!(
                f,
                "flag `{key}` can select it; disable the flag first: tidegate flag disable {}",
                quoted(key)
            ),
        }
    }
}

/// What the plan must have, separated by semicolons.
impl fmt::Display for Weaknesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, weakness) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{weakness}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |it: &Duration| humantime::format_duration(*it).to_string();
        match self {
            Self::Approvals(required) => write!(f, "{required}, before the first step"),
            Self::Step { weight: Ppm::ALL, min_requests, .. } => {
                write!(f, "{min_requests} requests at 100%")
            }
            Self::Step { weight, time: least, min_requests } => write!(
                f,
                "a step of at most {weight} for {} and {min_requests} requests",
                time(least)
            ),
            Self::StepApprovals { weight, required } => {
                write!(f, "{required}, where its step of {weight} begins")
            }
            Self::Watch(watch) => write!(f, "a watch period of {}", time(watch)),
            Self::SmokeTest(SmokeTest { path, expect }) => {
                write!(f, "the smoke test {path} with status {expect}")
            }
            Self::Health(HealthCheck::Tcp) => f.write_str("the health check tcp"),
            Self::Health(HealthCheck::Http(path)) => write!(f, "the health check {path}"),
            Self::Convergence(share) => write!(f, "convergence of {share} of the sidecars"),
            Self::RollbackWindow(window) => write!(f, "a rollback window of {}", time(window)),
            Self::OnFail => {
                f.write_str("the rollback when a guardrail breaks (`on_fail: rollback`)")
            }
        }
    }
}

/// ``2 approvals as `manager`, valid for at most 1h``.
impl fmt::Display for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, role, expire } = self;
        let approvals = if *count == 1 { "approval" } else { "approvals" };
        write!(f, "{count} {approvals} as `{role}`, valid for at most ")?;
        write!(f, "{}", humantime::format_duration(*expire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{finding, nack, name, smoke_test_failure};

    #[test]
    fn blockers_are_the_end_of_a_sentence() {
        let remaining = Duration::from_millis(2001);
        let blockers = [
            Blocker::Paused,
            Blocker::Time { remaining },
            Blocker::Alert { finding: finding(Level::Warning) },
            Blocker::Approval { role: name("manager"), missing: 1, weight: Ppm::percent(5) },
            Blocker::Nack { nack: nack() },
            Blocker::Group {
                group: name("checkout"),
                release: name("product.1"),
                blockers: vec![Blocker::Requests { missing: 3 }],
            },
        ];
        let expected = [
            "an operator to resume it",
            "time: 3 s more",
            "the error rate to fall below 5% (60 of 1000 above it)",
            "1 more approval as `manager` to enter 5%",
            "sidecar `edge-2` to accept the route configuration it rejected: no such cluster",
            "`product.1` of its group `checkout`, which waits for requests: 3 more",
        ];
        assert_eq!(blockers.each_ref().map(blocker), expected);
        assert_eq!(self::blockers(&blockers), expected.join("; "));
    }

    #[test]
    fn rollback_causes_name_values() {
        let guardrail = RollbackCause::Guardrail { finding: finding(Level::Rollback) };
        let smoke_test = RollbackCause::SmokeTest { failure: smoke_test_failure() };
        let group =
            RollbackCause::Group { release: name("product.1"), cause: Box::new(guardrail.clone()) };
        for (cause, expected) in [
            (guardrail, "error rate above 5%: 60 of 1000 requests"),
            (smoke_test, "smoke test: GET http://127.0.0.1:9202/healthz: 503, not 200"),
            (group, "with product.1 of its group: error rate above 5%: 60 of 1000 requests"),
        ] {
            assert_eq!(cause.to_string(), expected);
            let json = serde_json::to_string(&cause).unwrap();
            assert_eq!(serde_json::from_str::<RollbackCause>(&json).unwrap(), cause, "{json}");
        }
    }

    #[test]
    fn limits_are_shown_as_configured() {
        let latency =
            Limit::Latency { quantile_ppm: Ppm::percent(99), max: Duration::from_secs(10) };
        let cpu = Limit::ResourceUse { quantile_ppm: Ppm::percent(90), max_ppm: Ppm::percent(80) };
        assert_eq!(latency.to_string(), "p99 10s");
        assert_eq!(cpu.to_string(), "p90 80%");
    }
}
