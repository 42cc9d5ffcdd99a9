//! What a client may claim to be. Both of what a sidecar sends, its xDS streams and its reports,
//! name a fleet and a node id, and both are checked here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use tonic::Status;

use super::claims::{Claims, Node, Taken};
use super::identity::{NoIdentity, SpiffeId};
use super::pattern::{Fit, IdentityPattern};
use super::peer::{Credential, Peer};
use super::refusals::{Reason, Refusals};
use tidegate_delivery::names::FleetName;

/// Most sidecars that one connection may speak for. An Envoy is one.
const MAX_NODES_A_CONNECTION: usize = 256;
/// Most of a client's own words that are said back, in characters.
const MAX_SHOWN: usize = 64;

/// Who may be of each fleet.
pub type Fleets = BTreeMap<FleetName, Vec<IdentityPattern>>;

/// Who may be what.
#[derive(Debug)]
pub struct Access {
    rule: Rule,
    refusals: Arc<Refusals>,
}

#[derive(Debug)]
enum Rule {
    /// The port speaks plaintext: nobody shows who he is.
    Anybody,
    /// By the identity in the client's certificate.
    Identities { fleets: RwLock<Fleets>, claims: Arc<Claims> },
}

/// Why a client may not be what it claims. The patterns are not told: they are nobody's business
/// who does not fit them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No certificate.
    #[error("a client must show a certificate")]
    Unknown,
    /// A certificate without an identity.
    #[error("the client may not be of any fleet: {0}")]
    NoIdentity(NoIdentity),
    /// The identity is not of that fleet.
    #[error("{} may not be of fleet `{}`: see the fleet's `identities`", .0.identity, .0.fleet)]
    Fleet(Claimed),
    /// The identity is that of another sidecar.
    #[error("{0}: its certificate names another")]
    OtherNode(Claimed),
    /// Somebody else speaks for it.
    #[error("{0}: another identity or address is connected as that")]
    Taken(Claimed),
    /// Too many at once.
    #[error("one connection may speak for {MAX_NODES_A_CONNECTION} nodes at most")]
    TooManyNodes,
}

/// Who claims to be what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    identity: SpiffeId,
    fleet: String,
    node: String,
}

impl fmt::Display for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, fleet, node } = self;
        write!(f, "{identity} may not be node `{node}` of fleet `{fleet}`")
    }
}

impl Access {
    /// Anybody may be anything: for a port that speaks plaintext.
    #[must_use]
    pub const fn for_anybody(refusals: Arc<Refusals>) -> Self {
        Self { rule: Rule::Anybody, refusals }
    }

    /// Each fleet takes its own identities.
    #[must_use]
    pub fn by_identity(fleets: Fleets, refusals: Arc<Refusals>) -> Self {
        let fleets = RwLock::new(fleets);
        Self { rule: Rule::Identities { fleets, claims: Arc::default() }, refusals }
    }

    /// From now on each fleet takes these. Who is connected already stays so until its stream
    /// ends, which streams do of age; each of its reports is checked.
    pub fn admit_by(&self, new: Fleets) {
        if let Rule::Identities { fleets, .. } = &self.rule {
            *fleets.write() = new;
        }
    }

    /// Who was turned away.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Whether a client may be this sidecar of this fleet. If its certificate does not say which
    /// sidecar it is, nobody else may be the same one while its connection lives.
    ///
    /// # Errors
    /// If not.
    pub fn check(&self, peer: &Peer, fleet: &str, node: &str) -> Result<(), Denied> {
        let Rule::Identities { fleets, claims } = &self.rule else {
            return Ok(());
        };
        let fleets = fleets.read();
        let patterns = fleets.get(fleet).map_or(&[][..], Vec::as_slice);
        admit(patterns, claims, peer, fleet, node).inspect_err(|denied| {
            self.refusals.note(denied.reason(), peer, denied);
        })
    }
}

fn admit(
    patterns: &[IdentityPattern],
    claims: &Arc<Claims>,
    peer: &Peer,
    fleet: &str,
    node: &str,
) -> Result<(), Denied> {
    let identity = match peer.credential() {
        Credential::Identity(identity) => identity,
        Credential::Unusable(why) => return Err(Denied::NoIdentity(why.clone())),
        Credential::None => return Err(Denied::Unknown),
    };
    let claimed = || Claimed { identity: identity.clone(), fleet: shown(fleet), node: shown(node) };
    match patterns.iter().map(|pattern| pattern.fit(identity, node)).max() {
        Some(Fit::ThisNode) => Ok(()),
        Some(Fit::AnyNode) => {
            let node = Node { fleet: fleet.into(), id: node.into() };
            let mut held = peer.claims().lock();
            if held.contains_key(&node) {
                return Ok(());
            }
            if held.len() >= MAX_NODES_A_CONNECTION {
                return Err(Denied::TooManyNodes);
            }
            let claim = claims.claim(node.clone(), identity, peer.ip());
            held.insert(node, claim.map_err(|Taken| Denied::Taken(claimed()))?);
            Ok(())
        }
        Some(Fit::OtherNode) => Err(Denied::OtherNode(claimed())),
        Some(Fit::Not) | None => Err(Denied::Fleet(claimed())),
    }
}

/// A client's words, as they may be put into a sentence.
fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).map(|it| if it.is_control() { ' ' } else { it }).collect()
}

impl Denied {
    const fn reason(&self) -> Reason {
        match self {
            Self::Unknown | Self::NoIdentity(_) => Reason::Identity,
            Self::Fleet(_) => Reason::Fleet,
            Self::OtherNode(_) | Self::Taken(_) | Self::TooManyNodes => Reason::Node,
        }
    }
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::TooManyNodes => Self::resource_exhausted(denied.to_string()),
            Denied::Unknown => Self::unauthenticated(denied.to_string()),
            Denied::NoIdentity(_) | Denied::Fleet(_) | Denied::OtherNode(_) | Denied::Taken(_) => {
                Self::permission_denied(denied.to_string())
            }
        }
    }
}
