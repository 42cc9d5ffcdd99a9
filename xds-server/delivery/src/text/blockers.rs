//! The text of blockers.

use std::time::Duration;

use crate::judge::Finding;
use crate::model::blocker::Blocker;
use crate::model::progress::Nack;
use crate::model::signals::reason_suffix;

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
        Blocker::QueryMissing { guardrail, error: Some(error) } => {
            format!("a value of the {guardrail}, which fails: {error}")
        }
        Blocker::QueryMissing { guardrail, error: None } => format!("a value of the {guardrail}"),
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

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> u128 {
    time.as_millis().div_ceil(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{finding, nack, name};
    use crate::judge::Level;
    use crate::units::Ppm;

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
}
