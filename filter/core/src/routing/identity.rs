//! Who the user of a request is: what splits and rules tell users apart by.

use super::request::{HeaderSlot, Headers, Request};
use crate::config::IDENTITY_COOKIE;

/// One place of a request to look for an identity, its header looked up beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Header(HeaderSlot),
    Cookie { header: HeaderSlot, name: Box<str> },
}

/// The identity of a request: the first source that is present and not empty.
pub(super) fn find<'h, R: Request + ?Sized>(
    sources: &[Source],
    headers: &'h Headers<'_, R>,
) -> Option<&'h [u8]> {
    sources
        .iter()
        .filter_map(|source| match source {
            Source::Header(slot) => headers.get(*slot),
            Source::Cookie { header, name } => cookie(headers.get(*header)?, name),
        })
        .find(|identity| !identity.is_empty())
}

/// The value of the first cookie of that name.
pub(super) fn cookie<'h>(header: &'h [u8], name: &str) -> Option<&'h [u8]> {
    header.split(|&byte| byte == b';').find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=")
    })
}

/// An identity for a user who brought none, kept by a cookie from then on.
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

    /// The `Set-Cookie` value that makes it last: a year, for the whole site, out of reach of scripts.
    #[must_use]
    pub fn set_cookie(&self) -> String {
        let id = &self.0;
        format!("{IDENTITY_COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000")
    }
}
