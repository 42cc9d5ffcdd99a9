//! Root context: holds one configuration, creates the contexts of requests, and sends the VM's
//! reports on ticks.

use std::rc::Rc;

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};
use tidegate_core::{
    report::ActiveConfig,
    routing::{MAX_CONFIG_BYTES, Router, RouterError},
};

use crate::{
    host::{self, Buffer},
    log,
    stream::Stream,
    vm,
};

/// Limit of a report response, which may contain a configuration.
const MAX_RESPONSE_BYTES: usize = MAX_CONFIG_BYTES + 4096;

pub(crate) struct Root {
    id: u32,
    config: Option<CompiledConfig>,
}

/// The parts of a configuration that are needed after compilation.
struct CompiledConfig {
    router: Rc<Router>,
    version: String,
    fleet: String,
    report_cluster: String,
    interval_ms: u32,
    standalone: bool,
}

impl CompiledConfig {
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

    fn active_config(&self) -> ActiveConfig<'_> {
        ActiveConfig {
            fleet: &self.fleet,
            config_version: &self.version,
            config_requested: self.standalone,
        }
    }
}

impl Root {
    pub(crate) const fn new(id: u32) -> Self {
        Self { id, config: None }
    }

    /// Applies the reporter's tick period to this root.
    fn set_tick_period(&self) {
        let Some(period) = vm::with(|vm| vm.tick_period()) else {
            return;
        };
        if let Err(error) = host::set_tick_period(period) {
            log::warn(format_args!("cannot set the tick period: {error}"));
        }
    }

    /// Activates a configuration from a report response. An invalid one is logged and ignored.
    fn replace_config(&mut self, json: &str) {
        match CompiledConfig::parse(json.as_bytes()) {
            Ok(config) => {
                log::info(format_args!("configuration {} active", config.version));
                self.config = Some(config);
            }
            Err(error) => {
                log::warn(format_args!("configuration in a report response rejected: {error}"));
            }
        }
    }
}

impl Context for Root {
    fn on_done(&mut self) -> bool {
        vm::with(|vm| vm.on_root_done(self.id));
        true
    }

    fn on_grpc_call_response(&mut self, token: u32, status: u32, _: usize) {
        if status == 0 {
            let message = host::buffer(Buffer::GrpcMessage, MAX_RESPONSE_BYTES);
            let config = vm::with(|vm| vm.on_response(token, message)).flatten();
            if let Some(config) = config.filter(|_| self.is_standalone()) {
                self.replace_config(&config);
            }
        } else {
            vm::with(|vm| vm.on_error_status(token, status));
        }
        self.set_tick_period();
    }
}

impl Root {
    fn is_standalone(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.standalone)
    }
}

impl RootContext for Root {
    fn on_vm_start(&mut self, _: usize) -> bool {
        log::info(concat!("filter ", env!("CARGO_PKG_VERSION"), " started"));
        true
    }

    /// Returning false makes Envoy keep its current configuration. Envoy also calls this in canary
    /// VMs, which it discards afterwards, so no report is sent from here.
    fn on_configure(&mut self, _: usize) -> bool {
        let json = match host::buffer(Buffer::Configuration, MAX_CONFIG_BYTES + 1) {
            Ok(json) => json.unwrap_or_default(),
            Err(error) => {
                log::error(format_args!("cannot read the configuration: {error}"));
                return false;
            }
        };
        match CompiledConfig::parse(&json) {
            Ok(config) => {
                vm::with(|vm| vm.on_root_configured(self.id, config.interval_ms));
                self.config = Some(config);
                self.set_tick_period();
                true
            }
            Err(error) => {
                log::error(format_args!("configuration rejected: {error}; {}", error.fix()));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let Some(config) = &self.config else {
            return;
        };
        vm::with(|vm| {
            if vm.is_active_root(self.id) {
                vm.send_due_report(self.id, &config.report_cluster, config.active_config());
            }
        });
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        // The SDK panics on `None`. Without a configuration the stream only removes Tidegate's
        // headers from the request.
        let router = self.config.as_ref().map(|config| Rc::clone(&config.router));
        Some(Box::new(Stream::new(router)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
