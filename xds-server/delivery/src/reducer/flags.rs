//! Changes of flags. Each is merged into the current flags and compiled as in the sidecars; a flag that routes must name
//! a service and its versions.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_core::flags::{AttributePath, FlagSet};
use tidegate_core::routing::is_request_attribute;

use super::{Decision, done, unchanged};
use crate::fold::flag_document;
use crate::model::command::Refusal;
use crate::model::event::Event;
use crate::model::flag::{self, FlagChange};
use crate::model::refusal::{Invalid, Known, MAX_FLAG_KEY};
use crate::model::state::State;
use crate::text;

pub(super) fn change(
    state: &State,
    change: &FlagChange,
    if_revision: Option<u64>,
) -> Result<Decision, Refusal> {
    let current = state.flag_revision;
    if let Some(expected) = if_revision
        && expected != current
    {
        return Err(Refusal::FlagsChanged { expected, current });
    }
    match change {
        FlagChange::Replace(document) => replace(state, document),
        FlagChange::Merge(document) => merge(state, document),
        FlagChange::Set { key, definition } => set(state, key, definition),
        FlagChange::Switch { key, enabled } => switch(state, key, *enabled),
        FlagChange::Delete { key } => delete(state, key),
    }
}

fn replace(state: &State, document: &Value) -> Result<Decision, Refusal> {
    let parts = flag_document(document).map_err(Invalid::from)?;
    parts.flags.keys().try_for_each(|key| check_key(key))?;
    FlagSet::from_json(document).map_err(Invalid::from)?;
    check_routes(state, parts.flags)?;
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
    let message = message + &warnings(state, parts.flags);
    let flags = document.clone();
    Ok(done(None, vec![Event::FlagsReplaced { flags }], message))
}

/// Sets every flag of a document, or none.
fn merge(state: &State, document: &Value) -> Result<Decision, Refusal> {
    let parts = flag_document(document).map_err(Invalid::from)?;
    if parts.evaluators.is_some() {
        return Err(Invalid::SharedEvaluators.into());
    }
    let events = assign(state, parts.flags)?;
    if events.is_empty() {
        return Ok(unchanged(None, "the flags are unchanged".to_owned()));
    }
    let keys: Vec<_> = parts.flags.keys().map(|key| format!("`{key}`")).collect();
    let message = format!("{} of {} flags changed: {}", events.len(), keys.len(), keys.join(", "));
    let message = message + &warnings(state, parts.flags);
    Ok(done(None, events, message))
}

fn set(state: &State, key: &String, definition: &Value) -> Result<Decision, Refusal> {
    let events = assign(state, [(key, definition)])?;
    if events.is_empty() {
        return Ok(unchanged(None, format!("flag `{key}` is unchanged")));
    }
    let message = format!("flag `{key}` is set") + &warnings(state, [(key, definition)]);
    Ok(done(None, events, message))
}

/// Neither compiled nor checked: a flag whose version was removed can still be disabled.
fn switch(state: &State, key: &str, enabled: bool) -> Result<Decision, Refusal> {
    let mut definition =
        state.flags.get(key).cloned().ok_or_else(|| Refusal::UnknownFlag(key.to_owned()))?;
    let (value, shown) = if enabled { ("ENABLED", "enabled") } else { ("DISABLED", "disabled") };
    if let Some(members) = definition.as_object_mut() {
        members.insert("state".to_owned(), value.into());
    }
    if state.flags.get(key) == Some(&definition) {
        return Ok(unchanged(None, format!("flag `{key}` is {shown} already")));
    }
    let event = Event::FlagSet { key: key.to_owned(), definition };
    Ok(done(None, vec![event], format!("flag `{key}` is {shown}")))
}

fn delete(state: &State, key: &str) -> Result<Decision, Refusal> {
    if !state.flags.contains_key(key) {
        return Err(Refusal::UnknownFlag(key.to_owned()));
    }
    let event = Event::FlagDeleted { key: key.to_owned() };
    Ok(done(None, vec![event], format!("flag `{key}` is deleted")))
}

