//! Values that can be written as a text or as a map.

use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A text, or a map with more fields. Serde's untagged enums would lose the spans in the map.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum Shorthand<T> {
    /// The short form.
    Text(String),
    /// The long form.
    Map(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shorthand<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShorthandVisitor(PhantomData))
    }
}

struct ShorthandVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ShorthandVisitor<T> {
    type Value = Shorthand<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a map")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Shorthand::Text(text.to_owned()))
    }

    // A number is passed on as text: the parser of the value has the better error message.
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Shorthand::Text(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Shorthand::Text(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Shorthand::Text(number.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Shorthand::Map)
    }
}
