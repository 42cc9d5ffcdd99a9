//! The server's side of mutual TLS: its certificate, and the CA that clients' certificates must be
//! of. [`files`] makes rustls' configuration of three files, [`reload`] does so again when they
//! change. Every handshake takes the newest; connections keep what they began with.

pub mod files;
pub mod reload;
