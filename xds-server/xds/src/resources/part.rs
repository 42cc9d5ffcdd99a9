//! A piece of a resource that makes sense without the others, such as one virtual host of a route configuration.
//! Encoded messages may be joined, so a resource is its head and its parts.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::resource::{Name, Need};

/// A piece of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    name: Name,
    value: Bytes,
    needs: Vec<Need>,
    claims: Vec<Name>,
    layers: Option<Arc<Layers>>,
}

/// A part that is one field of its resource, and what of it can be left out: encoded, to be joined.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layers {
    field: u32,
    first: Bytes,
    optional: Vec<(Need, Bytes)>,
    last: Bytes,
    /// What all but the optional ones need.
    needs: Vec<Need>,
}

impl Part {
    /// Encodes a message of the resource's own type that holds nothing but the part.
    #[must_use]
    pub fn encode(name: &str, message: &impl Message, needs: Vec<Need>) -> Self {
        let value = message.encode_to_vec().into();
        Self { name: name.into(), value, needs, claims: Vec::new(), layers: None }
    }

    /// Encodes a part that is one message in a field of the resource: `first`, then what is `optional`, each with what
    /// it needs, then `last`, which needs `needs`. Until what it needs is there, an optional one can be left out.
    #[must_use]
    pub fn in_layers<M: Message>(
        name: &str,
        field: u32,
        first: &M,
        optional: Vec<(Need, M)>,
        last: &M,
        needs: Vec<Need>,
    ) -> Self {
        let encode = |message: &M| Bytes::from(message.encode_to_vec());
        let optional = optional.into_iter().map(|(need, it)| (need, encode(&it))).collect();
        let layers = Layers { field, first: encode(first), optional, last: encode(last), needs };
        let whole = layers.join(name.into(), |_| true);
        Self { layers: Some(Arc::new(layers)), ..whole }
    }

    /// The same, which lays claim to what only one part of a resource may have, such as a domain.
    #[must_use]
    pub fn claiming(self, claims: Vec<Name>) -> Self {
        Self { claims, ..self }
    }

    /// As much of it as a client is ready for; all of it if that is not enough.
    pub(super) fn as_far_as(&self, ready: impl Fn(&Need) -> bool) -> Self {
        match &self.layers {
            Some(layers) if layers.needs.iter().all(&ready) && !self.needs.iter().all(&ready) => {
                layers.join(self.name.clone(), ready).claiming(self.claims.clone())
            }
            _ => self.clone(),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The encoded message.
    pub(super) const fn value(&self) -> &Bytes {
        &self.value
    }

    /// The resources that it names.
    #[must_use]
    pub fn needs(&self) -> &[Need] {
        &self.needs
    }

    /// What no other part of the resource may have.
    #[must_use]
    pub fn claims(&self) -> &[Name] {
        &self.claims
    }
}

impl Layers {
    /// A part of what is ready, each need once.
    fn join(&self, name: Name, ready: impl Fn(&Need) -> bool) -> Part {
        let mut message = self.first.to_vec();
        let mut needs = self.needs.clone();
        for (need, encoded) in self.optional.iter().filter(|(need, _)| ready(need)) {
            message.extend_from_slice(encoded);
            needs.push(need.clone());
        }
        message.extend_from_slice(&self.last);
        needs.sort();
        needs.dedup();
        let mut value = Vec::with_capacity(message.len() + 8);
        encode_key(self.field, WireType::LengthDelimited, &mut value);
        encode_varint(message.len() as u64, &mut value);
        value.extend_from_slice(&message);
        Part { name, value: value.into(), needs, claims: Vec::new(), layers: None }
    }
}
