//! What CI, scanners and teams say of a version, and what follows from it.

use std::collections::BTreeSet;

use super::verbs::rolled_back;
use super::{Decision, done, groups, list, reason, unchanged};
use crate::model::checks::{CheckResult, MAX_CHECKS, MAX_URL};
use crate::model::command::{CommandContext, Refusal};
use crate::model::event::Event;
use crate::model::release::{Release, RollbackCause};
use crate::model::signals::{MAX_QUARANTINED, MAX_SIGNALS, Signal, SignalKind, SignalStatus};
use crate::model::state::{ServiceState, State};
use crate::names::{CheckName, VersionName};

/// Both must exist: a result under a misspelt name would leave the release waiting for the right one.
fn known(service: &ServiceState, version: &VersionName, check: &CheckName) -> Result<(), Refusal> {
    let name = &service.spec.name;
    if !service.spec.versions.contains_key(version) {
        return Err(Refusal::UnknownVersion {
            service: name.clone(),
            version: version.clone(),
            known: list(service.spec.versions.keys()),
        });
    }
    let own = service.running().filter(|it| it.candidate == *version).map(|it| &it.plan);
    let plans = std::iter::once(&service.spec.plan).chain(own);
    let required: BTreeSet<_> = plans.flat_map(|plan| &plan.requires.checks).collect();
    if required.contains(check) {
        return Ok(());
    }
    Err(Refusal::UnknownCheck {
        service: name.clone(),
        check: check.clone(),
        known: list(required.into_iter()),
    })
}

/// The result of a required check, reported at any time after the version was registered.
pub(super) fn checked(
    service: &ServiceState,
    version: &VersionName,
    check: &CheckName,
    result: CheckResult,
) -> Result<Decision, Refusal> {
    known(service, version, check)?;
    let url = result.url.as_deref().unwrap_or_default();
    if url.len() > MAX_URL || url.chars().any(char::is_control) {
        return Err(Refusal::Invalid(format!(
            "the address of a check's report may have at most {MAX_URL} bytes, and no control characters"
        )));
    }
    let known = service.checks.of(version);
    let before = known.and_then(|known| known.get(check));
    if before.is_none() && known.is_some_and(|known| known.len() >= MAX_CHECKS) {
        return Err(Refusal::Invalid(format!(
            "version `{version}` has {MAX_CHECKS} checks already: report under one of their names"
        )));
    }
    let release = service.running().filter(|release| release.candidate == *version);
    let release = release.map(|release| &release.id);
    let found = if result.passed { "passed" } else { "failed" };
    let message = format!("check `{check}` of `{version}` {found}");
    if before == Some(&result) {
        return Ok(unchanged(release, message + ", as was reported before"));
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
            unsafe_version(state, service, command_context, signal)
        }
        (SignalKind::Security, SignalStatus::Ok) => {
            let (name, version) = (&service.spec.name, &signal.version);
            if service.quarantined.contains_key(version) {
                return Err(Refusal::Invalid(format!(
                    "a person lifts a quarantine, no signal: tidegate version unquarantine {name} {version}"
                )));
            }
            Ok(unchanged(None, format!("version `{version}` of `{name}` is not quarantined")))
        }
        (SignalKind::Business, SignalStatus::Bad) => raise(service, command_context, signal),
        (SignalKind::Business, SignalStatus::Ok) => Ok(clear(service, signal)),
    }
}

/// Back at once, if there is a way back, and never again until somebody says so.
fn unsafe_version(
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
    let (back, release, message) = way_back(service, command_context, version, &cause);
    let message = if is_known || !is_full {
        format!("version `{version}` of `{name}` is quarantined; {message}")
    } else {
        let full = format!(
            "service `{name}` has {MAX_QUARANTINED} quarantined versions, so `{version}` is not among them: lift those that are gone"
        );
        if back.is_empty() {
            return Err(Refusal::Invalid(full));
        }
        // The list is bounded; the way back is not held up by that.
        format!("{message}; {full}")
    };
    events.extend(back);
    let release = release.map(|it| &it.id);
    Ok(if events.is_empty() {
        unchanged(release, message)
    } else {
        done(release, groups::follow(state, events), message)
    })
}

fn way_back<'a>(
    service: &'a ServiceState,
    command_context: &CommandContext<'_>,
    version: &VersionName,
    cause: &RollbackCause,
) -> (Vec<Event>, Option<&'a Release>, String) {
    if let Some(release) = service.running().filter(|it| it.candidate == *version) {
        let event = rolled_back(&release.id, cause.clone());
        let message = format!("release `{}` went back to `{}`", release.id, release.stable);
        return (vec![event], Some(release), message);
    }
    if service.stable != *version {
        return (Vec::new(), None, "it serves nobody".to_owned());
    }
    let in_time = service.previous_until.is_some_and(|until| command_context.at < until);
    let safe = |it: &&VersionName| !service.quarantined.contains_key(*it);
    match service.previous.as_ref().filter(|_| in_time).filter(safe) {
        Some(previous) => {
            let mut events = Vec::new();
            let mut message = String::new();
            // A release away from it would lead back to it.
            if let Some(release) = service.running() {
                events.push(rolled_back(&release.id, cause.clone()));
                message = format!("release `{}` ended, and ", release.id);
            }
            events.push(Event::StableRestored {
                service: service.spec.name.clone(),
                version: previous.clone(),
                cause: cause.clone(),
            });
            message += &format!("`{previous}` serves again");
            (events, service.release.as_ref(), message)
        }
        None => match service.running() {
            Some(release) => {
                let message = format!(
                    "it serves, there is no safe version to go back to, and release `{}` to `{}` is under way: promote that, if it is the remedy",
                    release.id, release.candidate
                );
                (Vec::new(), Some(release), message)
            }
            None => {
                let message =
                    "it still serves, for there is no safe version to go back to: release one";
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
            known: super::list(service.spec.versions.keys()),
        });
    }
    if service.signals.stands(version, &signal.name) {
        let message = format!("the signal `{}` stands against `{version}`", signal.name);
        return Ok(unchanged(None, message));
    }
    if service.signals.against(version).count() >= MAX_SIGNALS {
        return Err(Refusal::Invalid(format!(
            "{MAX_SIGNALS} signals stand against `{version}`: say of one of them that it is well"
        )));
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
            "the signal `{}` holds release `{}` at {} until it is well again; `tidegate release rollback {name}` takes it back",
            signal.name,
            release.id,
            release.weight()
        ),
        None => format!("the signal `{}` stands against `{version}`", signal.name),
    };
    Ok(done(release.map(|it| &it.id), vec![event], message))
}

fn clear(service: &ServiceState, signal: &Signal) -> Decision {
    let version = &signal.version;
    if !service.signals.stands(version, &signal.name) {
        let message = format!("no signal `{}` stands against `{version}`", signal.name);
        return unchanged(None, message);
    }
    let event = Event::SignalCleared {
        service: service.spec.name.clone(),
        version: version.clone(),
        signal: signal.name.clone(),
    };
    let release = service.running().filter(|it| it.candidate == *version);
    let message = format!("`{version}` is well again, says the signal `{}`", signal.name);
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
