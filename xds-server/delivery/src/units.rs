//! Shares and timestamps, as integers: the replay of a journal is exact.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A share in parts per million: weights, error rates, quantiles.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "u32", into = "u32")]
pub struct Ppm(u32);

/// A share above 100 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} parts per million are above 1000000 (100%)")]
pub struct ShareAboveAll(pub u32);

impl Ppm {
    /// 0 %.
    pub const ZERO: Self = Self(0);
    /// 100 %.
    pub const ALL: Self = Self(tidegate_core::config::BUCKETS);

    /// `parts` of a million.
    ///
    /// # Errors
    /// If it is above 1 000 000.
    pub const fn new(parts: u32) -> Result<Self, ShareAboveAll> {
        if parts > Self::ALL.0 { Err(ShareAboveAll(parts)) } else { Ok(Self(parts)) }
    }

    /// Whole percent, for constants. A value above 100 becomes 100.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        if percent > 100 { Self::ALL } else { Self(percent * 10_000) }
    }

    /// The number of parts, 0 to 1 000 000.
    #[must_use]
    pub const fn parts(self) -> u32 {
        self.0
    }

    /// True for 0 %.
    #[must_use]
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// 100 % minus the share.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self(Self::ALL.0 - self.0)
    }

    /// As a fraction, 0 to 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ALL.0)
    }
}

impl TryFrom<u32> for Ppm {
    type Error = ShareAboveAll;

    fn try_from(parts: u32) -> Result<Self, ShareAboveAll> {
        Self::new(parts)
    }
}

impl From<Ppm> for u32 {
    fn from(share: Ppm) -> Self {
        share.0
    }
}

/// In percent, without trailing zeros: `5%`, `0.05%`.
impl fmt::Display for Ppm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10_000.0)
    }
}

/// A time of the controller's clock, in milliseconds since the Unix epoch.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The time since `earlier`; zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The time `by` later, or the latest representable time.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(by))
    }
}

/// RFC 3339 in UTC, to the second: `2026-11-23T09:30:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = i64::try_from(self.0 / 1000).ok();
        match at.and_then(|at| jiff::Timestamp::from_second(at).ok()) {
            Some(at) => write!(f, "{at}"),
            None => f.write_str("beyond the year 9999"),
        }
    }
}

/// Serializes durations as whole milliseconds.
pub mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// For `#[serde(with = "millis")]`.
    ///
    /// # Errors
    /// As of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    /// For `#[serde(with = "millis")]`.
    ///
    /// # Errors
    /// As of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// Points in time as RFC 3339 texts with milliseconds: the form of the API. The journal has milliseconds.
pub mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::Timestamp;

    /// Formats a point in time.
    #[must_use]
    pub fn format(at: Timestamp) -> String {
        let at = i64::try_from(at.0).ok();
        let at = at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        format!("{:.3}", at.unwrap_or(jiff::Timestamp::MAX))
    }

    /// Reads a point in time with its offset.
    ///
    /// # Errors
    /// When it is not RFC 3339, or before 1970.
    pub fn parse(text: &str) -> Result<Timestamp, String> {
        let at = text.parse::<jiff::Timestamp>().map_err(|_| {
            format!("`{text}` is not a time; write it as 2026-11-23T09:00:00Z (RFC 3339)")
        })?;
        let at = u64::try_from(at.as_millisecond());
        at.map(Timestamp).map_err(|_| format!("`{text}` is before 1970"))
    }

    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*at))
    }

    /// # Errors
    /// As [`parse`].
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }

    /// The same for an optional value; combine it with `default`.
    pub mod option {
        use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

        use super::super::Timestamp;

        /// # Errors
        /// When the serializer fails.
        pub fn serialize<S: Serializer>(
            at: &Option<Timestamp>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            at.map(super::format).serialize(serializer)
        }

        /// # Errors
        /// As [`super::parse`].
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|text| super::parse(&text)).transpose().map_err(de::Error::custom)
        }
    }
}

/// Shares as numbers from 0 to 100: the form of the API. The journal has parts per million.
pub mod percent {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::Ppm;

    const PARTS: f64 = 10_000.0;

    /// The share in percent.
    #[must_use]
    pub fn of(share: Ppm) -> f64 {
        f64::from(share.parts()) / PARTS
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    fn parse(percent: f64) -> Result<Ppm, String> {
        if (0.0..=100.0).contains(&percent) {
            Ppm::new((percent * PARTS).round() as u32).map_err(|error| error.to_string())
        } else {
            Err(format!("{percent} is not a share; write a number from 0 to 100"))
        }
    }

    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(share: &Ppm, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(of(*share))
    }

    /// # Errors
    /// When it is not a number from 0 to 100.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ppm, D::Error> {
        parse(f64::deserialize(deserializer)?).map_err(de::Error::custom)
    }

    /// The same for an optional value; combine it with `default`.
    pub mod option {
        use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

        use super::super::Ppm;

        /// # Errors
        /// When the serializer fails.
        pub fn serialize<S: Serializer>(
            share: &Option<Ppm>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            share.map(super::of).serialize(serializer)
        }

        /// # Errors
        /// When it is neither null nor a number from 0 to 100.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Ppm>, D::Error> {
            let percent = Option::<f64>::deserialize(deserializer)?;
            percent.map(super::parse).transpose().map_err(de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_above_100_percent_is_rejected() {
        assert_eq!(Ppm::new(1_000_001), Err(ShareAboveAll(1_000_001)));
        assert_eq!(Ppm::new(1_000_000), Ok(Ppm::ALL));
        assert!(serde_json::from_str::<Ppm>("1000001").is_err());
    }

    #[test]
    fn shares_have_no_trailing_zeros() {
        assert_eq!(Ppm::percent(5).to_string(), "5%");
        assert_eq!(Ppm(500).to_string(), "0.05%");
        assert_eq!(Ppm(1).to_string(), "0.0001%");
    }
}
