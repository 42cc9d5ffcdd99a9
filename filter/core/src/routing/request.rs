//! Request access for the router: headers are read lazily and at most once.

use std::cell::OnceCell;

use crate::{
    flags::{AttributeId, AttributePath, EvaluationContext, Value},
    host::host_of_authority,
};

/// Inputs of a routing decision. Each method is a host call in the filter; the router calls it only
/// when it needs the value.
pub trait Request {
    /// The first value of a request header; names of pseudo-headers start with a colon.
    fn header(&self, name: &str) -> Option<Vec<u8>>;
    /// Seconds since 1970.
    fn unix_seconds(&self) -> u64;
    /// Random bytes for a [`GeneratedIdentity`](super::GeneratedIdentity).
    fn random(&self) -> [u8; 16];
}

/// Index into the router's list of headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeaderSlot(pub(super) usize);

impl HeaderSlot {
    /// `:authority`. Every decision needs it, so it is first in every list.
    pub(super) const AUTHORITY: Self = Self(0);
}

/// Headers of one request, each cached on first access.
pub(super) struct Headers<'a, R: ?Sized> {
    request: &'a R,
    names: &'a [Box<str>],
    values: Vec<OnceCell<Option<Vec<u8>>>>,
    host: OnceCell<Option<Box<str>>>,
}

impl<'a, R: Request + ?Sized> Headers<'a, R> {
    pub(super) fn new(request: &'a R, names: &'a [Box<str>]) -> Self {
        let values = names.iter().map(|_| OnceCell::new()).collect();
        Self { request, names, values, host: OnceCell::new() }
    }

    pub(super) fn get(&self, slot: HeaderSlot) -> Option<&[u8]> {
        let name = self.names.get(slot.0)?;
        let fetch = || self.request.header(name);
        self.values.get(slot.0)?.get_or_init(fetch).as_deref()
    }

    pub(super) fn random(&self) -> [u8; 16] {
        self.request.random()
    }

    /// The host of `:authority` in normal form; `None` if it is absent or not UTF-8.
    pub(super) fn host(&self) -> Option<&str> {
        let normalise = || {
            let authority = std::str::from_utf8(self.get(HeaderSlot::AUTHORITY)?).ok()?;
            Some(host_of_authority(authority).into())
        };
        self.host.get_or_init(normalise).as_deref()
    }
}

/// The value of the first cookie with this name in a `Cookie` header.
pub(super) fn cookie<'h>(header: &'h [u8], name: &str) -> Option<&'h [u8]> {
    header.split(|&byte| byte == b';').find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=")
    })
}

/// Whether requests have an attribute of this name. Rules see any other one as null.
#[must_use]
pub fn is_request_attribute(name: &str) -> bool {
    name.starts_with("headers.")
        || name.starts_with("cookies.")
        || ["targetingKey", "host", "path", "method"].contains(&name)
}

/// How an attribute of the flag rules is read from a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attribute {
    Identity,
    Header(HeaderSlot),
    Cookie {
        header: HeaderSlot,
        name: Box<str>,
    },
    /// The path without query.
    Path(HeaderSlot),
    /// The host in normal form.
    Host,
    /// An attribute that requests do not have.
    Absent,
}

/// Evaluation context of a request: `targetingKey`, `headers.NAME`, `cookies.NAME`, `host`, `path`
/// and `method`. Values that are not UTF-8 are absent.
pub(super) struct FlagContext<'a, R: ?Sized> {
    pub(super) attributes: &'a [Attribute],
    pub(super) headers: &'a Headers<'a, R>,
    pub(super) identity: Option<&'a str>,
}

impl<R: Request + ?Sized> FlagContext<'_, R> {
    fn find(&self, attribute: &Attribute) -> Option<&str> {
        let bytes = match attribute {
            Attribute::Identity => return self.identity,
            Attribute::Header(slot) => self.headers.get(*slot)?,
            Attribute::Cookie { header, name } => cookie(self.headers.get(*header)?, name)?,
            Attribute::Path(slot) => {
                let path = self.headers.get(*slot)?;
                path.split(|&byte| byte == b'?').next()?
            }
            Attribute::Host => return self.headers.host(),
            Attribute::Absent => return None,
        };
        std::str::from_utf8(bytes).ok()
    }
}

impl<R: Request + ?Sized> EvaluationContext for FlagContext<'_, R> {
    fn attribute(&self, id: AttributeId, _: &AttributePath) -> Value<'_> {
        let attribute = self.attributes.get(id.0);
        attribute.and_then(|attribute| self.find(attribute)).map_or(Value::Null, Value::from)
    }

    fn unix_seconds(&self) -> u64 {
        self.headers.request.unix_seconds()
    }
}
