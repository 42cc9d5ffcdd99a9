//! State of a VM, hence of one Envoy thread: the reporter, and the root contexts that share it.
//!
//! Envoy delivers a new configuration as a new root in the same VM, beside the old one. The counts
//! survive because they are kept here. Only the newest existing root sends reports.
//!
//! In an Istio mesh the configuration arrives in a response to a report, and is kept here as well: a
//! root that begins with an edited plugin configuration has it at once, and so have older roots.

use std::{cell::RefCell, rc::Rc, time::Duration};

use tidegate_core::{
    in_flight::InFlight,
    report::{ActiveConfig, Reporter, RequestRecord, VersionKey},
    routing::{Router, ServiceIndex},
    upstream::Upstream,
};

use crate::{
    config::{Received, Unusable},
    host::{self, HostError, property},
    log, node,
};

/// Limit of the requests whose version is looked up in one tick, two host calls each.
const MAX_LOOKUPS: usize = 256;

/// Deadline of the report RPC.
const DEADLINE: Duration = Duration::from_secs(2);
/// gRPC status of a permanently rejected report.
const INVALID_ARGUMENT: u32 = 3;

thread_local! {
    static VM: RefCell<Option<Vm>> = const { RefCell::new(None) };
}

pub(crate) struct Vm {
    reporter: Reporter,
    in_flight: InFlight<Waiting>,
    /// Existing roots, the newest last.
    roots: Vec<u32>,
    call: Option<Call>,
    received: Option<Rc<Received>>,
    /// Why the configuration that arrived last is not active, to log it once.
    rejection: Option<String>,
    /// Whether the last report was delivered, to log recovery once.
    healthy: bool,
}

/// A request without a response.
struct Waiting {
    router: Rc<Router>,
    served: Served,
}

/// The version that serves a request. Envoy selects its cluster after the filter has seen it, so it is
/// looked up when the request waits.
enum Served {
    Unknown,
    NoVersion,
    By(ServiceIndex, Box<str>),
}

impl Waiting {
    fn key(&self) -> Option<VersionKey<'_>> {
        let Served::By(service, version) = &self.served else {
            return None;
        };
        Some(VersionKey {
            service: self.router.service_name(*service),
            version,
            release: self.router.release(*service),
        })
    }
}

/// The report in flight.
struct Call {
    root: u32,
    token: u32,
}

/// Calls `run` with the VM's state. `None` if the state is borrowed already, which would need a
/// reentrant callback.
pub(crate) fn with<T>(run: impl FnOnce(&mut Vm) -> T) -> Option<T> {
    VM.with(|vm| {
        let mut vm = vm.try_borrow_mut().ok()?;
        Some(run(vm.get_or_insert_with(Vm::new)))
    })
}

impl Vm {
    fn new() -> Self {
        Self {
            reporter: Reporter::new(node::reporter_id()),
            in_flight: InFlight::default(),
            roots: Vec::new(),
            call: None,
            received: None,
            rejection: None,
            healthy: true,
        }
    }

    /// A root has activated a configuration, with this report interval if it has one.
    pub(crate) fn on_root_configured(&mut self, root: u32, interval_ms: Option<u32>) {
        self.roots.retain(|&other| other != root);
        self.roots.push(root);
        if let Some(interval_ms) = interval_ms {
            self.reporter.set_interval(interval_ms);
        }
    }

    /// The configuration of this fleet that arrived last.
    pub(crate) fn received(&self, fleet: &str) -> Option<&Rc<Received>> {
        self.received.as_ref().filter(|received| received.fleet == fleet)
    }

    pub(crate) fn receive(&mut self, received: Received) {
        self.received = Some(Rc::new(received));
        self.rejection = None;
        self.reporter.expedite();
    }

    /// Why the configuration that arrived last is not active; empty if it is.
    pub(crate) fn rejection(&self) -> String {
        self.rejection.clone().unwrap_or_default()
    }

    /// The server sends a configuration until it is active, so a rejected one arrives repeatedly.
    pub(crate) fn reject(&mut self, error: &Unusable) {
        let error = error.to_string();
        if self.rejection.as_ref() != Some(&error) {
            log::error(format_args!("configuration in a report response rejected: {error}"));
            self.rejection = Some(error);
            self.reporter.expedite();
        }
    }

