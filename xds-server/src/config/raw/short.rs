//! Things that can be written in a word, or, where a word is not enough, as a map.

use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The short way to write something, or the long one. An untagged enum would lose the places of
/// what is in the map.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum Short<T> {
    /// In a word.
    Word(String),
    /// As a map.
    Map(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either(PhantomData))
    }
}

struct Either<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
    type Value = Short<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word or a map")
    }

    fn visit_str<E>(self, word: &str) -> Result<Self::Value, E> {
        Ok(Short::Word(word.to_owned()))
    }

    // What looks like a number is a word that was meant otherwise: whoever reads it says how.
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Short::Word(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Short::Word(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Short::Word(number.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Short::Map)
    }
}
