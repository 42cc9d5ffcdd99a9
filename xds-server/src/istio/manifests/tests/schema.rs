//! Structural schemas of Kubernetes: the subset of OpenAPI that custom resource definitions use. Unknown fields, which the API
//! server removes, are errors; patterns are not checked.

use serde_json::Value;

/// Everything in a value that a schema forbids, with its path.
pub(super) fn errors(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "", &mut found);
    found
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let mut error = |what: String| found.push(format!("{path}: {what}"));
    if schema["x-kubernetes-int-or-string"] != true
        && let Some(kind) = schema["type"].as_str()
        && !is_a(kind, value)
    {
        return error(format!("{value} is no {kind}"));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        error(format!("{value} is none of {allowed:?}"));
    }
    let size = match value {
        Value::String(text) => Some((text.chars().count(), "Length")),
        Value::Array(items) => Some((items.len(), "Items")),
        Value::Object(fields) => Some((fields.len(), "Properties")),
        _ => None,
    };
    if let Some((size, what)) = size {
        let limit = |which: &str| schema[format!("{which}{what}")].as_u64();
        let fits = |size: u64| {
            limit("min").is_none_or(|min| min <= size) && limit("max").is_none_or(|max| size <= max)
        };
        if !fits(size as u64) {
            error(format!("has {what} {size}"));
        }
    }
    if let Some(number) = value.as_f64() {
        let low = schema["minimum"].as_f64().is_some_and(|minimum| number < minimum);
        if low || schema["maximum"].as_f64().is_some_and(|maximum| number > maximum) {
            error(format!("{number} is out of range"));
        }
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        if value.get(required.as_str().unwrap()).is_none() {
            error(format!("{required} is missing"));
        }
    }
    combinations(schema, value, path, found);
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let path = format!("{path}/{key}");
                let additional = &schema["additionalProperties"];
                match schema["properties"].get(key) {
                    Some(schema) => check(schema, field, &path, found),
                    None if additional.is_object() => check(additional, field, &path, found),
                    None if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
                    None if schema["properties"].is_null() => {}
                    None => found.push(format!("{path}: an unknown field")),
                }
            }
        }
        Value::Array(items) if schema["items"].is_object() => {
            for (index, item) in items.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// `oneOf`, `anyOf`, `allOf` and `not` name only required fields and values: unknown fields are allowed there.
fn combinations(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let holds = |schema: &Value| {
        let mut errors = Vec::new();
        check(schema, value, "", &mut errors);
        errors.retain(|error| !error.ends_with("an unknown field"));
        errors.is_empty()
    };
    let count = |key: &str| {
        let all = schema[key].as_array()?;
        Some((all.iter().filter(|it| holds(it)).count(), all.len()))
    };
    let mut require = |fits: bool, key: &str| {
        if !fits {
            found.push(format!("{path}: {key} is violated"));
        }
    };
    require(count("oneOf").is_none_or(|(holding, _)| holding == 1), "oneOf");
    require(count("anyOf").is_none_or(|(holding, _)| holding > 0), "anyOf");
    require(count("allOf").is_none_or(|(holding, all)| holding == all), "allOf");
    require(schema["not"].is_null() || !holds(&schema["not"]), "not");
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        other => panic!("unknown type {other}"),
    }
}
