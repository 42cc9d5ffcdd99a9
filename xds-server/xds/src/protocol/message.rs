//! What goes into a session and what comes out, free of the wire's two formats.

use std::sync::Arc;

use crate::kind::Kind;
use crate::resources::{Name, Resource};

/// Most names in one request, and in all of one type's subscriptions on one stream.
pub(super) const MAX_NAMES: usize = 10_000;
/// Longest name of a resource, in bytes.
pub(super) const MAX_NAME_LEN: usize = 512;
/// Most that is kept of what a client says went wrong, in bytes.
const MAX_ERROR_LEN: usize = 1024;

/// Which types a stream may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every type: ADS.
    Aggregated,
    /// One type: CDS, EDS, LDS, RDS or ECDS.
    Only(Kind),
}

impl Scope {
    /// The kind that a request is about. Its type URL may be left out where there is only one.
    ///
    /// # Errors
    /// When there is none where it is needed, or it names no type that may be asked for here.
    pub fn kind_of(self, type_url: &str) -> Result<Kind, Refusal> {
        match self {
            Self::Aggregated if type_url.is_empty() => Err(Refusal::NoType),
            Self::Only(kind) if type_url.is_empty() => Ok(kind),
            Self::Aggregated => Kind::from_type_url(type_url)
                .ok_or_else(|| Refusal::UnknownType(clip(type_url, 128))),
            Self::Only(kind) if kind.type_url() == type_url => Ok(kind),
            Self::Only(kind) => {
                Err(Refusal::WrongType { served: kind, asked: clip(type_url, 128) })
            }
        }
    }
}

/// One request. `N` is how its dialect names resources: [`super::SotwNames`] or [`super::DeltaNames`].
#[derive(Debug)]
pub struct Request<N> {
    /// The type that it is about.
    pub kind: Kind,
    /// The nonce of the response that it answers; empty if none.
    pub nonce: String,
    /// Why that response was refused. Its presence is what makes a NACK.
    pub error: Option<String>,
    /// The names.
    pub names: N,
}

/// One response.
#[derive(Debug)]
pub struct Response {
    /// The type that it is about.
    pub kind: Kind,
    /// Hash of what it holds.
    pub version: Box<str>,
    /// Names it in the answer; once per stream.
    pub nonce: String,
    /// The resources, each name once.
    pub resources: Vec<Arc<Resource>>,
    /// Names that are gone; only delta says them on the wire.
    pub removed: Vec<Name>,
}

/// What became known of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It accepted a response.
    Acked {
        /// Of which type.
        kind: Kind,
        /// The response's version.
        version: Box<str>,
    },
    /// It refused a response.
    Nacked {
        /// Of which type.
        kind: Kind,
        /// The response's version.
        version: Box<str>,
        /// Its own words, for people.
        message: String,
    },
    /// Nothing that it refused of this type is wanted of it any more.
    Cleared {
        /// Of which type.
        kind: Kind,
    },
}

/// Why a stream is ended: the request breaks the protocol, or asks for too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No type URL on an aggregated stream.
    #[error("type_url is required on an aggregated stream")]
    NoType,
    /// A type that xDS does not have.
    #[error("type_url `{0}` is no xDS resource type")]
    UnknownType(String),
    /// A type that this service does not serve.
    #[error("this service serves {served} resources only, not `{asked}`")]
    WrongType {
        /// What it serves.
        served: Kind,
        /// What was asked for.
        asked: String,
    },
    /// More names than the limit.
    #[error("more than {MAX_NAMES} {0} names in one subscription")]
    TooManyNames(Kind),
    /// A name longer than the limit.
    #[error("a {0} name is longer than {MAX_NAME_LEN} bytes")]
    NameTooLong(Kind),
}

/// Checks the number and the length of names before any is kept.
pub(super) fn check_names<'a>(
    kind: Kind,
    names: impl ExactSizeIterator<Item = &'a String>,
) -> Result<(), Refusal> {
    if names.len() > MAX_NAMES {
        return Err(Refusal::TooManyNames(kind));
    }
    for name in names {
        if name.len() > MAX_NAME_LEN {
            return Err(Refusal::NameTooLong(kind));
        }
    }
    Ok(())
}

/// What is kept of a client's error message.
pub(super) fn clip_error(message: &str) -> String {
    clip(message, MAX_ERROR_LEN)
}

fn clip(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max).rev().find(|&at| text.is_char_boundary(at));
    let kept = end.and_then(|end| text.get(..end)).unwrap_or_default();
    format!("{kept}…")
}
