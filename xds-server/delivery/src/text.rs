//! The words for blockers. The edge of the server uses them for views, and the reducer for the messages of commands; no
//! decision depends on them.

use crate::judge::Finding;
use crate::model::blocker::Blocker;
use crate::model::progress::Nack;
use crate::model::signals::because;

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
        Blocker::Time { remaining } => {
            format!("time: {} s more", remaining.as_millis().div_ceil(1000))
        }
        Blocker::Requests { missing } => format!("requests: {missing} more"),
        Blocker::ReportCoverage { remaining } => {
            let seconds = remaining.as_millis().div_ceil(1000);
            format!("reports: {seconds} s more of them, since the last gap")
        }
        Blocker::Alert { finding } => {
            let Finding { guardrail, limit, bad, requests, .. } = finding;
            format!("the {guardrail} to fall below {limit} ({bad} of {requests} above it)")
        }
        Blocker::UnclearedAlert { guardrail, level, missing } => {
            format!("{missing} more requests to clear the {level} alert of its {guardrail}")
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
            format!("the check `{check}` to pass, which failed{}{url}", because(reason.as_deref()))
        }
        Blocker::FreezeWindow { freeze, until } => {
            format!("the freeze window `{freeze}` to end, {until}")
        }
        Blocker::Freeze { service, by, reason } => {
            let of = service.as_ref().map_or_else(String::new, |name| format!(" of `{name}`"));
            format!("the freeze{of} by {by} to end{}", because(reason.as_deref()))
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
            let seconds = remaining.as_millis().div_ceil(1000);
            format!("DNS: old answers for `{name}` to expire, {seconds} s more")
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
            let names: Vec<_> = lagging.iter().map(|it| format!("`{it}`")).collect();
            let rest = if *more == 0 { String::new() } else { format!(" and {more} more") };
            let names = names.join(", ");
            format!("sidecars: {acked} of {connected} have it, not yet {names}{rest}")
        }
        Blocker::Signal { signal, reason } => {
            format!("the business signal `{signal}` to clear{}", because(reason.as_deref()))
        }
        Blocker::Group { group, release, blockers } => {
            format!(
                "`{release}` of its group `{group}`, which waits for {}",
                self::blockers(blockers)
            )
        }
    }
}

/// All of them, in one line.
#[must_use]
pub fn blockers(blockers: &[Blocker]) -> String {
    blockers.iter().map(blocker).collect::<Vec<_>>().join("; ")
}
