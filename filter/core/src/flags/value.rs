//! Values of rules, with JsonLogic's (JavaScript's) comparisons.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::Value as Json;

/// A value during evaluation, borrowed from the rule or the context where possible.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Null, or an absent attribute.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string; owned only as the result of `cat`.
    Text(Cow<'a, str>),
    /// A list of plain values, for `in`.
    Items(&'a [Json]),
    /// An object. Rules can only test whether it is present.
    Object,
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a Json> for Value<'a> {
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => number.as_f64().map_or(Self::Null, Self::Number),
            Json::String(text) => Self::from(text.as_str()),
            Json::Array(items) => Self::Items(items),
            Json::Object(_) => Self::Object,
        }
    }
}

impl Value<'_> {
    /// Truthiness, as in JavaScript (an empty list is falsy, as in JsonLogic).
    #[must_use]
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::Items(items) => !items.is_empty(),
            Self::Object => true,
        }
    }

    /// `===`: equal in type and value. Lists and objects are never equal.
    #[must_use]
    pub fn strictly_equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            _ => false,
        }
    }

    /// `==`: equal after conversion to numbers, unless both are strings.
    #[must_use]
    pub fn loosely_equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Null, _) | (_, Self::Null) => false,
            (Self::Text(a), Self::Text(b)) => a == b,
            _ => self.as_number() == other.as_number(),
        }
    }

    /// Order of strings by bytes, of other values as numbers; `None` if they are not comparable.
    #[must_use]
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            _ => self.as_number().partial_cmp(&other.as_number()),
        }
    }

    /// `in`: whether a string contains this string, or a list this value.
    #[must_use]
    pub fn is_in(&self, haystack: &Self) -> bool {
        match (haystack, self) {
            (Self::Text(haystack), Self::Text(needle)) => haystack.contains(needle.as_ref()),
            (Self::Items(items), needle) => {
                items.iter().any(|item| Value::from(item).strictly_equals(needle))
            }
            _ => false,
        }
    }

    /// Appends the value as text, for `cat`.
    pub(super) fn append_to(&self, out: &mut String) {
        match self {
            Self::Null | Self::Items(_) | Self::Object => {}
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::Text(text) => out.push_str(text),
        }
    }

    fn as_number(&self) -> f64 {
        match self {
            Self::Null => 0.0,
            Self::Bool(value) => f64::from(u8::from(*value)),
            Self::Number(number) => *number,
            Self::Text(text) if text.trim().is_empty() => 0.0,
            Self::Text(text) => text.trim().parse().unwrap_or(f64::NAN),
            Self::Items(_) | Self::Object => f64::NAN,
        }
    }
}
