//! A request as the router sees it: headers fetched at most once, and only those that are needed.

use std::cell::OnceCell;

use super::identity::cookie;
use crate::flags::{AttributeId, AttributePath, Context, Value};

/// What a decision may ask for. Each answer costs a call out of the sandbox, so nothing is asked
/// for before it is needed.
pub trait Request {
    /// The first value of a request header; pseudo-headers have their colon.
    fn header(&self, name: &str) -> Option<Vec<u8>>;
    /// Seconds since 1970.
    fn unix_seconds(&self) -> u64;
    /// Random bytes, for the identity of a user who brought none.
    fn random(&self) -> [u8; 16];
}

/// Number of a header within the router's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeaderSlot(pub(super) usize);

impl HeaderSlot {
    /// The host is needed by every decision, so it is first in every list.
    pub(super) const AUTHORITY: Self = Self(0);
}

/// The headers of one request, each fetched when it is first asked for.
pub(super) struct Headers<'a, R: ?Sized> {
    request: &'a R,
    names: &'a [Box<str>],
    values: Vec<OnceCell<Option<Vec<u8>>>>,
}

impl<'a, R: Request + ?Sized> Headers<'a, R> {
    pub(super) fn new(request: &'a R, names: &'a [Box<str>]) -> Self {
        Self { request, names, values: names.iter().map(|_| OnceCell::new()).collect() }
    }

    pub(super) fn get(&self, slot: HeaderSlot) -> Option<&[u8]> {
        let name = self.names.get(slot.0)?;
        let fetch = || self.request.header(name);
        self.values.get(slot.0)?.get_or_init(fetch).as_deref()
    }
}

/// How an attribute that rules name is found in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attribute {
    Identity,
    Header(HeaderSlot),
    Cookie {
        header: HeaderSlot,
        name: Box<str>,
    },
    /// The path without its query.
    Path(HeaderSlot),
    /// The host without its port.
    Host,
    /// A request has no such attribute.
    Absent,
}

/// The request as rules see it: `targetingKey`, `headers.NAME`, `cookies.NAME`, `host`, `path` and
/// `method`. Values that are not UTF-8 do not exist for rules.
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
            Attribute::Host => super::without_port(self.headers.get(HeaderSlot::AUTHORITY)?),
            Attribute::Absent => return None,
        };
        std::str::from_utf8(bytes).ok()
    }
}

impl<R: Request + ?Sized> Context for FlagContext<'_, R> {
    fn attribute(&self, id: AttributeId, _: &AttributePath) -> Value<'_> {
        let attribute = self.attributes.get(id.0);
        attribute.and_then(|attribute| self.find(attribute)).map_or(Value::Null, Value::from)
    }

    fn unix_seconds(&self) -> u64 {
        self.headers.request.unix_seconds()
    }
}
