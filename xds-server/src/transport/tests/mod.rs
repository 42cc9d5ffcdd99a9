//! The listener on a real port, with xDS and reports behind it.

mod access;
pub(crate) mod ca;
mod handshakes;
mod quotas;
mod reload;
mod world;
