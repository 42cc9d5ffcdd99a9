//! One configuration in force: it makes the contexts of requests, and drives the VM's reports.

use std::rc::Rc;

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};
use tidegate_core::{
    report::InForce,
    routing::{MAX_CONFIG_BYTES, Router, RouterError},
};

use crate::{
    host::{self, Buffer},
    log,
    stream::Stream,
    vm,
};

/// Answers to reports may carry a configuration, and little else.
const MAX_ANSWER_BYTES: usize = MAX_CONFIG_BYTES + 4096;

/// A root context.
pub(crate) struct Root {
    id: u32,
    setup: Option<Setup>,
}

/// What remains of a configuration once it is compiled.
struct Setup {
    router: Rc<Router>,
    version: String,
    fleet: String,
    report_cluster: String,
    interval_ms: u32,
    standalone: bool,
}

impl Setup {
    fn parse(json: &[u8]) -> Result<Self, RouterError> {
        let (config, router) = Router::parse(json)?;
        Ok(Self {
            router: Rc::new(router),
            version: config.version,
            fleet: config.fleet,
            report_cluster: config.report.cluster,
            interval_ms: config.report.interval_ms,
            standalone: config.standalone,
        })
    }

    fn in_force(&self) -> InForce<'_> {
        InForce { fleet: &self.fleet, config_version: &self.version, config_requested: self.standalone }
    }
}

impl Root {
    pub(crate) const fn new(id: u32) -> Self {
        Self { id, setup: None }
    }

    /// Ticks as often as the reporter wants to be asked.
    fn set_tick_period(&self) {
        let Some(period) = vm::with(|vm| vm.tick_period()) else {
            return;
        };
        if let Err(error) = host::set_tick_period(period) {
            log::trouble(format_args!("cannot set the tick period: {error}"));
        }
    }

    /// Takes a configuration that came with the answer to a report.
    fn replace(&mut self, json: &str) {
        match Setup::parse(json.as_bytes()) {
            Ok(setup) => {
                log::info(format_args!("configuration {} in force", setup.version));
                self.setup = Some(setup);
            }
            Err(error) => log::trouble(format_args!("keeping the old configuration: {error}")),
        }
    }
}

impl Context for Root {
    fn on_done(&mut self) -> bool {
        vm::with(|vm| vm.retired(self.id));
        true
    }

    fn on_grpc_call_response(&mut self, token: u32, status: u32, _: usize) {
        if status == 0 {
            let message = host::buffer(Buffer::GrpcMessage, MAX_ANSWER_BYTES);
            let config = vm::with(|vm| vm.answered(token, message)).flatten();
            if let Some(config) = config.filter(|_| self.is_standalone()) {
                self.replace(&config);
            }
        } else {
            vm::with(|vm| vm.refused(token, status));
        }
        self.set_tick_period();
    }
}

impl Root {
    fn is_standalone(&self) -> bool {
        self.setup.as_ref().is_some_and(|setup| setup.standalone)
    }
}

impl RootContext for Root {
    fn on_vm_start(&mut self, _: usize) -> bool {
        log::info(concat!("filter ", env!("CARGO_PKG_VERSION"), " started"));
        true
    }

    /// Refusing is the only way to have Envoy keep the configuration it has. Envoy also asks a VM
    /// that it throws away afterwards, so nothing is sent from here.
    fn on_configure(&mut self, _: usize) -> bool {
        let json = match host::buffer(Buffer::Configuration, MAX_CONFIG_BYTES + 1) {
            Ok(json) => json.unwrap_or_default(),
            Err(error) => {
                log::error(format_args!("cannot read the configuration: {error}"));
                return false;
            }
        };
        match Setup::parse(&json) {
            Ok(setup) => {
                vm::with(|vm| vm.configured(self.id, setup.interval_ms));
                self.setup = Some(setup);
                self.set_tick_period();
                true
            }
            Err(error) => {
                log::error(format_args!("configuration refused: {error}"));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let Some(setup) = &self.setup else {
            return;
        };
        vm::with(|vm| {
            if vm.is_driven_by(self.id) {
                vm.drive(self.id, &setup.report_cluster, setup.in_force());
            }
        });
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        // The SDK panics on `None`; without a configuration the stream only strips our headers.
        let router = self.setup.as_ref().map(|setup| Rc::clone(&setup.router));
        Some(Box::new(Stream::new(router)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
