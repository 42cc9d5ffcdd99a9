//! The reducer: what is decided, as events, from what is asked and what is seen. Pure: the time
//! and the counts are arguments, so the same journal and the same reports decide the same.

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

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use advance::{ReleaseContext, close_expired_window};
pub use progress::decide_progress;

use crate::model::checks::CheckResult;
use crate::model::command::{Command, CommandContext, Outcome, Refusal};
use crate::model::event::Event;
use crate::model::state::{ServiceState, State};
use crate::names::{ReleaseId, ServiceName};

/// What follows from a command: events to append, and the answer once they are.
pub type Decision = (Vec<Event>, Outcome);

/// Most names that a refusal lists.
const MAX_LISTED: usize = 20;

/// Decides what a command does.
///
/// # Errors
/// When it is refused, with the reason and the way out. Nothing follows from it then.
pub fn decide_command(
    state: &State,
    command_context: &CommandContext<'_>,
    command: &Command,
) -> Result<Decision, Refusal> {
    match command {
        Command::ApplyConfiguration { version, services, freeze_windows } => {
            configure::configuration(state, version, services, freeze_windows)
        }
        Command::RegisterVersion { service, version, spec } => {
            deploy::version(find(state, service)?, version, spec)
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
        Command::FreezeDeployments(service) => {
            freeze::freeze(state, command_context, service.as_ref())
        }
        Command::UnfreezeDeployments(service) => freeze::unfreeze(state, service.as_ref()),
        Command::HealthChecked { release, health } => effects::health(state, release, health),
        Command::SmokeTested { release, result } => verbs::smoke_tested(state, release, result),
        Command::HookEnded { release, hook, attempts, result } => {
            effects::hook_ended(state, release, hook, *attempts, result)
        }
        Command::DnsChecked { service, result } => {
            effects::dns_checked(find(state, service)?, result)
        }
        Command::ReplaceFlags(document) => flags::replace(state, document),
        Command::MergeFlags(document) => flags::merge(state, document),
        Command::SetFlag { key, definition } => flags::set(state, key, definition),
        Command::DeleteFlag { key } => flags::delete(state, key),
    }
}

fn find<'a>(state: &'a State, name: &ServiceName) -> Result<&'a ServiceState, Refusal> {
    let service = state.services.get(name).map(|service| &**service);
    service.ok_or_else(|| Refusal::UnknownService {
        service: name.to_string(),
        known: list(state.services.keys()),
    })
}

/// Most of a reason's words that the state keeps, in characters; the journal's record has them all.
const MAX_REASON: usize = 300;

/// Why somebody asks, as the state keeps it.
fn reason(command_context: &CommandContext<'_>) -> Option<String> {
    command_context.reason.map(|reason| reason.chars().take(MAX_REASON).collect())
}

/// Names for people: the first few, in order.
fn list<T: ToString>(names: impl ExactSizeIterator<Item = T>) -> String {
    let rest = names.len().saturating_sub(MAX_LISTED);
    let shown: Vec<_> = names.take(MAX_LISTED).map(|it| it.to_string()).collect();
    match (shown.is_empty(), rest) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown.join(", "),
        (false, rest) => format!("{} and {rest} more", shown.join(", ")),
    }
}

fn done(release: Option<&ReleaseId>, events: Vec<Event>, message: String) -> Decision {
    let outcome = Outcome { release: release.cloned(), changed: true, message };
    (events, outcome)
}

fn unchanged(release: Option<&ReleaseId>, message: String) -> Decision {
    let outcome = Outcome { release: release.cloned(), changed: false, message };
    (Vec::new(), outcome)
}
