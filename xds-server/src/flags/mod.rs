//! Feature flags on the server. Documents in flagd's format are compiled and evaluated by the shared
//! core, as in the sidecars.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tidegate_core::flags::{FlagError, FlagSet, JsonContext};
use tidegate_core::host::host_of_authority;

use tidegate_delivery::model::state::State;
use tidegate_delivery::units::Timestamp;

/// Key of a flag's metadata whose value is the service that the flag routes.
const ROUTED_SERVICE: &str = "service";

/// All flags of a state as one document in flagd's format.
#[must_use]
pub fn document(state: &State) -> Value {
    with_evaluators(state, copy(&state.flags))
}

/// Compiles a document.
///
/// # Errors
/// The first error in it, with its position and a suggested fix.
pub fn check(document: &Value) -> Result<FlagSet, FlagError> {
    FlagSet::from_json(document)
}

/// Compiles all flags of a state, one of them with a new definition.
///
/// # Errors
/// As [`check`]; also when a limit of all flags is exceeded.
pub fn check_with(state: &State, key: &str, definition: Value) -> Result<FlagSet, FlagError> {
    let mut flags: Map<String, Value> = copy(&state.flags);
    flags.insert(key.to_owned(), definition);
    check(&with_evaluators(state, flags))
}

/// Key and service of each routing flag.
pub fn routing(flags: &FlagSet) -> impl Iterator<Item = (&str, &str)> {
    flags.iter().filter_map(|(key, flag)| {
        let service = flag.metadata().get(ROUTED_SERVICE)?.as_str()?;
        Some((key, service))
    })
}

/// Evaluates one flag to OpenFeature's evaluation details; `None` if the flag does not exist.
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
    let attributes = &normalised(attributes);
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

/// The attributes with `host` in the form in which sidecars read it from a request.
fn normalised(attributes: &Value) -> Value {
    let mut attributes = attributes.clone();
    if let Some(Value::String(host)) = attributes.get_mut("host") {
        *host = host_of_authority(host).into_owned();
    }
    attributes
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

/// A flag's definition with another `state`.
#[must_use]
pub fn switched(mut definition: Value, on: bool) -> Value {
    let state = if on { "ENABLED" } else { "DISABLED" };
    if let Some(members) = definition.as_object_mut() {
        members.insert("state".to_owned(), state.into());
    }
    definition
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_rule_on_the_host_reads_its_normal_form() {
        let definition = json!({
            "state": "ENABLED", "variants": {"on": "v2", "off": null}, "defaultVariant": "off",
            "targeting": {"if": [{"==": [{"var": "host"}, "order.local"]}, "on"]},
        });
        let flags = Arc::new([("beta".to_owned(), definition)].into());
        let state = State { flags, ..State::default() };
        let variant = |host: &str| {
            let answer = evaluate(&state, "beta", &json!({"host": host}), Timestamp(0)).unwrap();
            answer.unwrap()["variant"].clone()
        };
        assert_eq!(variant("Order.LOCAL.:8080"), "on");
        assert_eq!(variant("product.local"), "off");
    }
}
