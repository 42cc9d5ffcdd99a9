//! Real Envoys with mutual TLS to the control plane.

mod ca;
mod envoy;
mod mesh;
