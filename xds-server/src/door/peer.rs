//! Who is at the other end of a connection. tonic hands it to every RPC, as an extension of the
//! request.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tonic::Extensions;

use super::claims::{Claim, Node};
use super::identity::{NoIdentity, SpiffeId};
use super::quota::Client;

/// One connection's other end. Clones are of the same connection.
#[derive(Debug, Clone)]
pub struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: SocketAddr,
    credential: Credential,
    /// The sidecars that this connection speaks for. They are given up with the connection.
    claims: Mutex<BTreeMap<Node, Claim>>,
}

/// How a client shows who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Not at all: the port speaks plaintext.
    None,
    /// By a certificate of the client CA, with this identity.
    Identity(SpiffeId),
    /// By a certificate of the client CA that says not who it is.
    Unusable(NoIdentity),
}

impl Peer {
    /// Somebody at this address.
    #[must_use]
    pub fn new(address: SocketAddr, credential: Credential) -> Self {
        Self(Arc::new(Inner { address, credential, claims: Mutex::default() }))
    }

    /// Who sent a request. Whoever did not come through the door is nobody, from nowhere.
    #[must_use]
    pub fn of(request: &Extensions) -> Self {
        let nowhere = || SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        request.get().cloned().unwrap_or_else(|| Self::new(nowhere(), Credential::None))
    }

    /// Where the connection comes from.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.0.address.ip().to_canonical()
    }

    /// How it shows who it is.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.0.credential
    }

    /// Whom what it takes is counted for.
    #[must_use]
    pub fn client(&self) -> Client {
        match &self.0.credential {
            Credential::Identity(id) => Client::Identity(id.clone()),
            Credential::None | Credential::Unusable(_) => Client::at(self.0.address.ip()),
        }
    }

    /// The sidecars that it speaks for.
    pub(super) fn claims(&self) -> &Mutex<BTreeMap<Node, Claim>> {
        &self.0.claims
    }
}

/// For the log: the identity, and the address.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.credential {
            Credential::Identity(id) => write!(f, "{id} at {}", self.0.address),
            Credential::None | Credential::Unusable(_) => write!(f, "{}", self.0.address),
        }
    }
}