    /// A root is being deleted. Envoy cancels its calls without a callback.
    pub(crate) fn on_root_done(&mut self, root: u32) {
        self.roots.retain(|&other| other != root);
        if self.call.take_if(|call| call.root == root).is_some() {
            self.reporter.on_failure(now());
        }
    }

    pub(crate) fn is_active_root(&self, root: u32) -> bool {
        self.roots.last() == Some(&root)
    }

    pub(crate) fn tick_period(&self) -> Duration {
        self.reporter.tick_period()
    }

    pub(crate) fn record(&mut self, key: VersionKey<'_>, seen: &RequestRecord<'_>) {
        self.reporter.record(key, seen);
    }

    /// A request was sent completely.
    pub(crate) fn on_sent(&mut self, stream: u32, at: Duration, router: Rc<Router>) {
        self.in_flight.begin(stream, at, Waiting { router, served: Served::Unknown });
    }

    /// The response to a request begins, or the request ends without one.
    pub(crate) fn on_answered(&mut self, stream: u32) {
        self.in_flight.end(stream);
    }

    fn update_waiting(&mut self, root: u32, now: Duration) -> Result<(), HostError> {
        let unknown =
            self.in_flight.waiting(now).filter(|it| matches!(it.2.served, Served::Unknown));
        let mut looked_up = false;
        for (stream, _, waiting) in unknown.take(MAX_LOOKUPS) {
            waiting.served = served(stream, &waiting.router);
            looked_up = true;
        }
        let waiting = self.in_flight.waiting(now);
        let waiting = waiting.filter_map(|(_, age, waiting)| Some((waiting.key()?, age)));
        self.reporter.set_waiting(waiting);
        // The call of the report must belong to the root.
        if looked_up { host::set_context(root) } else { Ok(()) }
    }

    /// Sends a report if one is due.
    pub(crate) fn send_due_report(
        &mut self,
        root: u32,
        upstream: &Upstream,
        active_config: ActiveConfig<'_>,
    ) {
        let now = now();
        if let Err(error) = self.update_waiting(root, now) {
            log::warn(format_args!("cannot return to the root context: {error}"));
            return;
        }
        let Some(message) = self.reporter.poll(now, active_config) else {
            return;
        };
        match host::report(upstream, message, DEADLINE) {
            Ok(token) => self.call = Some(Call { root, token }),
            Err(error) => {
                self.call = None;
                self.reporter.on_failure(now);
                self.set_unhealthy(&format!("cannot report to cluster `{upstream}`: {error}"));
            }
        }
    }

    /// Handles the response to a report. Returns the configuration in it, if any.
    pub(crate) fn on_response(
        &mut self,
        token: u32,
        message: Result<Option<Vec<u8>>, HostError>,
    ) -> Option<String> {
        self.call.take_if(|call| call.token == token)?;
        let bytes = match message {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => {
                self.reporter.on_failure(now());
                self.set_unhealthy(&format!("cannot read a report response: {error}"));
                return None;
            }
        };
        match self.reporter.on_response(&bytes, now()) {
            Ok(config) => {
                if !std::mem::replace(&mut self.healthy, true) {
                    log::info("report delivery recovered");
                }
                config
            }
            Err(error) => {
                self.set_unhealthy(&format!("malformed report response: {error}"));
                None
            }
        }
    }

    /// Handles a gRPC error status.
    pub(crate) fn on_error_status(&mut self, token: u32, status: u32) {
        if self.call.take_if(|call| call.token == token).is_none() {
            return;
        }
        if status == INVALID_ARGUMENT {
            self.reporter.on_rejected(now());
        } else {
            self.reporter.on_failure(now());
        }
        self.set_unhealthy(&format!("a report failed with gRPC status {status}"));
    }

    fn set_unhealthy(&mut self, message: &str) {
        self.healthy = false;
        log::warn(message);
    }
}

/// The version that a request in flight is routed to.
fn served(stream: u32, router: &Router) -> Served {
    let cluster = host::set_context(stream).and_then(|()| host::property(property::CLUSTER));
    let Ok(Some(cluster)) = cluster else {
        return Served::NoVersion;
    };
    let cluster = std::str::from_utf8(&cluster).unwrap_or_default();
    match router.version_of_cluster(cluster) {
        Some(served) => Served::By(served.service, served.version.into()),
        None => Served::NoVersion,
    }
}

/// The host's clock; zero if it fails.
fn now() -> Duration {
    host::monotonic().unwrap_or_default()
}
