//! Checks of CI, and signals about a version: a security signal rolls back and quarantines, a business signal blocks.

use std::collections::BTreeSet;

use super::verbs::rolled_back;
use super::{Decision, done, groups, reason, unchanged};
use crate::model::checks::{CheckResult, MAX_CHECKS, MAX_URL};
use crate::model::command::{CommandContext, Refusal};
use crate::model::event::Event;
use crate::model::refusal::{Invalid, Known};
use crate::model::release::{Release, RollbackCause};
use crate::model::signals::{MAX_QUARANTINED, MAX_SIGNALS, Signal, SignalKind, SignalStatus};
use crate::model::state::{ServiceState, State};
use crate::names::{CheckName, VersionName};

/// Checks that version and check exist: a misspelt name would leave the release waiting for the right one.
fn known(service: &ServiceState, version: &VersionName, check: &CheckName) -> Result<(), Refusal> {
    let name = &service.spec.name;
    if !service.spec.versions.contains_key(version) {
        return Err(Refusal::UnknownVersion {
            service: name.clone(),
            version: version.clone(),
            known: Known::of(service.spec.versions.keys()),
        });
    }
    let own = service.running().filter(|it| it.candidate == *version).map(|it| &it.plan);
    let plans = std::iter::once(&service.spec.plan).chain(own);
    let required: BTreeSet<_> = plans.flat_map(|plan| &plan.requirements.checks).collect();
    if required.contains(check) {
        return Ok(());
    }
    Err(Refusal::UnknownCheck {
        service: name.clone(),
        check: check.clone(),
        known: Known::of(required.into_iter()),
    })
}

/// Records the result of a required check, at any time after the version was registered.
pub(super) fn checked(
    service: &ServiceState,
    version: &VersionName,
    check: &CheckName,
    result: CheckResult,
) -> Result<Decision, Refusal> {
    known(service, version, check)?;
    let url = result.url.as_deref().unwrap_or_default();
    if url.len() > MAX_URL || url.chars().any(char::is_control) {
        return Err(Invalid::CheckUrl.into());
    }
    let known = service.checks.of(version);
    let before = known.and_then(|known| known.get(check));
    if before.is_none() && known.is_some_and(|known| known.len() >= MAX_CHECKS) {
        return Err(Invalid::TooManyChecks(version.clone()).into());
    }
    let release = service.running().filter(|release| release.candidate == *version);
    let release = release.map(|release| &release.id);
    let verdict = if result.passed { "passed" } else { "failed" };
    let message = format!("check `{check}` of `{version}` {verdict}");
    if before == Some(&result) {
        return Ok(unchanged(release, message + ", as reported before"));
    }
    let event = Event::CheckReported {
        service: service.spec.name.clone(),
        version: version.clone(),
        check: check.clone(),
        result,
    };
    Ok(done(release, vec![event], message))
}

pub(super) fn signal(
    state: &State,
    service: &ServiceState,
    command_context: &CommandContext<'_>,
    signal: &Signal,
) -> Result<Decision, Refusal> {
    match (signal.kind, signal.status) {
        (SignalKind::Security, SignalStatus::Bad) => {
            quarantine(state, service, command_context, signal)
        }
        (SignalKind::Security, SignalStatus::Ok) => {
            let (name, version) = (&service.spec.name, &signal.version);
            if service.quarantined.contains_key(version) {
                let (service, version) = (name.clone(), version.clone());
                return Err(Invalid::QuarantineBySignal { service, version }.into());
            }
            Ok(unchanged(None, format!("version `{version}` of `{name}` is not quarantined")))
        }
        (SignalKind::Business, SignalStatus::Bad) => raise(service, command_context, signal),
        (SignalKind::Business, SignalStatus::Ok) => Ok(clear(service, signal)),
    }
}

/// Quarantines a version, and rolls back to a safe version if there is one.
fn quarantine(
    state: &State,
    service: &ServiceState,
    command_context: &CommandContext<'_>,
    signal: &Signal,
) -> Result<Decision, Refusal> {
    let (name, version) = (&service.spec.name, &signal.version);
    let mut events = Vec::new();
    let is_full = service.quarantined.len() >= MAX_QUARANTINED;
    let is_known = service.quarantined.contains_key(version);
    if !is_known && !is_full {
        events.push(Event::VersionQuarantined {
            service: name.clone(),
            version: version.clone(),
            signal: signal.name.clone(),
            reason: reason(command_context),
        });
    }
    let cause =
        RollbackCause::Security { signal: signal.name.clone(), reason: reason(command_context) };
    let (rollback, release, message) = roll_back(service, command_context, version, &cause);
    let message = if is_known || !is_full {
        format!("version `{version}` of `{name}` is quarantined; {message}")
    } else {
        let full = Invalid::TooManyQuarantined { service: name.clone(), version: version.clone() };
        if rollback.is_empty() {
            return Err(full.into());
        }
        // The limit of the list does not prevent the rollback.
        format!("{message}; {full}")
    };
    events.extend(rollback);
    let release = release.map(|it| &it.id);
    Ok(if events.is_empty() {
        unchanged(release, message)
    } else {
        done(release, groups::with_rollback_of_group(state, events), message)
    })
}

