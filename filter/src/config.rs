//! The configuration of a root context, and the configuration that reports bring.

use std::rc::Rc;

use thiserror::Error;
use tidegate_core::{
    config::plugin::{Configuration, PluginConfig, Reporting},
    report::ActiveConfig,
    routing::{Router, RouterError},
    upstream::Upstream,
};

use crate::{log, vm};

/// The configuration of a root context. The variant is the mesh, and does not change.
pub(crate) enum RootConfig {
    /// By ECDS, from Tidegate.
    Tidegate(Complete),
    /// From a `WasmPlugin`; [`Received`] is the rest. `None`: there is no fleet to report for.
    Istio(Option<Reporting>),
}

/// The parts of a complete configuration that are needed after compilation.
pub(crate) struct Complete {
    router: Rc<Router>,
    version: String,
    fleet: String,
    upstream: Upstream,
    interval_ms: u32,
}

/// A configuration from a response to a report.
pub(crate) struct Received {
    pub(crate) fleet: String,
    version: String,
    router: Rc<Router>,
}

/// A configuration in a response is not usable.
#[derive(Debug, Error)]
pub(crate) enum Unusable {
    #[error(transparent)]
    Invalid(#[from] RouterError),
    #[error("it is for another mesh or fleet")]
    Foreign,
}

impl RootConfig {
    /// Parses the bytes that Envoy passes. Problems that do not reject them are logged.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, RouterError> {
        match Configuration::parse(bytes)? {
            Configuration::Complete(config, router) => Ok(Self::Tidegate(Complete {
                router: Rc::new(router),
                version: config.version,
                fleet: config.fleet,
                upstream: Upstream::cluster(&config.report.cluster)?,
                interval_ms: config.report.interval_ms,
            })),
            Configuration::Plugin(PluginConfig { reporting, problems }) => {
                for problem in problems {
                    log::error(format_args!("plugin configuration: {problem}"));
                }
                Ok(Self::Istio(reporting))
            }
        }
    }

    /// The initial report interval, if the configuration has one.
    pub(crate) const fn interval_ms(&self) -> Option<u32> {
        match self {
            Self::Tidegate(complete) => Some(complete.interval_ms),
            Self::Istio(_) => None,
        }
    }

    /// What routes and counts the next request.
    pub(crate) fn router(&self) -> Option<Rc<Router>> {
        match self {
            Self::Tidegate(complete) => Some(Rc::clone(&complete.router)),
            Self::Istio(reporting) => {
                received(reporting.as_ref()?).map(|received| Rc::clone(&received.router))
            }
        }
    }

    /// Sends a report of a root if one is due.
    pub(crate) fn send_due_report(&self, root: u32) {
        match self {
            Self::Tidegate(Complete { version, fleet, upstream, .. }) => {
                let active = ActiveConfig {
                    fleet,
                    config_version: version,
                    config_error: "",
                    config_requested: false,
                };
                send(root, upstream, active);
            }
            Self::Istio(Some(reporting)) => {
                let received = received(reporting);
                let config_error = vm::with(|vm| vm.rejection()).unwrap_or_default();
                let active = ActiveConfig {
                    fleet: &reporting.fleet,
                    config_version: received.as_ref().map_or("", |received| &received.version),
                    config_error: &config_error,
                    config_requested: true,
                };
                send(root, &reporting.upstream, active);
            }
            Self::Istio(None) => {}
        }
    }

    /// Activates a configuration from a response. One that is not usable is logged and ignored; in
    /// Tidegate's own mesh all are ignored, because its xDS server decides.
    pub(crate) fn receive(&self, json: &str) {
        let Self::Istio(Some(reporting)) = self else {
            return;
        };
        match Received::parse(json, &reporting.fleet) {
            Ok(received) => {
                log::info(format_args!("configuration {} active", received.version));
                vm::with(|vm| vm.receive(received));
            }
            Err(error) => {
                vm::with(|vm| vm.reject(&error));
            }
        }
    }
}

impl Received {
    fn parse(json: &str, fleet: &str) -> Result<Self, Unusable> {
        let (config, router) = Router::parse(json.as_bytes())?;
        if router.istio().is_none() || config.fleet != fleet {
            return Err(Unusable::Foreign);
        }
        Ok(Self { fleet: config.fleet, version: config.version, router: Rc::new(router) })
    }
}

fn received(reporting: &Reporting) -> Option<Rc<Received>> {
    vm::with(|vm| vm.received(&reporting.fleet).map(Rc::clone)).flatten()
}

fn send(root: u32, upstream: &Upstream, active: ActiveConfig<'_>) {
    vm::with(|vm| {
        if vm.is_active_root(root) {
            vm.send_due_report(root, upstream, active);
        }
    });
}
