//! Shares, durations and sizes as they are written in scenarios: `0.5%`, `20ms`, `10m`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A share between 0 and 1, written in percent.
pub(crate) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    parse_share(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

pub(crate) fn optional_share<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.as_deref().map(parse_share).transpose().map_err(de::Error::custom)
}

pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

pub(crate) fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.as_deref().map(parse_duration).transpose().map_err(de::Error::custom)
}

fn parse_share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|it| it.trim().parse::<f64>().ok());
    match number {
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(format!("`{text}` is not a share; write 0% to 100%, such as `0.5%`")),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("`{text}` is not a duration: {error}; write one such as `10m`"))
}
