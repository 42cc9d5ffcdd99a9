//! Real Envoys that reach the control plane by mutual TLS.

mod ca;
mod envoy;
mod mesh;
