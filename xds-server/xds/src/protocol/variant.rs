//! The interface between a session and the two protocol variants.

use std::sync::Arc;

use super::message::{Event, ProtocolError, Request};
use super::sequencing::Sequencing;
use super::type_state::TypeState;
use crate::kind::{Kind, Mode};
use crate::resources::{Collection, Name, Resource};

/// A variant of the xDS transport protocol: [`super::Sotw`] or [`super::Delta`]. Sealed by its supertrait.
pub trait Variant: VariantRules {}

/// The rules in which the variants differ.
pub trait VariantRules: Send + 'static {
    /// Which of the two it is.
    const MODE: Mode;

    /// The resource names in a request.
    type Names: std::fmt::Debug + Send;

    /// True if a response of this kind may contain any subset of the subscribed resources.
    fn allows_subset(kind: Kind) -> bool;

    /// Applies the nonce, the ACK or NACK, and the names of a request. `is_first` is true for the first request of its
    /// type on the stream.
    fn on_request(
        state: &mut TypeState,
        request: Request<Self::Names>,
        collection: &Collection,
        is_first: bool,
    ) -> Result<Option<Event>, ProtocolError>;

    /// Composes the next response of one type.
    fn draft(view: TypeView<'_>) -> Draft;
}

/// One type of one stream, as input of a draft.
#[derive(Debug, Clone, Copy)]
pub struct TypeView<'a> {
    pub(super) kind: Kind,
    pub(super) state: &'a TypeState,
    pub(super) collection: &'a Collection,
    pub(super) sequencing: Sequencing<'a>,
}

/// What can be sent of one type now.
#[derive(Debug, Default)]
pub struct Draft {
    /// The response, if one is due.
    pub(super) body: Option<ResponseBody>,
    /// Some content is held back until another type progresses.
    pub(super) is_blocked: bool,
}

/// The content of a response.
#[derive(Debug, Default)]
pub(super) struct ResponseBody {
    pub(super) version: Box<str>,
    pub(super) resources: Vec<Arc<Resource>>,
    pub(super) removed: Vec<Name>,
}

impl ResponseBody {
    /// True if it contains neither a resource nor a removal.
    pub(super) const fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.removed.is_empty()
    }
}
