//! Checks of CI, and signals about a version: a security signal rolls back and quarantines, a business signal blocks.

use std::collections::BTreeSet;

use super::verbs::rolled_back;
use super::{Decision, decision, groups, reason, unchanged};
use crate::model::checks::{CheckResult, MAX_CHECKS, MAX_URL};
use crate::model::command::{CommandContext, Refusal};
use crate::model::event::Event;
use crate::model::outcome::{Effect, SecurityRollback};
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
    let effect = Effect::CheckReported {
        version: version.clone(),
        check: check.clone(),
        passed: result.passed,
    };
    if before == Some(&result) {
        return Ok(unchanged(release, effect));
    }
    let event = Event::CheckReported {
        service: service.spec.name.clone(),
        version: version.clone(),
        check: check.clone(),
        result,
    };
    Ok(decision(release, vec![event], effect))
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
            let (name, version) = (service.spec.name.clone(), signal.version.clone());
            if service.quarantined.contains_key(&version) {
                return Err(Invalid::QuarantineBySignal { service: name, version }.into());
            }
            Ok(unchanged(None, Effect::Unquarantined { service: name, version }))
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
    let (events_of_rollback, release, rollback) =
        roll_back(service, command_context, version, &cause);
    let listed = is_known || !is_full;
    // The limit of the list does not prevent the rollback.
    if !listed && events_of_rollback.is_empty() {
        let (service, version) = (name.clone(), version.clone());
        return Err(Invalid::TooManyQuarantined { service, version }.into());
    }
    events.extend(events_of_rollback);
    let events = groups::with_rollback_of_group(state, events);
    let (service, version) = (name.clone(), version.clone());
    let effect = Effect::Quarantined { service, version, listed, rollback };
    Ok(decision(release.map(|it| &it.id), events, effect))
}

fn roll_back<'a>(
    service: &'a ServiceState,
    command_context: &CommandContext<'_>,
    version: &VersionName,
    cause: &RollbackCause,
) -> (Vec<Event>, Option<&'a Release>, SecurityRollback) {
    let running = service.running();
    if let Some(release) = running.filter(|it| it.candidate == *version) {
        let event = rolled_back(release, cause.clone());
        let stable = release.stable.clone();
        return (vec![event], Some(release), SecurityRollback::RolledBack { stable });
    }
    if service.stable != *version {
        return (Vec::new(), None, SecurityRollback::NoTraffic);
    }
    let in_time = service.previous_until.is_some_and(|until| command_context.at < until);
    let safe = |it: &&VersionName| !service.quarantined.contains_key(*it);
    match service.previous.as_ref().filter(|_| in_time).filter(safe) {
        Some(previous) => {
            // The rollback of the running release alone would restore the unsafe version.
            let ended = running.map(|release| rolled_back(release, cause.clone()));
            let restored = Event::StableRestored {
                service: service.spec.name.clone(),
                version: previous.clone(),
                cause: cause.clone(),
            };
            let (stable, with_release) = (previous.clone(), running.is_some());
            let rollback = SecurityRollback::StableRestored { stable, with_release };
            (ended.into_iter().chain([restored]).collect(), service.release.as_ref(), rollback)
        }
        None => {
            let rollback = match running {
                Some(release) => {
                    SecurityRollback::ReleaseRunning { candidate: release.candidate.clone() }
                }
                None => SecurityRollback::NoSafeVersion,
            };
            (Vec::new(), running, rollback)
        }
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
    let release = service.running().filter(|it| it.candidate == *version);
    let id = release.map(|it| &it.id);
    let effect = Effect::SignalRaised {
        service: name.clone(),
        version: version.clone(),
        signal: signal.name.clone(),
        blocked_at: release.map(Release::weight),
    };
    if service.signals.is_active(version, &signal.name) {
        return Ok(unchanged(id, effect));
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
    Ok(decision(id, vec![event], effect))
}

fn clear(service: &ServiceState, signal: &Signal) -> Decision {
    let version = &signal.version;
    let effect = Effect::SignalCleared { version: version.clone(), signal: signal.name.clone() };
    let release = service.running().filter(|it| it.candidate == *version);
    let release = release.map(|it| &it.id);
    if !service.signals.is_active(version, &signal.name) {
        return unchanged(release, effect);
    }
    let event = Event::SignalCleared {
        service: service.spec.name.clone(),
        version: version.clone(),
        signal: signal.name.clone(),
    };
    decision(release, vec![event], effect)
}

pub(super) fn unquarantine(
    service: &ServiceState,
    version: &VersionName,
) -> Result<Decision, Refusal> {
    let (name, version) = (service.spec.name.clone(), version.clone());
    let effect = Effect::Unquarantined { service: name.clone(), version: version.clone() };
    if !service.quarantined.contains_key(&version) {
        return Ok(unchanged(None, effect));
    }
    Ok(decision(None, vec![Event::QuarantineLifted { service: name, version }], effect))
}

pub(super) fn allow_flags(
    service: &ServiceState,
    version: &VersionName,
) -> Result<Decision, Refusal> {
    let (name, version) = (service.spec.name.clone(), version.clone());
    let effect = Effect::FlagsAllowed {
        service: name.clone(),
        version: version.clone(),
        quarantined_by: service.quarantined.get(&version).map(|it| it.signal.clone()),
    };
    if !service.rolled_back.contains_key(&version) {
        return Ok(unchanged(None, effect));
    }
    Ok(decision(None, vec![Event::FlagsAllowed { service: name, version }], effect))
}
