//! Who speaks for a sidecar, where its identity does not say so by itself: sidecars of one service
//! mostly share an identity, and any of them could say that it is another.
//!
//! The rule is the simplest that holds: a node id belongs to the identity *and* the address that
//! used it first, for as long as one of its connections lives. Its other connections, such as those
//! of Envoy's workers with their reports, come from the same address.

use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::identity::SpiffeId;

/// A sidecar, as it calls itself: its fleet and its node id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Node {
    pub(super) fleet: Arc<str>,
    pub(super) id: Arc<str>,
}

/// Every sidecar that somebody speaks for.
#[derive(Debug, Default)]
pub(super) struct Claims(DashMap<Node, Owner>);

#[derive(Debug)]
struct Owner {
    identity: SpiffeId,
    address: IpAddr,
    connections: usize,
}

/// It belongs to somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken;

impl Claims {
    /// Claims a sidecar for one more connection, until the value is dropped.
    pub(super) fn claim(
        self: &Arc<Self>,
        node: Node,
        identity: &SpiffeId,
        address: IpAddr,
    ) -> Result<Claim, Taken> {
        let mut owner = self.0.entry(node.clone()).or_insert_with(|| Owner {
            identity: identity.clone(),
            address,
            connections: 0,
        });
        if owner.identity != *identity || owner.address != address {
            return Err(Taken);
        }
        owner.connections += 1;
        drop(owner);
        Ok(Claim { claims: Arc::clone(self), node })
    }
}

/// One connection's right to speak for a sidecar.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Arc<Claims>,
    node: Node,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Entry::Occupied(mut owner) = self.claims.0.entry(self.node.clone()) {
            owner.get_mut().connections -= 1;
            if owner.get().connections == 0 {
                owner.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_is_spoken_for_until_its_last_connection_ends() {
        let claims = Arc::new(Claims::default());
        let claim = |id: &str, identity: &str, address: [u8; 4]| {
            let node = Node { fleet: "demo".into(), id: id.into() };
            claims.claim(node, &identity.parse().unwrap(), address.into())
        };
        let (shop, other) = ("spiffe://a.org/shop", "spiffe://a.org/other");
        let (here, there) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let first = claim("n-1", shop, here).unwrap();
        let second = claim("n-1", shop, here).unwrap();
        assert_eq!(claim("n-1", other, here).unwrap_err(), Taken, "another identity");
        assert_eq!(claim("n-1", shop, there).unwrap_err(), Taken, "another address");
        let _neighbour = claim("n-2", other, here).unwrap();
        drop(first);
        assert_eq!(claim("n-1", shop, there).unwrap_err(), Taken, "one connection is left");
        drop(second);
        let _moved = claim("n-1", shop, there).unwrap();
        assert_eq!(claims.0.len(), 2);
    }
}
