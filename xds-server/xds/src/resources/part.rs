//! Parts of a resource: the virtual hosts of a route configuration.
//!
//! A part is encoded as a message of the resource's own type that contains nothing but the part. Concatenated protobuf
//! messages merge, so a resource is the concatenation of its head and its parts.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::resource::{Name, ResourceRef};

/// A part of a resource that is valid without the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    name: Name,
    value: Bytes,
    references: Vec<ResourceRef>,
    domains: Vec<Name>,
    composite: Option<Arc<Composite>>,
}

/// The pieces of a part with optional ones, each encoded. Joined, they are the message in `field` of the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Composite {
    field: u32,
    prefix: Bytes,
    optional: Vec<(ResourceRef, Bytes)>,
    suffix: Bytes,
    /// References of the required pieces.
    references: Vec<ResourceRef>,
}

impl Part {
    /// Encodes a message of the resource's type that contains nothing but the part.
    #[must_use]
    pub fn encode(name: &str, message: &impl Message, references: Vec<ResourceRef>) -> Self {
        let value = message.encode_to_vec().into();
        Self { name: name.into(), value, references, domains: Vec::new(), composite: None }
    }

    /// Encodes a part that is one message in a field of the resource: `prefix`, the `optional` pieces, each with its
    /// reference, then `suffix`, whose references are `references`. An optional piece is omitted until its reference is
    /// ready.
    #[must_use]
    pub fn with_optional<M: Message>(
        name: &str,
        field: u32,
        prefix: &M,
        optional: Vec<(ResourceRef, M)>,
        suffix: &M,
        references: Vec<ResourceRef>,
    ) -> Self {
        let encode = |message: &M| Bytes::from(message.encode_to_vec());
        let optional = optional.into_iter().map(|(it, message)| (it, encode(&message))).collect();
        let (prefix, suffix) = (encode(prefix), encode(suffix));
        let composite = Composite { field, prefix, optional, suffix, references };
        let whole = composite.join(name.into(), |_| true);
        Self { composite: Some(Arc::new(composite)), ..whole }
    }

    /// Sets the domains, each of which may occur in one part of a resource only.
    #[must_use]
    pub fn with_domains(self, domains: Vec<Name>) -> Self {
        Self { domains, ..self }
    }

    /// The part without the optional pieces whose reference is not ready. The whole part if a required reference is not
    /// ready either.
    pub(super) fn restricted_to(&self, is_ready: impl Fn(&ResourceRef) -> bool) -> Self {
        match &self.composite {
            Some(composite)
                if composite.references.iter().all(&is_ready)
                    && !self.references.iter().all(&is_ready) =>
            {
                composite.join(self.name.clone(), is_ready).with_domains(self.domains.clone())
            }
            _ => self.clone(),
        }
    }

    /// The part's name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The encoded message.
    pub(super) const fn value(&self) -> &Bytes {
        &self.value
    }

    /// The resources that it references.
    #[must_use]
    pub fn references(&self) -> &[ResourceRef] {
        &self.references
    }

    /// The domains that no other part of the resource may contain.
    #[must_use]
    pub fn domains(&self) -> &[Name] {
        &self.domains
    }
}

impl Composite {
    /// The part with the optional pieces whose reference is ready.
    fn join(&self, name: Name, is_ready: impl Fn(&ResourceRef) -> bool) -> Part {
        let mut message = self.prefix.to_vec();
        let mut references = self.references.clone();
        for (reference, encoded) in self.optional.iter().filter(|(it, _)| is_ready(it)) {
            message.extend_from_slice(encoded);
            references.push(reference.clone());
        }
        message.extend_from_slice(&self.suffix);
        references.sort();
        references.dedup();
        let mut value = Vec::with_capacity(message.len() + 8);
        encode_key(self.field, WireType::LengthDelimited, &mut value);
        encode_varint(message.len() as u64, &mut value);
        value.extend_from_slice(&message);
        Part { name, value: value.into(), references, domains: Vec::new(), composite: None }
    }
}
