//! The reducer: what is decided, as events, from what is asked and what is seen. Pure: the time
//! and the counts are arguments, so the same journal and the same reports decide the same.

mod advance;
mod deploy;
mod effects;
mod flags;
mod start;
mod verbs;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use advance::decide_progress;

use super::command::{Command, Outcome, Refusal};
use super::event::Event;
use super::names::{ReleaseId, ServiceName};
use super::state::{ServiceState, State};

/// What follows from a command: events to append, and the answer once they are.
pub type Decision = (Vec<Event>, Outcome);

/// Most names that a refusal lists.
const MAX_LISTED: usize = 20;

/// Decides what a command does.
///
/// # Errors
/// When it is refused, with the reason and the way out. Nothing follows from it then.
pub fn decide_command(state: &State, command: &Command) -> Result<Decision, Refusal> {
    match command {
        Command::ApplyCatalogue(services) => deploy::catalogue(state, services),
        Command::RegisterVersion { service, version, spec } => {
            deploy::version(find(state, service)?, version, spec)
        }
        Command::StartRelease { service, version, plan } => {
            start::release(find(state, service)?, version, plan.as_ref())
        }
        Command::Release(id, command) => verbs::decide(state, id, command),
        Command::SmokeTested { release, result } => verbs::smoke_tested(state, release, result),
        Command::HookEnded { release, hook, attempts, result } => {
            effects::hook_ended(state, release, hook, *attempts, result)
        }
        Command::DnsChecked { service, result } => {
            effects::dns_checked(find(state, service)?, result)
        }
        Command::ReplaceFlags(document) => flags::replace(state, document),
        Command::SetFlag { key, definition } => flags::set(state, key, definition),
        Command::DeleteFlag { key } => flags::delete(state, key),
    }
}

fn find<'a>(state: &'a State, name: &ServiceName) -> Result<&'a ServiceState, Refusal> {
    state.services.get(name).ok_or_else(|| Refusal::UnknownService {
        service: name.to_string(),
        known: list(state.services.keys()),
    })
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

fn so_already(release: Option<&ReleaseId>, message: String) -> Decision {
    let outcome = Outcome { release: release.cloned(), changed: false, message };
    (Vec::new(), outcome)
}
