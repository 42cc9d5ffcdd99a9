//! The reducer: commands and observations in, events out. It is pure: times and counts are arguments, so the same journal
//! and the same reports lead to the same decisions. The caller appends the events to the journal, folds them into the
//! state, and only then decides again.

mod advance;
mod approve;
mod configure;
mod deploy;
mod effects;
mod flags;
mod freeze;
mod groups;
mod mid_release;
mod progress;
mod requirements;
mod signals;
mod start;
mod verbs;
mod version_watch;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use advance::{ReleaseContext, close_expired_window};
pub use configure::{Declared, changes_of};
pub use progress::decide_progress;
pub use version_watch::{VersionWatches, WatchedVersion, decide_version_watch};

use crate::model::checks::CheckResult;
use crate::model::command::{Command, CommandContext, Outcome, Refusal};
use crate::model::event::Event;
use crate::model::outcome::Effect;
use crate::model::refusal::Known;
use crate::model::state::{ServiceState, State};
use crate::names::{ReleaseId, ServiceName};

/// The events to append, and the outcome to return once they are appended.
pub type Decision = (Vec<Event>, Outcome);

/// Decides what a command does.
///
/// # Errors
/// When the command is refused. It has no effect then.
pub fn decide_command(
    state: &State,
    command_context: &CommandContext<'_>,
    command: &Command,
) -> Result<Decision, Refusal> {
    match command {
        Command::ApplyConfiguration { version, fleets, services, freeze_windows, allow } => {
            let declared = Declared { fleets, services, freeze_windows };
            configure::configuration(state, command_context.at, version, &declared, allow)
        }
        Command::RegisterVersion { service, version, spec } => {
            deploy::version(find(state, service)?, version, spec)
        }
        Command::RemoveVersion { service, version } => {
            deploy::remove(state, find(state, service)?, version)
        }
        Command::StartRelease { service, version, plan, commit } => {
            let service = find(state, service)?;
            start::release(state, service, command_context, version, plan.as_ref(), commit.as_ref())
        }
        Command::StartGroup { group, members, plan } => {
            groups::start(state, command_context, group, members, plan.as_ref())
        }
        Command::Release(id, command) => verbs::decide(state, command_context, id, command),
        Command::Group(group, command) => groups::decide(state, command_context, group, command),
        Command::ReportCheck { service, version, check, passed, url } => {
            let result =
                CheckResult { passed: *passed, url: url.clone(), reason: reason(command_context) };
            signals::checked(find(state, service)?, version, check, result)
        }
        Command::Signal { service, signal } => {
            signals::signal(state, find(state, service)?, command_context, signal)
        }
        Command::Unquarantine { service, version } => {
            signals::unquarantine(find(state, service)?, version)
        }
        Command::AllowFlags { service, version } => {
            signals::allow_flags(find(state, service)?, version)
        }
        Command::FreezeDeployments(service) => {
            freeze::freeze(state, command_context, service.as_ref())
        }
        Command::UnfreezeDeployments(service) => freeze::unfreeze(state, service.as_ref()),
        Command::HealthChecked { release, health } => effects::health(state, release, health),
        Command::SmokeTested { release, result } => verbs::smoke_tested(state, release, result),
        Command::HookEnded { release, hook, on, attempts, result } => {
            effects::hook_ended(state, release, hook, *on, *attempts, result)
        }
        Command::DnsChecked { service, result } => {
            effects::dns_checked(find(state, service)?, result)
        }
        Command::ChangeFlags { change, if_revision } => flags::change(state, change, *if_revision),
    }
}

fn find<'a>(state: &'a State, name: &ServiceName) -> Result<&'a ServiceState, Refusal> {
    let service = state.services.get(name).map(|service| &**service);
    service.ok_or_else(|| Refusal::UnknownService {
        service: name.to_string(),
        known: Known::of(state.services.keys()),
    })
}

/// Most characters of a reason that events keep; the record in the journal has the whole reason.
const MAX_REASON: usize = 300;

/// The reason of a command, clipped.
fn reason(command_context: &CommandContext<'_>) -> Option<String> {
    command_context.reason.map(|reason| reason.chars().take(MAX_REASON).collect())
}

/// The outcome is unchanged if there is no event.
fn decision(release: Option<&ReleaseId>, events: Vec<Event>, effect: Effect) -> Decision {
    let outcome = Outcome { release: release.cloned(), changed: !events.is_empty(), effect };
    (events, outcome)
}

fn unchanged(release: Option<&ReleaseId>, effect: Effect) -> Decision {
    decision(release, Vec::new(), effect)
}
