//! Feature flags on the server: flagd's documents, checked before they are journaled, and
//! evaluated as the sidecars do, by the shared core.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tidegate_core::flags::{FlagError, FlagSet, JsonContext};

use tidegate_delivery::model::state::State;
use tidegate_delivery::units::Timestamp;

/// Member of a flag's metadata that makes it a routing flag: its value is a version of that service.
const ROUTED_SERVICE: &str = "service";

/// All flags of a state as one document in flagd's format.
#[must_use]
pub fn document(state: &State) -> Value {
    with_evaluators(state, copy(&state.flags))
}

/// Compiles a document, as the sidecars will.
///
/// # Errors
/// The first mistake in it, with its place and the way out.
pub fn check(document: &Value) -> Result<FlagSet, FlagError> {
    FlagSet::from_json(document)
}

/// Compiles what all flags would be if one of them had this definition.
///
/// # Errors
/// As [`check`]; also when it is one flag, or one rule, too many.
pub fn check_with(state: &State, key: &str, definition: Value) -> Result<FlagSet, FlagError> {
    let mut flags: Map<String, Value> = copy(&state.flags);
    flags.insert(key.to_owned(), definition);
    check(&with_evaluators(state, flags))
}

/// The routing flags of a set: key and service.
pub fn routing(flags: &FlagSet) -> impl Iterator<Item = (&str, &str)> {
    flags.iter().filter_map(|(key, flag)| {
        let service = flag.metadata().get(ROUTED_SERVICE)?.as_str()?;
        Some((key, service))
    })
}

/// One flag's answer for a user, in the words of OpenFeature; `None` if there is no such flag.
///
/// # Errors
/// When the journaled flags do not compile, as [`check`].
pub fn evaluate(
    state: &State,
    key: &str,
    attributes: &Value,
    now: Timestamp,
) -> Result<Option<Value>, FlagError> {
    let flags = check(&document(state))?;
    let context = JsonContext { attributes, unix_seconds: now.0 / 1000 };
    Ok(flags.evaluate(key, &context).map(|answer| {
        json!({
            "key": key,
            "value": answer.value,
            "variant": answer.variant,
            "reason": answer.reason.as_str(),
            "metadata": answer.metadata,
        })
    }))
}

fn copy(flags: &BTreeMap<String, Value>) -> Map<String, Value> {
    flags.iter().map(|(key, flag)| (key.clone(), flag.clone())).collect()
}

fn with_evaluators(state: &State, flags: Map<String, Value>) -> Value {
    let mut document = Map::from_iter([("flags".to_owned(), Value::Object(flags))]);
    if !state.evaluators.is_empty() {
        let evaluators = Value::Object(Map::clone(&state.evaluators));
        document.insert("$evaluators".to_owned(), evaluators);
    }
    Value::Object(document)
}

/// A flag's definition, switched on or off and otherwise as it was.
#[must_use]
pub fn switched(mut definition: Value, on: bool) -> Value {
    let state = if on { "ENABLED" } else { "DISABLED" };
    if let Some(members) = definition.as_object_mut() {
        members.insert("state".to_owned(), state.into());
    }
    definition
}
