//! A proxy-wasm host on wasmi, for tests of the filter's release `.wasm`. An interpreter suffices, and a compiler would
//! take longer to build than all tests take to run.
//!
//! It models the parts of Envoy that a filter can get wrong: the phases in which host calls are
//! valid, one VM per thread, canary VMs, several roots in one VM, and gRPC calls, whose results the
//! test chooses. An import that is not defined traps, so the test fails. Every function that calls
//! into the VM returns an error if the VM traps.

mod calls;
mod grpc;
mod state;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use wasmi::{Engine, Instance, Linker, Module, Store};

pub(crate) use grpc::{Call, ReportServer, VersionTotals};
pub(crate) use state::{Fault, HostState, Phase, Status};

/// The compiled module, from which VMs are instantiated.
pub(crate) struct Filter {
    engine: Engine,
    module: Module,
}

/// One VM, as in one Envoy thread.
pub(crate) struct Vm {
    store: Store<HostState>,
    instance: Instance,
    next_context: u32,
}

/// A request and its completion.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// Request headers of the client.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) completion: Completion,
    /// False if an earlier filter responds, so that the request headers callback is not called.
    pub(crate) reaches_filter: bool,
}

/// Result of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Completion {
    /// Upstream cluster.
    pub(crate) cluster: Option<String>,
    /// Status; 0 without a response, and hence without response headers.
    pub(crate) code: u64,
    /// `response.flags`.
    pub(crate) flags: u64,
    /// `response.code_details`; without them the upstream responded.
    pub(crate) details: Option<&'static str>,
    /// The time between the request and the response, in milliseconds.
    pub(crate) millis: u64,
    /// Response headers except the status.
    pub(crate) response_headers: Vec<(String, Vec<u8>)>,
    /// Response trailers; none if empty.
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

/// Headers after the filter.
#[derive(Debug, Clone)]
pub(crate) struct ExchangeResult {
    /// Request headers for Envoy's router.
    pub(crate) request: Vec<(String, Vec<u8>)>,
    /// Response headers for the client.
    pub(crate) response: Vec<(String, Vec<u8>)>,
}

impl Filter {
    /// Loads the module from `TIDEGATE_FILTER_WASM`, else from `dist/tidegate_filter.wasm`.
    pub(crate) fn load() -> Result<Self> {
        let path = std::env::var_os("TIDEGATE_FILTER_WASM").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../dist/tidegate_filter.wasm")),
            PathBuf::from,
        );
        let module = std::fs::read(&path)
            .with_context(|| format!("no filter at {}: build it first", path.display()))?;
        let engine = Engine::default();
        let module = Module::new(&engine, module)?;
        Ok(Self { engine, module })
    }

    /// A VM without roots. VMs with different seeds draw different random numbers.
    pub(crate) fn vm(&self, seed: u64) -> Result<Vm> {
        let mut store = Store::new(&self.engine, HostState::new(seed));
        let mut linker = Linker::new(&self.engine);
        calls::link(&mut linker)?;
        calls::link_as_traps(&mut linker, &self.module)?;
        let instance = linker.instantiate_and_start(&mut store, &self.module)?;
        let mut vm = Vm { store, instance, next_context: 1 };
        vm.call::<(), ()>("_initialize", ())?;
        Ok(vm)
    }
}

impl Vm {
    pub(crate) fn host(&mut self) -> &mut HostState {
        self.store.data_mut()
    }

    /// Creates and configures a root. As in Envoy, a root that rejects its configuration is
    /// deleted; the result is then `None`.
    pub(crate) fn root(&mut self, config: &str) -> Result<Option<u32>> {
        config.clone_into(&mut self.host().configuration);
        let root = self.new_context(0)?;
        let size = u32::try_from(config.len())?;
        let started = self.call::<(u32, u32), u32>("proxy_on_vm_start", (root, 0))?;
        let configured = self.call::<(u32, u32), u32>("proxy_on_configure", (root, size))?;
        if started != 0 && configured != 0 {
            return Ok(Some(root));
        }
        self.delete(root)?;
        Ok(None)
    }

    /// Creates a root without configuring it.
    pub(crate) fn unconfigured_root(&mut self) -> Result<u32> {
        self.new_context(0)
    }

    /// Deletes a context.
    pub(crate) fn delete(&mut self, context: u32) -> Result<()> {
        self.call::<u32, u32>("proxy_on_done", context)?;
        self.host().contexts.remove(&context);
        self.call("proxy_on_delete", context)
    }

