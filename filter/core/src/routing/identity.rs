//! Determines the user of a request, for bucketing and flag rules.

use super::request::{HeaderSlot, Headers, Request, cookie};
use crate::config::IDENTITY_COOKIE;

/// A compiled [`IdentitySource`](crate::config::IdentitySource).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IdentityLookup {
    Header(HeaderSlot),
    Cookie { header: HeaderSlot, name: Box<str> },
}

/// The identity of a request: the first source that is present and not empty.
pub(super) fn find<'h, R: Request + ?Sized>(
    sources: &[IdentityLookup],
    headers: &'h Headers<'_, R>,
) -> Option<&'h [u8]> {
    sources
        .iter()
        .filter_map(|source| match source {
            IdentityLookup::Header(slot) => headers.get(*slot),
            IdentityLookup::Cookie { header, name } => cookie(headers.get(*header)?, name),
        })
        .find(|identity| !identity.is_empty())
}

/// Identity generated for a user without one, stored in the cookie [`IDENTITY_COOKIE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedIdentity(String);

impl GeneratedIdentity {
    pub(super) fn new(random: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(random)))
    }

    /// The identity, 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The `Set-Cookie` value: valid for a year and the whole site, not readable by scripts.
    #[must_use]
    pub fn set_cookie(&self) -> String {
        let id = &self.0;
        format!("{IDENTITY_COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000")
    }
}
