//! Determines the user of a request, for bucketing and flag rules.

use std::borrow::Cow;

use super::request::{HeaderSlot, Headers, Request, cookie};
use crate::config::IDENTITY_COOKIE;

/// A compiled [`IdentitySource`](crate::config::IdentitySource).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IdentityLookup {
    Header(HeaderSlot),
    Cookie { header: HeaderSlot, name: Box<str> },
}

/// The user of a request.
pub(super) struct User<'h> {
    pub(super) identity: Cow<'h, [u8]>,
    /// Set for a user without an identity.
    pub(super) generated: Option<GeneratedIdentity>,
}

/// The user of a request, with a generated identity if no source has one.
pub(super) fn user<'h, R: Request + ?Sized>(
    sources: &[IdentityLookup],
    headers: &'h Headers<'_, R>,
) -> User<'h> {
    match find(sources, headers) {
        Some(identity) => User { identity: Cow::Borrowed(identity), generated: None },
        None => {
            let generated = GeneratedIdentity::new(headers.random());
            let identity = Cow::Owned(generated.as_str().as_bytes().to_vec());
            User { identity, generated: Some(generated) }
        }
    }
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
