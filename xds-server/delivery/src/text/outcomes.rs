//! The text of outcomes: what the CLI prints, and the member `message` of the answers of the API.

use std::fmt;

use super::blockers::blockers;
use super::configuration::{unused, withheld};
use super::flags::{absent_attributes, flag_block};
use crate::model::outcome::{EarlierRelease, Effect, FlagWarning, Outcome, SecurityRollback};
use crate::model::refusal::{Invalid, Known};
use crate::names::{ReleaseId, ServiceName};

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { release, changed, effect } = self;
        let id = release.as_ref();
        let release = Subject(id);
        match (effect, changed) {
            (Effect::Started { service, stable, candidate, freezes }, _) => {
                write!(f, "{release} of `{service}` from `{stable}` to `{candidate}` starts")?;
                if freezes.is_empty() {
                    return Ok(());
                }
                let freezes = blockers(freezes);
                write!(f, " and stays at 0% while deployments are frozen: it waits for {freezes}")
            }
            (Effect::Running { candidate, weight }, _) => {
                write!(f, "{release} to `{candidate}` is running, at {weight}")
            }
            (Effect::Promoted { weight, paused, .. }, _) => {
                let paused = if *paused { "; it is still paused" } else { "" };
                write!(f, "{release} is promoted to {weight}{paused}")
            }
            (Effect::LeftStep { from, step }, _) => {
                write!(f, "{release} has left step {from}: it is on step {step}")
            }
            (Effect::Watching, _) => write!(
                f,
                "{release} is in its last step and watched; promote it without `all` to complete it now"
            ),
            (Effect::Completed { stable }, true) => {
                write!(f, "{release} is complete: `{stable}` is stable")
            }
            (Effect::Completed { .. }, false) => write!(f, "{release} is complete"),
            (Effect::Paused { weight }, true) => write!(f, "{release} is paused at {weight}"),
            (Effect::Paused { .. }, false) => write!(f, "{release} is paused already"),
            (Effect::Resumed { overridden: None }, true) => write!(f, "{release} is resumed"),
            (Effect::Resumed { overridden: Some(guardrail) }, true) => write!(
                f,
                "{release} is resumed, and its broken {guardrail} is overridden until its next step"
            ),
            (Effect::Resumed { .. }, false) => write!(f, "{release} is not paused"),
            (Effect::Approved { role, missing: 0, .. }, true)
            | (Effect::ApprovalsComplete { role }, _) => {
                write!(f, "{release} has all approvals as `{role}` for its next step")
            }
            (Effect::Approved { by, missing, .. }, true) => {
                write!(f, "{release} is approved by {by}; {missing} more are required")
            }
            (Effect::Approved { by, until, .. }, false) => {
                write!(f, "{release} has the approval of {by} until {until}")
            }
            (Effect::RolledBack { stable, .. }, true) => {
                write!(f, "{release} is rolled back: `{stable}` receives all traffic")
            }
            (Effect::RolledBack { stable, earlier }, false) => {
                write!(f, "{release} is rolled back already; `{stable}` is stable")?;
                let Some(EarlierRelease { service, release, restores }) = earlier else {
                    return Ok(());
                };
                write!(f, ". To restore `{restores}`: ")?;
                write!(f, "tidegate release rollback {service} --release {release}")
            }
            (Effect::StableRestored { stable, quarantined_by }, _) => {
                write!(f, "{release} is rolled back: `{stable}` is stable again")?;
                let Some(signal) = quarantined_by else { return Ok(()) };
                write!(f, ", although it is quarantined by the security signal `{signal}`")
            }
            (Effect::Refused { verb, conflict }, _) => {
                write!(f, "cannot {verb} {release}: {conflict}")
            }
            (Effect::GroupRunning { group, members }, _) => {
                let members = Known::of(members.iter());
                write!(f, "release group `{group}` is running, with {members}")
            }
            (Effect::Group { group, members }, _) => {
                write!(f, "release group `{group}`: ")?;
                write_members(f, members)
            }
            (Effect::SmokeTested { .. }, false) => {
                write!(f, "{release} waits for no smoke tests")
            }
            (Effect::SmokeTested { failure: None }, true) => {
                write!(f, "{release}: the smoke tests passed")
            }
            (Effect::SmokeTested { failure: Some(failure) }, true) => {
                write!(f, "{release} is rolled back: a smoke test failed: {failure}")
            }
            (Effect::HealthChecked { .. }, false) => {
                write!(f, "{release}: the health of its instances is unchanged")
            }
            (Effect::HealthChecked { health }, true) if health.is_healthy() => {
                write!(f, "{release}: its instances are healthy")
            }
            (Effect::HealthChecked { health }, true) => {
                write!(f, "{release}: instances are unhealthy: {health}")
            }
            (Effect::HookEnded { hook, .. }, false) => {
                write!(f, "{release} has no due call of hook `{hook}`")
            }
            (Effect::HookEnded { hook, error: None }, true) => {
                write!(f, "hook `{hook}` of {release} was called")
            }
            (Effect::HookEnded { hook, error: Some(error) }, true) => {
                write!(f, "hook `{hook}` of {release} failed: {error}")
            }
            (Effect::DnsUpdated { service, records }, true) => {
                write!(f, "the records of `{service}` are {records}")
            }
            (Effect::DnsUpdated { service, .. }, false) => {
                write!(f, "the records of `{service}` are no longer the desired ones")
            }
            (Effect::DnsFailed { service, error }, true) => {
                write!(f, "the records of `{service}` could not be updated: {error}")
            }
            (Effect::DnsFailed { service, error }, false) => {
                write!(f, "the records of `{service}`: {error}")
            }
            (Effect::VersionRegistered { service, version }, true) => {
                write!(f, "version `{version}` of `{service}` is registered")
            }
            (Effect::VersionRegistered { service, version }, false) => {
                write!(f, "version `{version}` of `{service}` is registered there already")
            }
            (Effect::VersionRemoved { service, version }, true) => {
                write!(f, "version `{version}` of `{service}` is removed")
            }
            (Effect::VersionRemoved { service, version }, false) => {
                write!(f, "there is no version `{version}` of `{service}`")
            }
            (Effect::CheckReported { version, check, passed }, changed) => {
                let passed = if *passed { "passed" } else { "failed" };
                let before = if *changed { "" } else { ", as reported before" };
                write!(f, "check `{check}` of `{version}` {passed}{before}")
            }
            (Effect::Quarantined { service, version, listed: true, rollback }, _) => {
                write!(f, "version `{version}` of `{service}` is quarantined; ")?;
                write_security_rollback(f, id, rollback)
            }
            (Effect::Quarantined { service, version, listed: false, rollback }, _) => {
                write_security_rollback(f, id, rollback)?;
                let (service, version) = (service.clone(), version.clone());
                write!(f, "; {}", Invalid::TooManyQuarantined { service, version })
            }
            (Effect::Unquarantined { service, version }, true) => {
                write!(f, "version `{version}` of `{service}` may be released again")
            }
            (Effect::Unquarantined { service, version }, false) => {
                write!(f, "version `{version}` of `{service}` is not quarantined")
            }
            (Effect::SignalRaised { signal, version, .. }, false) => {
                write!(f, "the signal `{signal}` is active for `{version}` already")
            }
            (Effect::SignalRaised { signal, version, blocked_at: None, .. }, true) => {
                write!(f, "the signal `{signal}` is active for `{version}`")
            }
            (Effect::SignalRaised { service, signal, blocked_at: Some(weight), .. }, true) => {
                write!(f, "the signal `{signal}` blocks {release} at {weight} until it clears; ")?;
                write!(f, "to roll back: tidegate release rollback {service}")
            }
            (Effect::SignalCleared { signal, version }, true) => {
                write!(f, "the signal `{signal}` for `{version}` is cleared")
            }
            (Effect::SignalCleared { signal, version }, false) => {
                write!(f, "the signal `{signal}` is not active for `{version}`")
            }
            (Effect::FlagsAllowed { service, version, quarantined_by }, true) => {
                write!(f, "flags may select version `{version}` of `{service}` again")?;
                let Some(signal) = quarantined_by else { return Ok(()) };
                write!(f, " once its quarantine by the security signal `{signal}` is lifted")
            }
            (Effect::FlagsAllowed { service, version, .. }, false) => {
                write!(f, "version `{version}` of `{service}` was not rolled back")
            }
            (Effect::Frozen { service, .. }, true) => {
                let deployments = Deployments(service.as_ref());
                write!(f, "{deployments} are frozen: no release advances; rollbacks are possible")
            }
            (Effect::Frozen { service, by }, false) => {
                write!(f, "{} are frozen already, by {by}", Deployments(service.as_ref()))
            }
            (Effect::Unfrozen { service }, true) => {
                write!(f, "the freeze of {} has ended", Deployments(service.as_ref()))
            }
            (Effect::Unfrozen { service }, false) => {
                write!(f, "{} are not frozen by hand", Deployments(service.as_ref()))
            }
            (Effect::ConfigurationApplied { version, services, withheld, unused }, changed) => {
                if *changed {
                    write!(f, "configuration {version} is applied, with {services} services")?;
                } else {
                    write!(f, "configuration {version} is applied already")?;
                }
                f.write_str(&self::unused(unused.iter()))?;
                if withheld.is_empty() {
                    return Ok(());
                }
                write!(f, "; {}", self::withheld(withheld))
            }
            (Effect::FlagsReplaced { .. } | Effect::FlagsMerged { .. }, false) => {
                f.write_str("the flags are unchanged")
            }
            (Effect::FlagsReplaced { flags, before, warnings }, true) => {
                write!(f, "{flags} flags replace {before}")?;
                write_warnings(f, warnings)
            }
            (Effect::FlagsMerged { keys, different, warnings }, true) => {
                write!(f, "{different} of {} flags changed: ", keys.len())?;
                let keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
                f.write_str(&keys.join(", "))?;
                write_warnings(f, warnings)
            }
            (Effect::FlagSet { key, warnings }, true) => {
                write!(f, "flag `{key}` is set")?;
                write_warnings(f, warnings)
            }
            (Effect::FlagSet { key, .. }, false) => write!(f, "flag `{key}` is unchanged"),
            (Effect::FlagSwitched { key, enabled }, changed) => {
                let enabled = if *enabled { "enabled" } else { "disabled" };
                let already = if *changed { "" } else { " already" };
                write!(f, "flag `{key}` is {enabled}{already}")
            }
            (Effect::FlagDeleted { key }, _) => write!(f, "flag `{key}` is deleted"),
        }
    }
}