    /// Advances the clock, then ticks the root.
    pub(crate) fn tick_after(&mut self, root: u32, millis: u64) -> Result<()> {
        self.host().advance(millis);
        self.call("proxy_on_tick", root)
    }

    /// Runs a request without a body through all phases.
    pub(crate) fn exchange(&mut self, root: u32, exchange: Exchange) -> Result<ExchangeResult> {
        let context = self.open(root, exchange.headers)?;
        if exchange.reaches_filter {
            self.on_request_headers(context)?;
        }
        self.host().advance(exchange.completion.millis);
        let request = self.host().request_headers.clone();
        if exchange.completion.code != 0 {
            self.on_response_headers(context)?;
        }
        let response = self.host().response_headers.clone();
        self.close(context, &exchange.completion)?;
        Ok(ExchangeResult { request, response })
    }

    /// Starts a request. The test calls its phases.
    pub(crate) fn open(&mut self, root: u32, headers: Vec<(String, Vec<u8>)>) -> Result<u32> {
        let state = self.host();
        state.request_headers = headers;
        state.response_headers = vec![(":status".to_owned(), b"200".to_vec())];
        self.new_context(root)
    }

    /// The cluster of a request's route, from now on.
    pub(crate) fn set_route(&mut self, context: u32, cluster: &str) {
        self.host().contexts.insert(context, Some(cluster.to_owned()));
    }

    /// Passes the headers of a request that has a body.
    pub(crate) fn on_headers_before_body(&mut self, context: u32) -> Result<()> {
        self.host().phase = Phase::RequestHeaders;
        let arguments = (context, 1, 0);
        let action = self.call::<(u32, u32, u32), u32>("proxy_on_request_headers", arguments)?;
        self.host().phase = Phase::None;
        if action != 0 {
            bail!("the request was paused");
        }
        Ok(())
    }

    /// Passes a part of the request's body.
    pub(crate) fn on_request_body(&mut self, context: u32, is_last: bool) -> Result<()> {
        let arguments = (context, 10, u32::from(is_last));
        let action = self.call::<(u32, u32, u32), u32>("proxy_on_request_body", arguments)?;
        if action != 0 {
            bail!("the body was paused");
        }
        Ok(())
    }

    /// Runs the request headers callback; an error if it pauses the request.
    pub(crate) fn on_request_headers(&mut self, context: u32) -> Result<()> {
        self.headers("proxy_on_request_headers", Phase::RequestHeaders, context)
    }

    /// Runs the response headers callback; an error if it pauses the response.
    pub(crate) fn on_response_headers(&mut self, context: u32) -> Result<()> {
        self.headers("proxy_on_response_headers", Phase::ResponseHeaders, context)
    }

    /// Completes a request: runs the log callback and deletes the context.
    pub(crate) fn close(&mut self, context: u32, completion: &Completion) -> Result<()> {
        self.host().complete(completion);
        self.host().phase = Phase::Log;
        self.call::<u32, ()>("proxy_on_log", context)?;
        self.host().phase = Phase::None;
        self.delete(context)
    }

    /// Completes a gRPC call with a response.
    pub(crate) fn respond(&mut self, root: u32, token: u32, message: Vec<u8>) -> Result<()> {
        let size = u32::try_from(message.len())?;
        self.host().grpc_message = message;
        self.call("proxy_on_grpc_receive", (root, token, size))
    }

    /// Completes a gRPC call with an error status.
    pub(crate) fn fail(&mut self, root: u32, token: u32, status: u32) -> Result<()> {
        self.call("proxy_on_grpc_close", (root, token, status))
    }

    fn headers(&mut self, function: &str, phase: Phase, context: u32) -> Result<()> {
        self.host().phase = phase;
        let action = self.call::<(u32, u32, u32), u32>(function, (context, 1, 1))?;
        self.host().phase = Phase::None;
        if action != 0 {
            bail!("{function} paused the request");
        }
        Ok(())
    }

    fn new_context(&mut self, parent: u32) -> Result<u32> {
        let context = self.next_context;
        self.next_context += 1;
        self.host().contexts.insert(context, None);
        self.call::<(u32, u32), ()>("proxy_on_context_create", (context, parent))?;
        Ok(context)
    }

    fn call<P: wasmi::WasmParams, R: wasmi::WasmResults>(
        &mut self,
        name: &str,
        arguments: P,
    ) -> Result<R> {
        self.host().effective_context = None;
        let function = self.instance.get_typed_func::<P, R>(&self.store, name)?;
        function
            .call(&mut self.store, arguments)
            .with_context(|| format!("{name} trapped: {:?}", self.store.data().logs.last()))
    }
}
