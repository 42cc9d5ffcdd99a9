//! What state of the world and delta must each say for themselves.

use std::sync::Arc;

use super::message::{Event, Refusal, Request};
use super::order::Order;
use super::watch::Watch;
use crate::kind::{Kind, Mode};
use crate::resources::{Collection, Name, Resource};

/// The two ways to speak xDS: [`super::Sotw`] and [`super::Delta`]. There is no third: its
/// supertrait cannot be named elsewhere.
pub trait Dialect: Rules {}

/// What a dialect must say for itself.
pub trait Rules: Send + 'static {
    /// Which of the two it is.
    const MODE: Mode;

    /// How a request names resources.
    type Names: std::fmt::Debug + Send;

    /// True if a response of this kind may hold any subset of what is wanted.
    fn takes_parts(kind: Kind) -> bool;

    /// Takes a request's nonce, answer and names. `opening` is true for the first of its type.
    fn take(
        watch: &mut Watch,
        request: Request<Self::Names>,
        collection: &Collection,
        opening: bool,
    ) -> Result<Option<Event>, Refusal>;

    /// What there is to say about one kind.
    fn compose(view: View<'_>) -> Draft;
}

/// One kind of one stream.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub(super) kind: Kind,
    pub(super) watch: &'a Watch,
    pub(super) collection: &'a Collection,
    pub(super) order: Order<'a>,
}

/// What could be sent of one kind.
#[derive(Debug, Default)]
pub struct Draft {
    /// A response, if one is due.
    pub(super) content: Option<Content>,
    /// Something is held back until another type moves on.
    pub(super) waiting: bool,
}

/// What a response will hold.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) version: Box<str>,
    pub(super) resources: Vec<Arc<Resource>>,
    pub(super) removed: Vec<Name>,
}

impl Content {
    /// True if it says nothing.
    pub(super) const fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.removed.is_empty()
    }
}
