//! The part of the configuration for an Istio mesh: which clusters serve which version, and the
//! split, which the filter applies itself.
//!
//! A `VirtualService` has one route for each version, which matches the version's [`RouteToken`] in
//! the version header, and a default route. The filter sets the header if the default route does not
//! lead to the version that it chose.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Length of a [`RouteToken`], in bytes.
const TOKEN_LENGTH: usize = 32;

/// The services of the configuration that Istio routes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IstioMesh {
    /// Each service at most once.
    pub services: Vec<IstioService>,
}

/// How Istio routes one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IstioService {
    /// [`ServiceConfig::name`](super::ServiceConfig::name).
    pub service: String,
    /// Host of the Kubernetes `Service` or `ServiceEntry`, fully qualified.
    pub host: String,
    /// Port of the service, not of its pods.
    pub port: u16,
    /// All deployed versions.
    pub versions: Vec<IstioVersion>,
    /// Shares in the order of their buckets.
    pub split: Vec<Share>,
}

/// How Istio routes to one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IstioVersion {
    /// Name of the version.
    pub name: String,
    /// The cluster that serves it.
    pub target: IstioTarget,
    /// Value of the version header that its route matches.
    pub token: RouteToken,
}

/// The destination of a version in a `VirtualService`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IstioTarget {
    /// A subset of the service's host.
    Subset(String),
    /// A host of its own, on the port of the service.
    Host(String),
}

/// The buckets of one version: from the boundary of the share before it to its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Name of the version.
    pub version: String,
    /// The first bucket above the share. [`BUCKETS`](super::BUCKETS) in the last share.
    pub below: u32,
}

/// A secret value that selects the route to one version: 32 lower-case hexadecimal digits. Only
/// filters receive it, so clients cannot choose a version, whether a filter runs or not.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RouteToken(Box<str>);

/// A text that is not a [`RouteToken`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a route token must have {TOKEN_LENGTH} lower-case hexadecimal digits")]
pub struct InvalidToken;

impl RouteToken {
    /// The value of the version header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RouteToken {
    type Error = InvalidToken;

    fn try_from(text: String) -> Result<Self, InvalidToken> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == TOKEN_LENGTH && text.bytes().all(is_digit) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidToken)
        }
    }
}

impl From<RouteToken> for String {
    fn from(token: RouteToken) -> Self {
        token.0.into()
    }
}

/// Omits the secret.
impl fmt::Debug for RouteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RouteToken(…)")
    }
}
