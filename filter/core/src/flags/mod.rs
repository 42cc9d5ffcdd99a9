//! Feature flags in flagd's own format, compiled once and evaluated without allocating.
//!
//! A definition is parsed into a [`FlagSet`]: every rule becomes a small tree whose attributes are
//! numbered, so that a sidecar resolves names (`headers.x-beta`) when it is configured, not while a
//! request waits. Server and sidecar run this same code, hence they agree.

mod compile;
mod context;
mod definition;
mod error;
mod rule;
mod value;
mod version;

pub use context::{AttributeId, AttributePath, Context, JsonContext};
pub use definition::{Flag, FlagSet};
pub use error::{FlagError, Problem};
pub use value::Value;

use serde_json::{Map, Value as Json};

/// Why a flag has the value it has, in OpenFeature's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The flag has no rule.
    Static,
    /// A rule chose.
    TargetingMatch,
    /// A rule chose by a pseudo-random split of users.
    Split,
    /// The rule had no answer for this user.
    Default,
    /// The flag is switched off.
    Disabled,
    /// The rule's answer names no variant.
    Error,
}

impl Reason {
    /// As OpenFeature spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Split => "SPLIT",
            Self::Default => "DEFAULT",
            Self::Disabled => "DISABLED",
            Self::Error => "ERROR",
        }
    }
}

/// A flag's answer for one user.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation<'a> {
    /// The variant's value; `None` leaves it to the caller's own default.
    pub value: Option<&'a Json>,
    /// The variant's name.
    pub variant: Option<&'a str>,
    /// How the answer came about.
    pub reason: Reason,
    /// The flag's metadata, with that of its set beneath.
    pub metadata: &'a Map<String, Json>,
}

#[cfg(test)]
mod tests;
