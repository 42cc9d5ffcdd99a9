//! Changes of flags. The caller has compiled the definitions; the reducer checks the shape of the document and the keys.

use serde_json::Value;

use super::{Decision, done, unchanged};
use crate::fold::flag_document;
use crate::model::command::Refusal;
use crate::model::event::Event;
use crate::model::refusal::{Invalid, MAX_FLAG_KEY};
use crate::model::state::State;

pub(super) fn replace(state: &State, document: &Value) -> Result<Decision, Refusal> {
    let parts = flag_document(document).map_err(Invalid::from)?;
    parts.flags.keys().try_for_each(|key| check(key))?;
    let same_flags = parts.flags.len() == state.flags.len()
        && parts.flags.iter().all(|(key, flag)| state.flags.get(key) == Some(flag));
    let same_evaluators = match parts.evaluators {
        Some(evaluators) => *evaluators == *state.evaluators,
        None => state.evaluators.is_empty(),
    };
    if same_flags && same_evaluators {
        return Ok(unchanged(None, "the flags are unchanged".to_owned()));
    }
    let message = format!("{} flags replace {}", parts.flags.len(), state.flags.len());
    let flags = document.clone();
    Ok(done(None, vec![Event::FlagsReplaced { flags }], message))
}

/// Sets every flag of a document, or none.
pub(super) fn merge(state: &State, document: &Value) -> Result<Decision, Refusal> {
    let parts = flag_document(document).map_err(Invalid::from)?;
    if parts.evaluators.is_some() {
        return Err(Invalid::SharedEvaluators.into());
    }
    let mut events = Vec::new();
    for (key, definition) in parts.flags {
        events.extend(set(state, key, definition)?.0);
    }
    if events.is_empty() {
        return Ok(unchanged(None, "the flags are unchanged".to_owned()));
    }
    let keys: Vec<_> = parts.flags.keys().map(|key| format!("`{key}`")).collect();
    let message = format!("{} of {} flags changed: {}", events.len(), keys.len(), keys.join(", "));
    Ok(done(None, events, message))
}

pub(super) fn set(state: &State, key: &str, definition: &Value) -> Result<Decision, Refusal> {
    check(key)?;
    if !definition.is_object() {
        return Err(Invalid::FlagDefinition(key.to_owned()).into());
    }
    if state.flags.get(key) == Some(definition) {
        return Ok(unchanged(None, format!("flag `{key}` is unchanged")));
    }
    let event = Event::FlagSet { key: key.to_owned(), definition: definition.clone() };
    Ok(done(None, vec![event], format!("flag `{key}` is set")))
}

pub(super) fn delete(state: &State, key: &str) -> Result<Decision, Refusal> {
    if !state.flags.contains_key(key) {
        return Err(Refusal::UnknownFlag(key.to_owned()));
    }
    let event = Event::FlagDeleted { key: key.to_owned() };
    Ok(done(None, vec![event], format!("flag `{key}` is deleted")))
}

fn check(key: &str) -> Result<(), Refusal> {
    if key.is_empty() || key.len() > MAX_FLAG_KEY {
        return Err(Invalid::FlagKey(key.len()).into());
    }
    Ok(())
}
