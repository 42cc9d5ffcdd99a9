//! Input and output of a session, independent of the wire format of the two variants.

use std::sync::Arc;

use crate::kind::Kind;
use crate::resources::{Name, Resource};

/// Maximum number of names in one request, and in the subscription of one type on one stream.
pub(super) const MAX_NAMES: usize = 10_000;
/// Maximum length of a resource name, in bytes.
pub(super) const MAX_NAME_LEN: usize = 512;
/// Maximum stored length of the error message of a NACK, in bytes.
const MAX_ERROR_LEN: usize = 1024;

/// The resource types that a stream serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All types: ADS.
    Aggregated,
    /// One type: CDS, EDS, LDS, RDS or ECDS.
    Only(Kind),
}

impl Scope {
    /// The kind of a request, from its type URL. On a stream of one type the type URL may be empty.
    ///
    /// # Errors
    /// If the type URL is missing on an aggregated stream, unknown, or of a type that the stream does not serve.
    pub fn kind_of(self, type_url: &str) -> Result<Kind, ProtocolError> {
        match self {
            Self::Aggregated if type_url.is_empty() => Err(ProtocolError::MissingTypeUrl),
            Self::Only(kind) if type_url.is_empty() => Ok(kind),
            Self::Aggregated => Kind::from_type_url(type_url)
                .ok_or_else(|| ProtocolError::UnknownTypeUrl(clip(type_url, 128))),
            Self::Only(kind) if kind.type_url() == type_url => Ok(kind),
            Self::Only(kind) => {
                let requested = clip(type_url, 128);
                Err(ProtocolError::TypeNotServed { served: kind, requested })
            }
        }
    }
}

/// One request. `N` are the resource names of its variant: [`super::SotwNames`] or [`super::DeltaNames`].
#[derive(Debug)]
pub struct Request<N> {
    /// The resource type.
    pub kind: Kind,
    /// `response_nonce`: the response that it answers; empty if none.
    pub nonce: String,
    /// Message of `error_detail`. If it is present, the answer is a NACK, otherwise an ACK.
    pub error: Option<String>,
    /// The resource names.
    pub names: N,
}

/// One response.
#[derive(Debug)]
pub struct Response {
    /// The resource type.
    pub kind: Kind,
    /// Hash of the content.
    pub version: Box<str>,
    /// Unique on the stream.
    pub nonce: String,
    /// The resources, each name once.
    pub resources: Vec<Arc<Resource>>,
    /// Names of removed resources. Only delta responses contain them on the wire.
    pub removed: Vec<Name>,
}

/// A change in what the client holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The client reported resources of this type from before the stream: it is a reconnection of a running process.
    Resumed {
        /// The resource type.
        kind: Kind,
    },
    /// The client ACKed a response.
    Acked {
        /// The resource type.
        kind: Kind,
        /// The response's version.
        version: Box<str>,
    },
    /// The client NACKed a response.
    Nacked {
        /// The resource type.
        kind: Kind,
        /// The response's version.
        version: Box<str>,
        /// The client's error message, clipped. For people; it differs between versions of Envoy.
        message: String,
    },
    /// No resource of this type is in the state NACKed any more.
    Cleared {
        /// The resource type.
        kind: Kind,
    },
}

/// A request that violates the protocol or a limit. It ends the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// No type URL on an aggregated stream.
    #[error("type_url is empty: it is required on an aggregated stream")]
    MissingTypeUrl,
    /// A type URL that is not one of xDS.
    #[error("type_url `{0}` is not an xDS resource type")]
    UnknownTypeUrl(String),
    /// A type that this service does not serve.
    #[error(
        "type_url `{requested}` is not served here: this service serves {served} resources only"
    )]
    TypeNotServed {
        /// The type that is served.
        served: Kind,
        /// The type URL in the request.
        requested: String,
    },
    /// More names than the limit.
    #[error("more than {MAX_NAMES} {0} names in one subscription")]
    TooManyNames(Kind),
    /// A name longer than the limit.
    #[error("a {0} name is longer than {MAX_NAME_LEN} bytes")]
    NameTooLong(Kind),
}

/// Checks the number and the length of names before any is stored.
pub(super) fn check_names<'a>(
    kind: Kind,
    names: impl ExactSizeIterator<Item = &'a String>,
) -> Result<(), ProtocolError> {
    if names.len() > MAX_NAMES {
        return Err(ProtocolError::TooManyNames(kind));
    }
    for name in names {
        if name.len() > MAX_NAME_LEN {
            return Err(ProtocolError::NameTooLong(kind));
        }
    }
    Ok(())
}

/// Clips the error message of a NACK.
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
