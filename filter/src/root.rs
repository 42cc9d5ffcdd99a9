//! Root context: holds one configuration, creates the contexts of requests, and sends the VM's
//! reports on ticks.

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};
use tidegate_core::routing::MAX_CONFIG_BYTES;

use crate::{
    config::RootConfig,
    host::{self, Buffer},
    log,
    stream::Stream,
    vm,
};

/// Limit of a report response, which may contain a configuration.
const MAX_RESPONSE_BYTES: usize = MAX_CONFIG_BYTES + 4096;

pub(crate) struct Root {
    id: u32,
    config: Option<RootConfig>,
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
            if let (Some(root), Some(received)) = (&self.config, config) {
                root.receive(&received);
                // The report that acknowledges it.
                root.send_due_report(self.id);
            }
        } else {
            vm::with(|vm| vm.on_error_status(token, status));
        }
        self.set_tick_period();
    }
}

impl RootContext for Root {
    fn on_vm_start(&mut self, _: usize) -> bool {
        log::info(concat!("filter ", env!("CARGO_PKG_VERSION"), " started"));
        true
    }

    /// Returning false makes Envoy keep its current configuration, or fail every request if it has
    /// none, so only Tidegate's own mesh is refused. Envoy also calls this in canary
    /// VMs, which it discards afterwards, so no report is sent from here.
    fn on_configure(&mut self, _: usize) -> bool {
        let json = match host::buffer(Buffer::Configuration, MAX_CONFIG_BYTES + 1) {
            Ok(json) => json.unwrap_or_default(),
            Err(error) => {
                log::error(format_args!("cannot read the configuration: {error}"));
                return false;
            }
        };
        match RootConfig::parse(&json) {
            Ok(config) => {
                vm::with(|vm| vm.on_root_configured(self.id, config.interval_ms()));
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
        if let Some(config) = &self.config {
            config.send_due_report(self.id);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        // The SDK panics on `None`. Without a configuration the stream only removes Tidegate's
        // headers from the request.
        let router = self.config.as_ref().and_then(RootConfig::router);
        Some(Box::new(Stream::new(id, router)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
