//! One resource, encoded once: every stream that sends it shares its bytes.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest as _, Sha256};

use super::mix::mix;
use super::part::Part;
use crate::kind::Kind;

/// A resource's name, shared by everything that mentions it.
pub type Name = Arc<str>;

/// Another resource that one names, and that must be in place before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Need {
    /// What kind of resource.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
}

/// One encoded resource. Its version is the hash of its bytes, so a version never names two
/// contents, not even across restarts and replicas.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    kind: Kind,
    name: Name,
    version: Box<str>,
    value: Bytes,
    needs: Vec<Need>,
    /// How much of `value` comes before the parts.
    head: usize,
    parts: Vec<Part>,
}

impl Resource {
    /// Encodes a message. `needs` are the resources that it names.
    #[must_use]
    pub fn encode(kind: Kind, name: &str, message: &impl Message, needs: Vec<Need>) -> Self {
        let value = Bytes::from(message.encode_to_vec());
        Self {
            kind,
            name: name.into(),
            version: hex(&Sha256::digest(&value)),
            head: value.len(),
            value,
            needs,
            parts: Vec::new(),
        }
    }

    /// A resource that is encoded already.
    #[cfg(feature = "test-adapter")]
    #[must_use]
    pub fn raw(kind: Kind, name: &str, value: Bytes) -> Self {
        Self {
            kind,
            name: name.into(),
            version: hex(&Sha256::digest(&value)),
            head: value.len(),
            value,
            needs: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Encodes a message that has parts: `head` is all else.
    #[must_use]
    pub fn assemble(kind: Kind, name: &str, head: &impl Message, parts: Vec<Part>) -> Self {
        Self::join(kind, name.into(), &head.encode_to_vec(), parts)
    }

    fn join(kind: Kind, name: Name, head: &[u8], parts: Vec<Part>) -> Self {
        let mut value = head.to_vec();
        let mut needs = Vec::new();
        for part in &parts {
            value.extend_from_slice(part.value());
            needs.extend_from_slice(part.needs());
        }
        Self {
            kind,
            name,
            version: hex(&Sha256::digest(&value)),
            value: value.into(),
            needs,
            head: head.len(),
            parts,
        }
    }

    /// What a client that has `held` may have until it is ready for all of this: the parts that it
    /// is ready for, as far as it is, and for the others what it has. `None` if there are no parts to
    /// choose from, or if what it has is needed and not known.
    #[must_use]
    pub fn meanwhile(&self, held: Option<&Self>, ready: impl Fn(&Need) -> bool) -> Option<Self> {
        let head = self.value.get(..self.head)?;
        let new: Vec<_> = self.parts.iter().map(|part| part.as_far_as(&ready)).collect();
        let is_ready = |part: &Part| part.needs().iter().all(&ready);
        if held.is_none() && !new.iter().all(is_ready) {
            return None;
        }
        let old = held.map_or(&[][..], |held| &held.parts);
        let parts: Vec<Part> = mix(&new, old, is_ready).into_iter().cloned().collect();
        (!parts.is_empty()).then(|| Self::join(self.kind, Arc::clone(&self.name), head, parts))
    }

    /// What kind of resource it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The hash of its content.
    #[must_use]
    pub const fn version(&self) -> &str {
        &self.version
    }

    /// The encoded message, without the `Any` around it.
    #[must_use]
    pub const fn value(&self) -> &Bytes {
        &self.value
    }

    /// The resources that it names.
    #[must_use]
    pub fn needs(&self) -> &[Need] {
        &self.needs
    }
}

/// The version of a set of resources: the hash of its members' names and versions.
pub(crate) fn version_of<'a>(resources: impl Iterator<Item = &'a Resource>) -> Box<str> {
    let mut hash = Sha256::new();
    for resource in resources {
        hash.update(resource.name.as_bytes());
        // Neither a name nor a version holds this byte, so no two sets hash the same input.
        hash.update([0]);
        hash.update(resource.version.as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize())
}

/// Half of a SHA-256 as text: 128 bits are enough against chance, and nobody attacks himself.
pub(super) fn hex(digest: &[u8]) -> Box<str> {
    hex::encode(digest.get(..16).unwrap_or(digest)).into()
}
