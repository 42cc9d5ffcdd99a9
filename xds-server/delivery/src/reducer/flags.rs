//! Changes of flags. Each is merged into the current flags and compiled as in the sidecars; a flag that routes must name
//! a service and its versions.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_core::flags::{AttributePath, FlagSet};
use tidegate_core::routing::is_request_attribute;

use super::{Decision, decision, unchanged};
use crate::fold::flag_document;
use crate::model::command::Refusal;
use crate::model::event::Event;
use crate::model::flag::{self, FlagChange};
use crate::model::outcome::{Effect, FlagWarning};
use crate::model::refusal::{Invalid, Known, MAX_FLAG_KEY};
use crate::model::state::State;

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
    let effect = Effect::FlagsReplaced {
        flags: parts.flags.len(),
        before: state.flags.len(),
        warnings: warnings(state, parts.flags),
    };
    if same_flags && same_evaluators {
        return Ok(unchanged(None, effect));
    }
    let flags = document.clone();
    Ok(decision(None, vec![Event::FlagsReplaced { flags }], effect))
}

/// Sets every flag of a document, or none.
fn merge(state: &State, document: &Value) -> Result<Decision, Refusal> {
    let parts = flag_document(document).map_err(Invalid::from)?;
    if parts.evaluators.is_some() {
        return Err(Invalid::SharedEvaluators.into());
    }
    let events = assign(state, parts.flags)?;
    let effect = Effect::FlagsMerged {
        keys: parts.flags.keys().cloned().collect(),
        different: events.len(),
        warnings: warnings(state, parts.flags),
    };
    Ok(decision(None, events, effect))
}

fn set(state: &State, key: &String, definition: &Value) -> Result<Decision, Refusal> {
    let events = assign(state, [(key, definition)])?;
    let warnings = warnings(state, [(key, definition)]);
    Ok(decision(None, events, Effect::FlagSet { key: key.clone(), warnings }))
}

/// Neither compiled nor checked: a flag whose version was removed can still be disabled.
fn switch(state: &State, key: &str, enabled: bool) -> Result<Decision, Refusal> {
    let mut definition =
        state.flags.get(key).cloned().ok_or_else(|| Refusal::UnknownFlag(key.to_owned()))?;
    let value = if enabled { "ENABLED" } else { "DISABLED" };
    if let Some(members) = definition.as_object_mut() {
        members.insert("state".to_owned(), value.into());
    }
    let effect = Effect::FlagSwitched { key: key.to_owned(), enabled };
    if state.flags.get(key) == Some(&definition) {
        return Ok(unchanged(None, effect));
    }
    let event = Event::FlagSet { key: key.to_owned(), definition };
    Ok(decision(None, vec![event], effect))
}

fn delete(state: &State, key: &str) -> Result<Decision, Refusal> {
    if !state.flags.contains_key(key) {
        return Err(Refusal::UnknownFlag(key.to_owned()));
    }
    let event = Event::FlagDeleted { key: key.to_owned() };
    Ok(decision(None, vec![event], Effect::FlagDeleted { key: key.to_owned() }))
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

/// What these flags do not do now.
fn warnings<'a>(
    state: &State,
    flags: impl IntoIterator<Item = (&'a String, &'a Value)> + Clone,
) -> Vec<FlagWarning> {
    let mut warnings = blocked_variants(state, flags.clone());
    warnings.extend(absent_attributes(state, flags));
    warnings
}

/// The attributes that routing flags read and requests do not have.
fn absent_attributes<'a>(
    state: &State,
    flags: impl IntoIterator<Item = (&'a String, &'a Value)>,
) -> Vec<FlagWarning> {
    let routing = flags.into_iter().filter(|(_, flag)| flag::routed_service(flag).is_some());
    let warnings = routing.filter_map(|(key, definition)| {
        let alone = BTreeMap::from([(key.clone(), definition.clone())]);
        let set = FlagSet::from_json(&flag::document(&alone, &state.evaluators)).ok()?;
        let read = set.attributes().iter().map(AttributePath::as_str);
        let attributes: Vec<_> =
            read.filter(|name| !is_request_attribute(name)).map(str::to_owned).collect();
        let flag = key.clone();
        (!attributes.is_empty()).then_some(FlagWarning::AbsentAttributes { flag, attributes })
    });
    warnings.collect()
}

/// The versions of variants that no flag selects now.
fn blocked_variants<'a>(
    state: &State,
    flags: impl IntoIterator<Item = (&'a String, &'a Value)>,
) -> Vec<FlagWarning> {
    let mut blocked = BTreeMap::new();
    for (_, flag) in flags {
        let Some(service) = flag::routed_service(flag).and_then(|it| state.services.get(it)) else {
            continue;
        };
        for name in flag::variants(flag).filter_map(|(_, value)| value.as_str()) {
            let version = service.spec.versions.get_key_value(name).map(|(version, _)| version);
            if let Some((version, block)) =
                version.and_then(|it| Some((it, service.flag_block(it)?)))
            {
                blocked.insert((service.spec.name.clone(), version.clone()), block);
            }
        }
    }
    let warning =
        |((service, version), block)| FlagWarning::NotSelected { service, version, block };
    blocked.into_iter().map(warning).collect()
}
