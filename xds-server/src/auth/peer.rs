//! The peer of a connection. tonic adds it to the extensions of every request.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tonic::Extensions;

use super::identity::{IdentityError, WorkloadId};
use super::node_ownership::{NodeKey, NodeOwnership};

/// The peer of one connection. Clones refer to the same connection.
#[derive(Debug, Clone)]
pub struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: SocketAddr,
    credential: Credential,
    /// The node ids that this connection uses. They are released with the connection.
    owned_nodes: Mutex<BTreeMap<NodeKey, NodeOwnership>>,
}

/// A reference to a connection that does not keep it in memory.
#[derive(Debug, Clone)]
pub struct ConnectionRef(Weak<Inner>);

impl ConnectionRef {
    /// Whether the connection, or a request on it, still exists.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// What a client presented in the TLS handshake.
#[derive(Debug, Clone, PartialEq)]
pub enum Credential {
    /// Nothing: the connection is plaintext.
    None,
    /// A certificate of the client CA with this identity.
    Identity(WorkloadId),
    /// A certificate of the client CA without a usable identity.
    Invalid(IdentityError),
}

/// The client that a quota counts for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// All connections with this identity.
    Identity(WorkloadId),
    /// All connections without an identity from this IPv4 address or IPv6 network of 64 bits.
    Address(IpAddr),
}

impl ClientKey {
    /// The key of a client without an identity. A host mostly has a whole IPv6 network of 64 bits.
    #[must_use]
    pub fn from_address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
            ip @ IpAddr::V4(_) => ip,
        })
    }
}

impl Peer {
    /// The peer of a new connection.
    #[must_use]
    pub fn new(address: SocketAddr, credential: Credential) -> Self {
        Self(Arc::new(Inner { address, credential, owned_nodes: Mutex::default() }))
    }

    /// The peer that sent a request. Without the extension, as in tests that bypass the listener, it is a plaintext peer
    /// at the unspecified address.
    #[must_use]
    pub fn of(request: &Extensions) -> Self {
        let unspecified = || SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        request.get().cloned().unwrap_or_else(|| Self::new(unspecified(), Credential::None))
    }

    /// The address, an IPv4-mapped IPv6 address as IPv4.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.0.address.ip().to_canonical()
    }

    /// What the client presented in the TLS handshake.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.0.credential
    }

    /// The client for quotas.
    #[must_use]
    pub fn client(&self) -> ClientKey {
        match &self.0.credential {
            Credential::Identity(id) => ClientKey::Identity(id.clone()),
            Credential::None | Credential::Invalid(_) => {
                ClientKey::from_address(self.0.address.ip())
            }
        }
    }

    /// A reference to the connection.
    #[must_use]
    pub fn connection(&self) -> ConnectionRef {
        ConnectionRef(Arc::downgrade(&self.0))
    }

    pub(super) fn owned_nodes(&self) -> &Mutex<BTreeMap<NodeKey, NodeOwnership>> {
        &self.0.owned_nodes
    }
}

/// For logs: identity and address.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.credential {
            Credential::Identity(id) => write!(f, "{id} at {}", self.0.address),
            Credential::None | Credential::Invalid(_) => write!(f, "{}", self.0.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_client_and_a_mapped_address_is_ipv4() {
        let at = |address: &str| ClientKey::from_address(address.parse().unwrap());
        assert_eq!(at("2001:db8:0:1::1"), at("2001:db8:0:1:ffff::2"));
        assert_ne!(at("2001:db8:0:1::1"), at("2001:db8:0:2::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    }
}