fn roll_back<'a>(
    service: &'a ServiceState,
    command_context: &CommandContext<'_>,
    version: &VersionName,
    cause: &RollbackCause,
) -> (Vec<Event>, Option<&'a Release>, String) {
    if let Some(release) = service.running().filter(|it| it.candidate == *version) {
        let event = rolled_back(&release.id, cause.clone());
        let message = format!("release `{}` is rolled back to `{}`", release.id, release.stable);
        return (vec![event], Some(release), message);
    }
    if service.stable != *version {
        return (Vec::new(), None, "it receives no traffic".to_owned());
    }
    let in_time = service.previous_until.is_some_and(|until| command_context.at < until);
    let safe = |it: &&VersionName| !service.quarantined.contains_key(*it);
    match service.previous.as_ref().filter(|_| in_time).filter(safe) {
        Some(previous) => {
            let mut events = Vec::new();
            let mut message = String::new();
            // The rollback of the running release would restore the unsafe version.
            if let Some(release) = service.running() {
                events.push(rolled_back(&release.id, cause.clone()));
                message = format!("release `{}` is rolled back, and ", release.id);
            }
            events.push(Event::StableRestored {
                service: service.spec.name.clone(),
                version: previous.clone(),
                cause: cause.clone(),
            });
            message += &format!("`{previous}` is stable again");
            (events, service.release.as_ref(), message)
        }
        None => match service.running() {
            Some(release) => {
                let message = format!(
                    "it is stable, no safe previous version exists, and release `{}` to `{}` is running: promote that release if its candidate is safe",
                    release.id, release.candidate
                );
                (Vec::new(), Some(release), message)
            }
            None => {
                let message =
                    "it stays stable, because no safe previous version exists: release a safe one";
                (Vec::new(), None, message.to_owned())
            }
        },
    }
}

fn raise(
    service: &ServiceState,
    command_context: &CommandContext<'_>,
    signal: &Signal,
) -> Result<Decision, Refusal> {
    let (name, version) = (&service.spec.name, &signal.version);
    if !service.spec.versions.contains_key(version) {
        return Err(Refusal::UnknownVersion {
            service: name.clone(),
            version: version.clone(),
            known: Known::of(service.spec.versions.keys()),
        });
    }
    if service.signals.is_active(version, &signal.name) {
        let message = format!("the signal `{}` is active for `{version}` already", signal.name);
        return Ok(unchanged(None, message));
    }
    if service.signals.against(version).count() >= MAX_SIGNALS {
        return Err(Invalid::TooManySignals(version.clone()).into());
    }
    let event = Event::SignalRaised {
        service: name.clone(),
        version: version.clone(),
        signal: signal.name.clone(),
        reason: reason(command_context),
    };
    let release = service.running().filter(|it| it.candidate == *version);
    let message = match release {
        Some(release) => format!(
            "the signal `{}` blocks release `{}` at {} until it clears; to roll back: tidegate release rollback {name}",
            signal.name,
            release.id,
            release.weight()
        ),
        None => format!("the signal `{}` is active for `{version}`", signal.name),
    };
    Ok(done(release.map(|it| &it.id), vec![event], message))
}

fn clear(service: &ServiceState, signal: &Signal) -> Decision {
    let version = &signal.version;
    if !service.signals.is_active(version, &signal.name) {
        let message = format!("the signal `{}` is not active for `{version}`", signal.name);
        return unchanged(None, message);
    }
    let event = Event::SignalCleared {
        service: service.spec.name.clone(),
        version: version.clone(),
        signal: signal.name.clone(),
    };
    let release = service.running().filter(|it| it.candidate == *version);
    let message = format!("the signal `{}` for `{version}` is cleared", signal.name);
    done(release.map(|it| &it.id), vec![event], message)
}

pub(super) fn unquarantine(
    service: &ServiceState,
    version: &VersionName,
) -> Result<Decision, Refusal> {
    let name = &service.spec.name;
    if !service.quarantined.contains_key(version) {
        let message = format!("version `{version}` of `{name}` is not quarantined");
        return Ok(unchanged(None, message));
    }
    let event = Event::QuarantineLifted { service: name.clone(), version: version.clone() };
    let message = format!("version `{version}` of `{name}` may be released again");
    Ok(done(None, vec![event], message))
}

pub(super) fn allow_flags(
    service: &ServiceState,
    version: &VersionName,
) -> Result<Decision, Refusal> {
    let name = &service.spec.name;
    if !service.rolled_back.contains_key(version) {
        let message = format!("version `{version}` of `{name}` was not rolled back");
        return Ok(unchanged(None, message));
    }
    let event = Event::FlagsAllowed { service: name.clone(), version: version.clone() };
    let once = match service.quarantined.get(version) {
        Some(signal) => {
            format!(" once its quarantine by the security signal `{}` is lifted", signal.signal)
        }
        None => String::new(),
    };
    let message = format!("flags may select version `{version}` of `{name}` again{once}");
    Ok(done(None, vec![event], message))
}
