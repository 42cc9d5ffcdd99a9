//! Evaluation contexts: the attributes that rules read.

use serde_json::Value as Json;

use super::value::Value;

/// Index of an attribute in [`FlagSet::attributes`](super::FlagSet::attributes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeId(pub usize);

/// Name of an attribute, such as `targetingKey` or `headers.x-beta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributePath {
    name: String,
    segments: Vec<String>,
}

impl AttributePath {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), segments: name.split('.').map(str::to_owned).collect() }
    }

    /// The full name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// The context in which a flag is evaluated.
pub trait EvaluationContext {
    /// Value of an attribute; [`Value::Null`] if it is absent. `id` is meant for contexts that
    /// resolve the names of a flag set in advance, `path` for all others.
    fn attribute(&self, id: AttributeId, path: &AttributePath) -> Value<'_>;

    /// Seconds since 1970. Called only for rules that use `$flagd.timestamp`.
    fn unix_seconds(&self) -> u64;
}

/// An OpenFeature evaluation context in JSON.
#[derive(Debug, Clone, Copy)]
pub struct JsonContext<'a> {
    /// An object.
    pub attributes: &'a Json,
    /// Seconds since 1970.
    pub unix_seconds: u64,
}

impl EvaluationContext for JsonContext<'_> {
    fn attribute(&self, _: AttributeId, path: &AttributePath) -> Value<'_> {
        // As in flagd, a key that contains dots takes precedence over a path.
        if let Some(found) = self.attributes.get(path.as_str()) {
            return Value::from(found);
        }
        path.segments
            .iter()
            .try_fold(self.attributes, |at, segment| match at {
                Json::Array(items) => items.get(segment.parse::<usize>().ok()?),
                other => other.get(segment),
            })
            .map_or(Value::Null, Value::from)
    }

    fn unix_seconds(&self) -> u64 {
        self.unix_seconds
    }
}