/// ``release `order.1` ``.
struct Subject<'a>(Option<&'a ReleaseId>);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "release `{id}`"),
            None => f.write_str("the release"),
        }
    }
}

/// What a freeze by hand is about.
struct Deployments<'a>(Option<&'a ServiceName>);

impl fmt::Display for Deployments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(service) => write!(f, "deployments of `{service}`"),
            None => f.write_str("deployments of all services"),
        }
    }
}

/// The members of a group. Those that refused a rollback are named; an approval does not concern those that refused it.
fn write_members(f: &mut fmt::Formatter<'_>, members: &[Outcome]) -> fmt::Result {
    let mut separator = "";
    for member in members {
        match &member.effect {
            Effect::Refused { verb: "approve", .. } => continue,
            Effect::Refused { .. } => write!(f, "; but {member}")?,
            _ => write!(f, "{separator}{member}")?,
        }
        separator = "; ";
    }
    Ok(())
}

fn write_security_rollback(
    f: &mut fmt::Formatter<'_>,
    release: Option<&ReleaseId>,
    rollback: &SecurityRollback,
) -> fmt::Result {
    let release = Subject(release);
    match rollback {
        SecurityRollback::RolledBack { stable } => {
            write!(f, "{release} is rolled back to `{stable}`")
        }
        SecurityRollback::StableRestored { stable, with_release: false } => {
            write!(f, "`{stable}` is stable again")
        }
        SecurityRollback::StableRestored { stable, with_release: true } => {
            write!(f, "{release} is rolled back, and `{stable}` is stable again")
        }
        SecurityRollback::NoTraffic => f.write_str("it receives no traffic"),
        SecurityRollback::ReleaseRunning { candidate } => write!(
            f,
            "it is stable, no safe previous version exists, and {release} to `{candidate}` is running: promote that \
             release if its candidate is safe"
        ),
        SecurityRollback::NoSafeVersion => f.write_str(
            "it stays stable, because no safe previous version exists: release a safe one",
        ),
    }
}

fn write_warnings(f: &mut fmt::Formatter<'_>, warnings: &[FlagWarning]) -> fmt::Result {
    for warning in warnings {
        match warning {
            FlagWarning::NotSelected { service, version, block } => {
                write!(f, "; {}", flag_block(service, version, block))?;
            }
            FlagWarning::AbsentAttributes { flag, attributes } => {
                write!(f, "; {}", absent_attributes(flag, attributes))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
