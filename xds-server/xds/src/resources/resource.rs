//! One encoded resource. All streams share its bytes.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest as _, Sha256};

use super::part::Part;
use super::partial_update::select_parts;
use crate::kind::Kind;

/// The name of a resource or part, shared by all owners.
pub type Name = Arc<str>;

/// A reference to another resource, which must be in place first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceRef {
    /// The resource type.
    pub kind: Kind,
    /// The resource's name.
    pub name: Name,
}

/// One encoded resource. Its version is the hash of its bytes, so equal versions mean equal content, across restarts and
/// replicas too.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    kind: Kind,
    name: Name,
    version: Box<str>,
    value: Bytes,
    references: Vec<ResourceRef>,
    /// Length of `value` before the parts.
    head: usize,
    parts: Vec<Part>,
}

impl Resource {
    /// Encodes a message that contains these references.
    #[must_use]
    pub fn encode(
        kind: Kind,
        name: &str,
        message: &impl Message,
        references: Vec<ResourceRef>,
    ) -> Self {
        Self::whole(kind, name, message.encode_to_vec().into(), references)
    }

    /// A resource from encoded bytes, without references.
    #[cfg(feature = "test-adapter")]
    #[must_use]
    pub fn raw(kind: Kind, name: &str, value: Bytes) -> Self {
        Self::whole(kind, name, value, Vec::new())
    }

    fn whole(kind: Kind, name: &str, value: Bytes, references: Vec<ResourceRef>) -> Self {
        Self {
            kind,
            name: name.into(),
            version: hex(&Sha256::digest(&value)),
            head: value.len(),
            value,
            references,
            parts: Vec::new(),
        }
    }

    /// Encodes a message with parts. `head` is the message without them.
    #[must_use]
    pub fn assemble(kind: Kind, name: &str, head: &impl Message, parts: Vec<Part>) -> Self {
        Self::join(kind, name.into(), &head.encode_to_vec(), parts)
    }

    fn join(kind: Kind, name: Name, head: &[u8], parts: Vec<Part>) -> Self {
        let mut value = head.to_vec();
        let mut references = Vec::new();
        for part in &parts {
            value.extend_from_slice(part.value());
            references.extend_from_slice(part.references());
        }
        Self {
            kind,
            name,
            version: hex(&Sha256::digest(&value)),
            value: value.into(),
            references,
            head: head.len(),
            parts,
        }
    }

    /// The content for a client that holds `acked`, until all references of this resource are ready: the new parts whose
    /// references are ready, and the acked version of the others. `None` if that would be empty, or if a part is not ready
    /// and the acked content is not known.
    #[must_use]
    pub fn partial_update(
        &self,
        acked: Option<&Self>,
        is_ready: impl Fn(&ResourceRef) -> bool,
    ) -> Option<Self> {
        let head = self.value.get(..self.head)?;
        let new: Vec<_> = self.parts.iter().map(|part| part.restricted_to(&is_ready)).collect();
        let is_part_ready = |part: &Part| part.references().iter().all(&is_ready);
        if acked.is_none() && !new.iter().all(is_part_ready) {
            return None;
        }
        let old = acked.map_or(&[][..], |acked| &acked.parts);
        let parts: Vec<Part> =
            select_parts(&new, old, is_part_ready).into_iter().cloned().collect();
        (!parts.is_empty()).then(|| Self::join(self.kind, Arc::clone(&self.name), head, parts))
    }

    /// The resource type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The resource's name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Hash of the content.
    #[must_use]
    pub const fn version(&self) -> &str {
        &self.version
    }

    /// The encoded message, without the enclosing `Any`.
    #[must_use]
    pub const fn value(&self) -> &Bytes {
        &self.value
    }

    /// The resources that it references.
    #[must_use]
    pub fn references(&self) -> &[ResourceRef] {
        &self.references
    }
}

/// The version of a set of resources: the hash of their names and versions.
pub(crate) fn version_of<'a>(resources: impl Iterator<Item = &'a Resource>) -> Box<str> {
    let mut hash = Sha256::new();
    for resource in resources {
        hash.update(resource.name.as_bytes());
        // Neither names nor versions contain this byte, so different sets have different input.
        hash.update([0]);
        hash.update(resource.version.as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize())
}

/// The first 128 bits of a SHA-256 as text. That suffices against accidental collisions; deliberate ones are out of scope,
/// because the configuration is trusted.
pub(super) fn hex(digest: &[u8]) -> Box<str> {
    hex::encode(digest.get(..16).unwrap_or(digest)).into()
}
