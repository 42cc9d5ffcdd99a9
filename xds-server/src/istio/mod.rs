//! Meshes whose control plane is Istio: the keys of route tokens, and the objects that a user applies.

pub mod applied;
pub mod image;
pub mod manifests;
mod objects;
pub mod registry;
pub mod rotation;
pub mod tokens;
