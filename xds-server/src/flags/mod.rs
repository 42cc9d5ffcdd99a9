//! Feature flags on the server. Documents in flagd's format are compiled and evaluated by the shared
//! core, as in the sidecars.

use serde_json::{Value, json};
use tidegate_core::flags::{FlagError, FlagSet, JsonContext};
use tidegate_core::host::host_of_authority;

use tidegate_delivery::model::flag::{self, ROUTED_SERVICE};
use tidegate_delivery::model::state::State;
use tidegate_delivery::text;
use tidegate_delivery::units::Timestamp;

/// All flags of a state as one document in flagd's format.
#[must_use]
pub fn document(state: &State) -> Value {
    flag::document(&state.flags, &state.evaluators)
}

/// Compiles a document.
///
/// # Errors
/// The first error in it, with its position and a suggested fix.
pub fn check(document: &Value) -> Result<FlagSet, FlagError> {
    FlagSet::from_json(document)
}

/// Key and service of each routing flag.
pub fn routing(flags: &FlagSet) -> impl Iterator<Item = (&str, &str)> {
    flags.iter().filter_map(|(key, flag)| {
        let service = flag.metadata().get(ROUTED_SERVICE)?.as_str()?;
        Some((key, service))
    })
}

/// Evaluates one flag to OpenFeature's evaluation details; `None` if the flag does not exist. `blocked` is the reason for which
/// the resolved version is not selected.
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
        let mut details = json!({
            "key": key,
            "value": answer.value,
            "variant": answer.variant,
            "reason": answer.reason.as_str(),
            "metadata": answer.metadata,
        });
        let blocked = blocked(state, key, answer.value);
        if let Some((blocked, details)) = blocked.zip(details.as_object_mut()) {
            details.insert("blocked".to_owned(), blocked.into());
        }
        details
    }))
}

fn blocked(state: &State, key: &str, value: Option<&Value>) -> Option<String> {
    let service = state.services.get(flag::routed_service(state.flags.get(key)?)?)?;
    let (version, _) = service.spec.versions.get_key_value(value?.as_str()?)?;
    let block = service.flag_block(version)?;
    Some(text::flag_block(&service.spec.name, version, &block))
}

/// The attributes with `host` in the form in which sidecars read it from a request.
fn normalised(attributes: &Value) -> Value {
    let mut attributes = attributes.clone();
    if let Some(Value::String(host)) = attributes.get_mut("host") {
        *host = host_of_authority(host).into_owned();
    }
    attributes
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
