//! The way to a candidate through the sidecars' preview listeners.

use std::net::SocketAddr;

use super::probe::Way;
use tidegate_delivery::names::{ServiceName, VersionName};
use tidegate_xds::mesh::{Listener, Mesh, PreviewKey, Purpose};

/// The preview listeners that there are, and what opens them.
#[derive(Debug, Clone)]
pub struct Previews {
    key: PreviewKey,
    listeners: Vec<Listener>,
}

impl Previews {
    /// Those of a mesh.
    #[must_use]
    pub fn of_mesh(mesh: &Mesh) -> Self {
        let listeners = mesh.fleets.iter().flat_map(|fleet| &fleet.listeners);
        Self {
            key: mesh.preview_key.clone(),
            listeners: listeners.filter(|it| it.purpose == Purpose::Preview).cloned().collect(),
        }
    }

    /// Every way to one version.
    pub(super) fn of(&self, service: &ServiceName, version: &VersionName) -> Vec<Way> {
        let leading = self.listeners.iter().filter(|it| it.services.include(service));
        let way = |address: SocketAddr| Way::preview(address, &self.key, version);
        leading.map(|listener| way(listener.address)).collect()
    }
}
