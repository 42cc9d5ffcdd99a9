//! A proxy-wasm host in a few hundred lines, for tests of the filter's real `.wasm`.
//!
//! It models what of Envoy has bitten filters before: which calls fail in which phase, VMs by
//! thread, canary VMs, several roots in one VM, and gRPC calls that the test answers as it likes.
//! Any call beyond the ones the filter has business with is a trap, hence a failed test.

mod calls;
mod grpc;
mod world;

use std::path::PathBuf;

use wasmtime::{
    Config, Engine, Instance, Linker, Module, OptLevel, Result, Store, error::Context as _,
    format_err,
};

pub(crate) use grpc::{Call, ReportServer, Sums};
pub(crate) use world::{Fault, Phase, Status, World};

/// The compiled filter, which any number of VMs can be made of.
pub(crate) struct Filter {
    engine: Engine,
    module: Module,
}

/// One VM, as each Envoy thread has its own.
pub(crate) struct Vm {
    store: Store<World>,
    instance: Instance,
    next_context: u32,
}

/// A request from its first to its last moment.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// Request headers as the client sends them.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// How it ends.
    pub(crate) finish: Finish,
    /// False if a filter in front answers: the request phase never runs.
    pub(crate) reaches_filter: bool,
}

/// How a request ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Finish {
    /// The cluster that served it.
    pub(crate) cluster: Option<String>,
    /// The status; 0 for no response, hence no response headers either.
    pub(crate) code: u64,
    /// `response.flags`.
    pub(crate) flags: u64,
    /// `response.grpc_status`.
    pub(crate) grpc_status: Option<u64>,
    /// `request.duration`, in milliseconds.
    pub(crate) millis: u64,
    /// Response headers beside the status.
    pub(crate) answer: Vec<(String, Vec<u8>)>,
    /// Response trailers; none if empty.
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

/// What became of the headers.
#[derive(Debug, Clone)]
pub(crate) struct Exchanged {
    /// Request headers as the router sees them.
    pub(crate) request: Vec<(String, Vec<u8>)>,
    /// Response headers as the client sees them.
    pub(crate) response: Vec<(String, Vec<u8>)>,
}

impl Filter {
    /// Loads the module from `TIDEGATE_FILTER_WASM`, else from `dist/tidegate_filter.wasm`.
    ///
    /// # Errors
    /// If it is not there or does not compile.
    pub(crate) fn load() -> Result<Self> {
        let path = std::env::var_os("TIDEGATE_FILTER_WASM").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../dist/tidegate_filter.wasm")),
            PathBuf::from,
        );
        let mut config = Config::new();
        config.cranelift_opt_level(OptLevel::None);
        let engine = Engine::new(&config)?;
        let module = Module::from_file(&engine, &path)
            .with_context(|| format!("no filter at {}: build it first", path.display()))?;
        Ok(Self { engine, module })
    }

    /// A VM without any configuration. VMs of different seeds draw different random numbers.
    ///
    /// # Errors
    /// If the module does not start.
    pub(crate) fn vm(&self, seed: u64) -> Result<Vm> {
        let mut store = Store::new(&self.engine, World::new(seed));
        let mut linker = Linker::new(&self.engine);
        calls::link(&mut linker)?;
        linker.define_unknown_imports_as_traps(&self.module)?;
        let instance = linker.instantiate(&mut store, &self.module)?;
        let mut vm = Vm { store, instance, next_context: 1 };
        vm.call::<(), ()>("_initialize", ())?;
        Ok(vm)
    }
}

impl Vm {
    /// What the host knows and has seen.
    pub(crate) fn world(&mut self) -> &mut World {
        self.store.data_mut()
    }

