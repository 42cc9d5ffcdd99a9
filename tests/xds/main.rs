//! The xDS server, in this process, and real Envoys: each runs the configuration that was published last, and no request
//! fails during an update, a NACK, or a reconnect.
#![cfg(test)]

mod backend;
mod bootstraps;
mod clients;
mod control;
mod dump;
mod envoy;
mod own_listener;
mod scenarios;
mod versions;
