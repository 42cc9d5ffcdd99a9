//! Where rules find the attributes of a user or a request.

use serde_json::Value as Json;

use super::value::Value;

/// Number of an attribute within its [`FlagSet`](super::FlagSet): an index into
/// [`attributes`](super::FlagSet::attributes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeId(pub usize);

/// The name of an attribute, as rules write it: `targetingKey`, `headers.x-beta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributePath {
    name: String,
    segments: Vec<String>,
}

impl AttributePath {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), segments: name.split('.').map(str::to_owned).collect() }
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// What a rule is evaluated for.
pub trait Context {
    /// The attribute's value, [`Value::Null`] if there is none. Contexts that know their flag set
    /// beforehand resolve names once and use the number.
    fn attribute(&self, id: AttributeId, path: &AttributePath) -> Value<'_>;

    /// Seconds since 1970, for `$flagd.timestamp`; asked only by rules that use it.
    fn unix_seconds(&self) -> u64;
}

/// An evaluation context as OpenFeature clients send it.
#[derive(Debug, Clone, Copy)]
pub struct JsonContext<'a> {
    /// The attributes, an object.
    pub attributes: &'a Json,
    /// Seconds since 1970.
    pub unix_seconds: u64,
}

impl Context for JsonContext<'_> {
    fn attribute(&self, _: AttributeId, path: &AttributePath) -> Value<'_> {
        // A key that itself holds dots is found first, as in flagd's own contexts.
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
