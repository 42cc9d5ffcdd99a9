//! Backends, control plane and Envoys in one value.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tidegate_demo_app::load::LoadConfig;

use crate::backends::Backends;
use crate::control_plane::{ControlPlane, XdsMode};
use crate::envoy::{Envoy, EnvoyOptions};
use crate::world_config::{Knobs, Locations, text};
use crate::{binaries, ports};

/// Options of a world.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// Number of Envoys.
    pub sidecars: usize,
    /// Their variant of xDS.
    pub mode: XdsMode,
    /// Their command line.
    pub envoy: EnvoyOptions,
    /// The Envoy binary; `None`: [`binaries::envoy`].
    pub envoy_binary: Option<PathBuf>,
    /// The configuration.
    pub knobs: Knobs,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            sidecars: 2,
            mode: XdsMode::default(),
            envoy: EnvoyOptions::default(),
            envoy_binary: None,
            knobs: Knobs::default(),
        }
    }
}

/// A running world. Dropping it ends its processes in the order of the fields: clients before servers.
#[derive(Debug)]
pub struct World {
    /// The Envoys.
    pub sidecars: Vec<Sidecar>,
    /// Preview listeners, if configured, one per Envoy.
    pub previews: Vec<SocketAddr>,
    /// The control plane.
    pub control: ControlPlane,
    /// The services behind the Envoys.
    pub backends: Backends,
    dir: TempDir,
}

/// One Envoy with its fleet and listener.
#[derive(Debug)]
pub struct Sidecar {
    /// The Envoy.
    pub envoy: Envoy,
    /// Its fleet. Each Envoy has its own, because two Envoys on one machine cannot share a listener's address.
    pub fleet: String,
    /// Its traffic listener.
    pub ingress: SocketAddr,
}

impl World {
    /// Starts everything, and waits until every Envoy is ready.
    ///
    /// # Errors
    /// If a process does not start. The error contains the end of its log.
    pub async fn start(options: WorldOptions) -> Result<Self> {
        let binary = match options.envoy_binary {
            Some(named) => named,
            None => tokio::task::spawn_blocking(binaries::envoy).await??,
        };
        let (tidegate, filter) = (binaries::tidegate()?, binaries::filter()?);
        let dir = tempfile::Builder::new()
            .prefix("tidegate-")
            .tempdir()
            .context("cannot create a directory")?;
        let backends = Backends::start().await?;
        let fleet = |number| Ok((format!("demo-{number}"), ports::free_address()?));
        let fleets: Vec<_> = (1..=options.sidecars).map(fleet).collect::<Result<_>>()?;
        let (xds, api) = (ports::free_address()?, ports::free_address()?);
        if let Some(flags) = &options.knobs.flags {
            fs::write(dir.path().join("flags.json"), flags)?;
        }
        let count = if options.knobs.preview { options.sidecars } else { 0 };
        let previews: Vec<_> = (0..count).map(|_| ports::free_address()).collect::<Result<_>>()?;
        let locations = Locations {
            xds,
            api,
            dir: dir.path(),
            filter: &filter,
            fleets: &fleets,
            previews: &previews,
        };
        let config = text(&options.knobs, &locations, &backends)?;
        let control = ControlPlane::start(&tidegate, &config, xds, api, dir.path()).await?;
        let mut world = Self { sidecars: Vec::new(), previews, control, backends, dir };
        for (fleet, ingress) in fleets {
            world.add_sidecar(&binary, fleet, ingress, options.mode, &options.envoy).await?;
        }
        // All are starting in parallel.
        for sidecar in &mut world.sidecars {
            sidecar.envoy.ready().await?;
        }
        Ok(world)
    }

    async fn add_sidecar(
        &mut self,
        binary: &Path,
        fleet: String,
        ingress: SocketAddr,
        mode: XdsMode,
        options: &EnvoyOptions,
    ) -> Result<()> {
        let admin = ports::free_address()?;
        let name = format!("envoy-{fleet}");
        let bootstrap = self.control.bootstrap(&fleet, &name, admin, mode).await?;
        let envoy = Envoy::start(binary, &name, &bootstrap, admin, self.dir.path(), options)?;
        self.sidecars.push(Sidecar { envoy, fleet, ingress });
        Ok(())
    }

    /// Directory of all files and logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A load on one service that alternates between the Envoys.
    #[must_use]
    pub fn load(&self, service: &str) -> LoadConfig {
        let targets = self.sidecars.iter().map(|sidecar| sidecar.ingress).collect();
        LoadConfig::new(targets, format!("{service}.local"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Keeps the logs of a failed test.
        self.dir.disable_cleanup(std::thread::panicking());
    }
}
