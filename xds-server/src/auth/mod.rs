//! Authentication and authorization of the clients of the xDS port.
//!
//! [`identity`] reads the SPIFFE ID from a client certificate, [`peer`] attaches it to every RPC of the connection, and
//! [`access`] decides which fleet and node id it may use. `docs/security.md` describes the rules for users.

pub mod access;
#[cfg(test)]
mod certificate_tests;
pub mod identity;
mod node_ownership;
pub mod pattern;
pub mod peer;