/// An event for each of these flags that differs. The flags are compiled with all others.
fn assign<'a>(
    state: &State,
    flags: impl IntoIterator<Item = (&'a String, &'a Value)> + Clone,
) -> Result<Vec<Event>, Refusal> {
    let mut merged = BTreeMap::clone(&state.flags);
    let mut events = Vec::new();
    for (key, definition) in flags.clone() {
        check_key(key)?;
        if !definition.is_object() {
            return Err(Invalid::FlagDefinition(key.clone()).into());
        }
        if state.flags.get(key) != Some(definition) {
            merged.insert(key.clone(), definition.clone());
            events.push(Event::FlagSet { key: key.clone(), definition: definition.clone() });
        }
    }
    if !events.is_empty() {
        FlagSet::from_json(&flag::document(&merged, &state.evaluators)).map_err(Invalid::from)?;
        check_routes(state, flags)?;
    }
    Ok(events)
}

fn check_key(key: &str) -> Result<(), Refusal> {
    if key.is_empty() || key.len() > MAX_FLAG_KEY {
        return Err(Invalid::FlagKey(key.len()).into());
    }
    Ok(())
}

/// Rejects a changed flag that routes to an unknown service, or with a variant that is not a version of its service.
/// An empty variant, or null, selects no version.
fn check_routes<'a>(
    state: &State,
    flags: impl IntoIterator<Item = (&'a String, &'a Value)>,
) -> Result<(), Refusal> {
    let changed = flags.into_iter().filter(|(key, flag)| state.flags.get(*key) != Some(*flag));
    for (key, definition) in changed {
        let Some(name) = flag::routed_service(definition) else {
            continue;
        };
        let Some(service) = state.services.get(name) else {
            let (flag, service) = (key.clone(), name.to_owned());
            let known = Known::of(state.services.keys());
            return Err(Invalid::FlagService { flag, service, known }.into());
        };
        let versions = &service.spec.versions;
        let selects_nothing = |value: &Value| value.is_null() || *value == "";
        let is_version = |value: &Value| value.as_str().is_some_and(|it| versions.contains_key(it));
        let wrong = flag::variants(definition)
            .find(|(_, value)| !selects_nothing(value) && !is_version(value));
        if let Some((variant, value)) = wrong {
            return Err(Invalid::FlagVariant {
                flag: key.clone(),
                variant: variant.clone(),
                value: value.to_string(),
                service: service.spec.name.clone(),
                known: Known::of(versions.keys()),
            }
            .into());
        }
    }
    Ok(())
}

/// The end of a message: what these flags do not do now.
fn warnings<'a>(
    state: &State,
    flags: impl IntoIterator<Item = (&'a String, &'a Value)> + Clone,
) -> String {
    blocked_variants(state, flags.clone()) + &absent_attributes(state, flags)
}

/// The attributes that routing flags read and requests do not have.
fn absent_attributes<'a>(
    state: &State,
    flags: impl IntoIterator<Item = (&'a String, &'a Value)>,
) -> String {
    let routing = flags.into_iter().filter(|(_, flag)| flag::routed_service(flag).is_some());
    let texts = routing.filter_map(|(key, definition)| {
        let alone = BTreeMap::from([(key.clone(), definition.clone())]);
        let set = FlagSet::from_json(&flag::document(&alone, &state.evaluators)).ok()?;
        let absent = set.attributes().iter().map(AttributePath::as_str);
        let absent: Vec<_> = absent.filter(|name| !is_request_attribute(name)).collect();
        (!absent.is_empty()).then(|| format!("; {}", text::absent_attributes(key, &absent)))
    });
    texts.collect()
}

/// The versions of variants that no flag selects now.
fn blocked_variants<'a>(
    state: &State,
    flags: impl IntoIterator<Item = (&'a String, &'a Value)>,
) -> String {
    let mut texts: Vec<_> = flags
        .into_iter()
        .filter_map(|(_, flag)| Some((flag, state.services.get(flag::routed_service(flag)?)?)))
        .flat_map(|(flag, service)| {
            let names = flag::variants(flag).filter_map(|(_, value)| value.as_str());
            let versions =
                names.filter_map(|name| Some(service.spec.versions.get_key_value(name)?.0));
            versions.filter_map(|version| {
                let block = service.flag_block(version)?;
                Some(format!("; {}", text::flag_block(&service.spec.name, version, &block)))
            })
        })
        .collect();
    texts.sort();
    texts.dedup();
    texts.concat()
}
