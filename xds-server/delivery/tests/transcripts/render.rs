//! Events and evaluations as text. It is made from their JSON, so it shows what the journal and the API contain.

use serde::Serialize;
use serde_json::{Map, Value};
use tidegate_delivery::model::progress::Progress;
use tidegate_delivery::model::release::Release;
use tidegate_delivery::units::Timestamp;

use super::world::Recorded;

/// `00:01:10 resumed order.1 by anne (reason)`, with the time since `start`. The controller is not named.
pub(crate) fn event(start: Timestamp, recorded: &Recorded) -> String {
    let seconds = recorded.at.since(start).as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let mut by = match recorded.actor.as_str() {
        "controller" => String::new(),
        actor => format!(" by {actor}"),
    };
    if let Some(reason) = &recorded.reason {
        by.push_str(&format!(" ({reason})"));
    }
    let mut fields = object(&recorded.event);
    let kind = fields.remove("event");
    let id = fields.remove("id").or_else(|| fields.remove("service"));
    let subject = id.map_or_else(String::new, |it| format!(" {}", value("", &it)));
    let rest = list(&fields);
    format!("{hours:02}:{minutes:02}:{:02} {}{subject}{rest}{by}\n", seconds % 60, text(kind))
}

/// The phase, weight, verdict and counts of a release, then one line for each blocker.
pub(crate) fn evaluation(release: &Release, progress: &Progress) -> String {
    let phase = object(&release.phase).remove("phase");
    let mut fields = object(progress);
    let mut verdict = match fields.remove("verdict") {
        Some(Value::Object(verdict)) => verdict,
        other => panic!("{other:?} is no verdict"),
    };
    let name = text(verdict.remove("verdict"));
    let mut result = format!(
        "{} {} {}: {name}{}; candidate={} stable={}\n",
        release.id,
        text(phase),
        release.weight(),
        list(&verdict),
        counts(fields.get("candidate")),
        counts(fields.get("stable")),
    );
    for blocker in fields.get("blockers").and_then(Value::as_array).into_iter().flatten() {
        let Value::Object(blocker) = blocker else { panic!("{blocker} is no blocker") };
        let mut blocker = blocker.clone();
        let kind = text(blocker.remove("kind"));
        result.push_str(&format!("  blocked: {kind}{}\n", list(&blocker)));
    }
    result
}

fn object(of: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(of).unwrap() {
        Value::Object(fields) => fields,
        other => panic!("{other} is no object"),
    }
}

fn text(value: Option<Value>) -> String {
    value.and_then(|it| Some(it.as_str()?.to_owned())).unwrap()
}

/// The fields of an object in alphabetical order, each after a space. Absent and empty ones are left out.
fn list(fields: &Map<String, Value>) -> String {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(key, _)| *key);
    let shown = fields.into_iter().filter(|(_, it)| !is_empty(it));
    shown.map(|(key, it)| format!(" {key}={}", value(key, it))).collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn value(key: &str, value: &Value) -> String {
    match (key, value) {
        ("weight" | "holdback", Value::Number(parts)) => percent(parts),
        ("candidate" | "stable", counted @ Value::Object(_)) => counts(Some(counted)),
        // The whole catalogue and the whole plan would hide the rest: their outline is enough.
        ("services", Value::Array(items)) => joined(items, |it| name(it, "name")),
        ("freeze_windows", Value::Array(items)) => joined(items, |it| name(it, "name")),
        ("plan", Value::Object(plan)) => {
            let steps = plan.get("steps").and_then(Value::as_array).unwrap();
            let weights = joined(steps, |it| match &it["weight"] {
                Value::Number(parts) => percent(parts),
                other => other.to_string(),
            });
            format!("{}{weights}", name(value, "strategy"))
        }
        (_, Value::String(text)) if text.contains(' ') || text.is_empty() => format!("{text:?}"),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Array(items)) => joined(items, |it| self::value("", it)),
        (_, Value::Object(fields)) => format!("({})", list(fields).trim_start()),
        (_, other) => other.to_string(),
    }
}

fn joined(items: &[Value], show: impl Fn(&Value) -> String) -> String {
    format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", "))
}

fn name(of: &Value, key: &str) -> String {
    of[key].as_str().unwrap().to_owned()
}

fn percent(parts: &serde_json::Number) -> String {
    format!("{}%", parts.as_f64().unwrap() / 10_000.0)
}

/// Counts of requests, without those that are zero.
fn counts(evidence: Option<&Value>) -> String {
    let Some(Value::Object(fields)) = evidence else { panic!("no counts") };
    let mut fields = fields.clone();
    fields.retain(|_, it| *it != 0 && !is_all_zero(it));
    format!("({})", list(&fields).trim_start())
}

fn is_all_zero(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.values().all(is_all_zero),
        Value::Array(items) => items.iter().all(is_all_zero),
        other => *other == 0,
    }
}
