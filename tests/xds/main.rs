//! The xDS server and a real Envoy: what is published is what Envoy does, and no request fails
//! on the way. Needs an Envoy, 1.36 or newer, in `TIDEGATE_ENVOY` or on the PATH.
#![cfg(test)]

mod backend;
mod bootstraps;
mod clients;
mod control;
mod dump;
mod envoy;
mod own_listener;
mod scenarios;