    /// Makes a root and hands it a configuration. `None` if the root refuses it; it is then deleted,
    /// as Envoy does.
    ///
    /// # Errors
    /// If the VM traps, as with every function here.
    pub(crate) fn root(&mut self, config: &str) -> Result<Option<u32>> {
        config.clone_into(&mut self.world().configuration);
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

    /// Makes a root that is never configured.
    ///
    /// # Errors
    /// If the VM traps.
    pub(crate) fn unconfigured_root(&mut self) -> Result<u32> {
        self.new_context(0)
    }

    /// Ends a context.
    ///
    /// # Errors
    /// If the VM traps.
    pub(crate) fn delete(&mut self, context: u32) -> Result<()> {
        self.call::<u32, u32>("proxy_on_done", context)?;
        self.call("proxy_on_delete", context)
    }

    /// Lets some time pass, then ticks.
    ///
    /// # Errors
    /// If the VM traps.
    pub(crate) fn tick_after(&mut self, root: u32, millis: u64) -> Result<()> {
        self.world().pass(millis);
        self.call("proxy_on_tick", root)
    }

    /// Runs a request through all phases.
    ///
    /// # Errors
    /// If the VM traps.
    pub(crate) fn exchange(&mut self, root: u32, exchange: Exchange) -> Result<Exchanged> {
        let context = self.open(root, exchange.headers)?;
        if exchange.reaches_filter {
            self.on_request_headers(context)?;
        }
        let request = self.world().request_headers.clone();
        if exchange.finish.code != 0 {
            self.on_response_headers(context)?;
        }
        let response = self.world().response_headers.clone();
        self.close(context, &exchange.finish)?;
        Ok(Exchanged { request, response })
    }

    /// Begins a request that the test takes through its phases itself.
    ///
    /// # Errors
    /// If the VM traps.
    pub(crate) fn open(&mut self, root: u32, headers: Vec<(String, Vec<u8>)>) -> Result<u32> {
        let world = self.world();
        world.request_headers = headers;
        world.response_headers = vec![(":status".to_owned(), b"200".to_vec())];
        self.new_context(root)
    }

    /// The request headers have come.
    ///
    /// # Errors
    /// If the VM traps, or pauses the request.
    pub(crate) fn on_request_headers(&mut self, context: u32) -> Result<()> {
        self.headers("proxy_on_request_headers", Phase::RequestHeaders, context)
    }

    /// The response headers have come.
    ///
    /// # Errors
    /// If the VM traps, or pauses the response.
    pub(crate) fn on_response_headers(&mut self, context: u32) -> Result<()> {
        self.headers("proxy_on_response_headers", Phase::ResponseHeaders, context)
    }

    /// The request is over.
    ///
    /// # Errors
    /// If the VM traps.
    pub(crate) fn close(&mut self, context: u32, finish: &Finish) -> Result<()> {
        self.world().finish(finish);
        self.world().phase = Phase::Log;
        self.call::<u32, ()>("proxy_on_log", context)?;
        self.world().phase = Phase::None;
        self.delete(context)
    }

    /// Answers a gRPC call with a message.
    ///
    /// # Errors
    /// If the VM traps.
    pub(crate) fn answer(&mut self, root: u32, token: u32, message: Vec<u8>) -> Result<()> {
        let size = u32::try_from(message.len())?;
        self.world().grpc_message = message;
        self.call("proxy_on_grpc_receive", (root, token, size))
    }

    /// Answers a gRPC call with an error.
    ///
    /// # Errors
    /// If the VM traps.
    pub(crate) fn fail(&mut self, root: u32, token: u32, status: u32) -> Result<()> {
        self.call("proxy_on_grpc_close", (root, token, status))
    }

    fn headers(&mut self, function: &str, phase: Phase, context: u32) -> Result<()> {
        self.world().phase = phase;
        let action = self.call::<(u32, u32, u32), u32>(function, (context, 1, 1))?;
        self.world().phase = Phase::None;
        if action == 0 { Ok(()) } else { Err(format_err!("{function} paused the request")) }
    }

    fn new_context(&mut self, parent: u32) -> Result<u32> {
        let context = self.next_context;
        self.next_context += 1;
        self.call::<(u32, u32), ()>("proxy_on_context_create", (context, parent))?;
        Ok(context)
    }

    fn call<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
        &mut self,
        name: &str,
        arguments: P,
    ) -> Result<R> {
        let function = self.instance.get_typed_func::<P, R>(&mut self.store, name)?;
        function
            .call(&mut self.store, arguments)
            .with_context(|| format!("{name} trapped: {:?}", self.store.data().logs.last()))
    }
}
