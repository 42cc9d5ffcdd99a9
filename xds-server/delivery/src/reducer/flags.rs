//! Flags: the engine keeps and journals them. That a definition makes sense was checked by
//! whoever asked; here only the document's shape and the keys are.

use serde_json::Value;

use super::{Decision, done, unchanged};
use crate::fold::flag_document;
use crate::model::command::Refusal;
use crate::model::event::Event;
use crate::model::state::State;

/// Longest key, in bytes.
const MAX_KEY: usize = 256;

pub(super) fn replace(state: &State, document: &Value) -> Result<Decision, Refusal> {
    let parts = flag_document(document).map_err(|error| Refusal::Invalid(error.to_string()))?;
    parts.flags.keys().try_for_each(|key| check(key))?;
    let same_flags = parts.flags.len() == state.flags.len()
        && parts.flags.iter().all(|(key, flag)| state.flags.get(key) == Some(flag));
    let same_evaluators = match parts.evaluators {
        Some(evaluators) => *evaluators == *state.evaluators,
        None => state.evaluators.is_empty(),
    };
    if same_flags && same_evaluators {
        return Ok(unchanged(None, "the flags are these already".to_owned()));
    }
    let message = format!("{} flags replace the {} before", parts.flags.len(), state.flags.len());
    let flags = document.clone();
    Ok(done(None, vec![Event::FlagsReplaced { flags }], message))
}

pub(super) fn set(state: &State, key: &str, definition: &Value) -> Result<Decision, Refusal> {
    check(key)?;
    if !definition.is_object() {
        return Err(Refusal::Invalid(format!(
            "the definition of flag `{key}` must be an object in flagd's format"
        )));
    }
    if state.flags.get(key) == Some(definition) {
        return Ok(unchanged(None, format!("flag `{key}` is so already")));
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
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(Refusal::Invalid(format!("a flag's key must have 1 to {MAX_KEY} bytes")));
    }
    Ok(())
}
