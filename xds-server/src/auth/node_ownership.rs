//! Ownership of node ids whose clients share an identity.
//!
//! Sidecars of one service mostly share an identity, so the certificate does not determine the node id. A node id then
//! belongs to the identity and address that used it first, for as long as one of its connections lives. The other
//! connections of the sidecar, such as those of Envoy's workers with their reports, come from the same address.

use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::identity::WorkloadId;

/// A node in the terms of its client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NodeKey {
    /// Envoy's `node.cluster`.
    pub(super) fleet: Arc<str>,
    /// Envoy's `node.id`.
    pub(super) id: Arc<str>,
}

/// The owner of every node id in use.
#[derive(Debug, Default)]
pub(super) struct NodeOwners(DashMap<NodeKey, Owner>);

#[derive(Debug)]
struct Owner {
    identity: WorkloadId,
    address: IpAddr,
    connections: usize,
}

/// Another identity or address owns the node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeInUse;

impl NodeOwners {
    /// Acquires a node id for one more connection. Dropping the value releases it.
    pub(super) fn acquire(
        self: &Arc<Self>,
        node: NodeKey,
        identity: &WorkloadId,
        address: IpAddr,
    ) -> Result<NodeOwnership, NodeInUse> {
        let mut owner = self.0.entry(node.clone()).or_insert_with(|| Owner {
            identity: identity.clone(),
            address,
            connections: 0,
        });
        if owner.identity != *identity || owner.address != address {
            return Err(NodeInUse);
        }
        owner.connections += 1;
        drop(owner);
        Ok(NodeOwnership { owners: Arc::clone(self), node })
    }
}

/// One connection's share of the ownership of a node id.
#[derive(Debug)]
pub(super) struct NodeOwnership {
    owners: Arc<NodeOwners>,
    node: NodeKey,
}

impl Drop for NodeOwnership {
    fn drop(&mut self) {
        if let Entry::Occupied(mut owner) = self.owners.0.entry(self.node.clone()) {
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
    fn a_node_id_is_owned_until_its_last_connection_ends() {
        let owners = Arc::new(NodeOwners::default());
        let acquire = |id: &str, identity: &str, address: [u8; 4]| {
            let node = NodeKey { fleet: "demo".into(), id: id.into() };
            owners.acquire(node, &identity.parse().unwrap(), address.into())
        };
        let (shop, other) = ("spiffe://a.org/shop", "spiffe://a.org/other");
        let (here, there) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let first = acquire("n-1", shop, here).unwrap();
        let second = acquire("n-1", shop, here).unwrap();
        assert_eq!(acquire("n-1", other, here).unwrap_err(), NodeInUse, "another identity");
        assert_eq!(acquire("n-1", shop, there).unwrap_err(), NodeInUse, "another address");
        let _neighbour = acquire("n-2", other, here).unwrap();
        drop(first);
        assert_eq!(acquire("n-1", shop, there).unwrap_err(), NodeInUse, "one connection is left");
        drop(second);
        let _moved = acquire("n-1", shop, there).unwrap();
        assert_eq!(owners.0.len(), 2);
    }
}
