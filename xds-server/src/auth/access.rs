//! Authorization: the fleet and node id that a client may use.
//!
//! xDS streams and reports both name a fleet and a node id. Their handlers call [`Access::check`] before they use either.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use tonic::Status;

use super::identity::{IdentityError, WorkloadId};
use super::node_ownership::{NodeInUse, NodeKey, NodeOwners};
use super::pattern::{IdentityPattern, PatternMatch};
use super::peer::{Credential, Peer};
use crate::rejections::{Reason, Rejections};
use tidegate_delivery::names::FleetName;

/// Most node ids that one connection may use. An Envoy uses one.
const MAX_NODES_PER_CONNECTION: usize = 256;
/// Most characters of a name from a request that an error repeats.
const MAX_NAME_IN_ERROR: usize = 64;

/// The identities of each fleet.
pub type FleetIdentities = BTreeMap<FleetName, Vec<IdentityPattern>>;

/// The access rules of the port.
#[derive(Debug)]
pub struct Access {
    rule: Rule,
    rejections: Arc<Rejections>,
}

#[derive(Debug)]
enum Rule {
    /// Plaintext: there are no identities to check.
    Unrestricted,
    /// By the identity in the client certificate.
    Identities { fleets: RwLock<FleetIdentities>, owners: Arc<NodeOwners> },
}

/// A client may not use a fleet or node id. The message omits the patterns: a client that matches none must not learn them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Denied {
    /// A plaintext connection on a port with identities.
    #[error("no client certificate was presented: configure one for this sidecar")]
    NoCertificate,
    /// A certificate without a usable identity.
    #[error("the client has no identity: {0}")]
    NoIdentity(IdentityError),
    /// The identity matches none of the fleet's patterns.
    #[error(
        "identity {} is not allowed in fleet `{}`: add it to the fleet's `identities`",
        .0.identity, .0.fleet
    )]
    Fleet(AccessRequest),
    /// The identity names another node.
    #[error("{0}: its certificate names another node")]
    OtherNode(AccessRequest),
    /// Another identity or address owns the node id.
    #[error("{0}: another identity or address is connected with that node id")]
    NodeInUse(AccessRequest),
    /// Too many node ids on one connection.
    #[error("one connection may use at most {MAX_NODES_PER_CONNECTION} node ids")]
    TooManyNodes,
}

/// An identity with the fleet and node id that it requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRequest {
    identity: WorkloadId,
    fleet: String,
    node: String,
}

impl fmt::Display for AccessRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, fleet, node } = self;
        write!(f, "identity {identity} may not use node id `{node}` of fleet `{fleet}`")
    }
}

impl Access {
    /// Allows everything: for plaintext.
    #[must_use]
    pub const fn unrestricted(rejections: Arc<Rejections>) -> Self {
        Self { rule: Rule::Unrestricted, rejections }
    }

    /// Allows each fleet's own identities.
    #[must_use]
    pub fn by_identity(fleets: FleetIdentities, rejections: Arc<Rejections>) -> Self {
        let fleets = RwLock::new(fleets);
        Self { rule: Rule::Identities { fleets, owners: Arc::default() }, rejections }
    }

    /// Replaces the identities. Reports are checked by the new ones at once. An open xDS stream continues until it ends,
    /// at the latest at its maximum age. Without effect for plaintext.
    pub fn set_identities(&self, new: FleetIdentities) {
        if let Rule::Identities { fleets, .. } = &self.rule {
            *fleets.write() = new;
        }
    }

    /// The rejections that [`Self::check`] records.
    #[must_use]
    pub fn rejections(&self) -> &Rejections {
        &self.rejections
    }

    /// Checks that a client may use this node id of this fleet. If the certificate does not determine the node id, the
    /// connection acquires it, and other identities and addresses cannot use it until the connection ends.
    ///
    /// # Errors
    /// If it may not. The rejection is counted and logged.
    pub fn check(&self, peer: &Peer, fleet: &str, node: &str) -> Result<(), Denied> {
        let Rule::Identities { fleets, owners } = &self.rule else {
            return Ok(());
        };
        let fleets = fleets.read();
        let patterns = fleets.get(fleet).map_or(&[][..], Vec::as_slice);
        authorize(patterns, owners, peer, fleet, node).inspect_err(|denied| {
            self.rejections.record(denied.reason(), peer, denied);
        })
    }
}

fn authorize(
    patterns: &[IdentityPattern],
    owners: &Arc<NodeOwners>,
    peer: &Peer,
    fleet: &str,
    node: &str,
) -> Result<(), Denied> {
    let identity = match peer.credential() {
        Credential::Identity(identity) => identity,
        Credential::Invalid(error) => return Err(Denied::NoIdentity(error.clone())),
        Credential::None => return Err(Denied::NoCertificate),
    };
    let request = || AccessRequest {
        identity: identity.clone(),
        fleet: printable(fleet),
        node: printable(node),
    };
    match patterns.iter().map(|pattern| pattern.matches(identity, node)).max() {
        Some(PatternMatch::ThisNode) => Ok(()),
        Some(PatternMatch::AnyNode) => {
            let node = NodeKey { fleet: fleet.into(), id: node.into() };
            let mut owned = peer.owned_nodes().lock();
            if owned.contains_key(&node) {
                return Ok(());
            }
            if owned.len() >= MAX_NODES_PER_CONNECTION {
                return Err(Denied::TooManyNodes);
            }
            let ownership = owners
                .acquire(node.clone(), identity, peer.ip())
                .map_err(|NodeInUse| Denied::NodeInUse(request()))?;
            owned.insert(node, ownership);
            Ok(())
        }
        Some(PatternMatch::OtherNode) => Err(Denied::OtherNode(request())),
        Some(PatternMatch::None) | None => Err(Denied::Fleet(request())),
    }
}

/// A name from a request, shortened and without control characters.
fn printable(text: &str) -> String {
    text.chars().take(MAX_NAME_IN_ERROR).map(|it| if it.is_control() { ' ' } else { it }).collect()
}

impl Denied {
    const fn reason(&self) -> Reason {
        match self {
            Self::NoCertificate | Self::NoIdentity(_) => Reason::Identity,
            Self::Fleet(_) => Reason::Fleet,
            Self::OtherNode(_) | Self::NodeInUse(_) | Self::TooManyNodes => Reason::Node,
        }
    }
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::TooManyNodes => Self::resource_exhausted(denied.to_string()),
            Denied::NoCertificate => Self::unauthenticated(denied.to_string()),
            Denied::NoIdentity(_)
            | Denied::Fleet(_)
            | Denied::OtherNode(_)
            | Denied::NodeInUse(_) => Self::permission_denied(denied.to_string()),
        }
    }
}
