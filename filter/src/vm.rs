//! What belongs to the VM, hence to one Envoy thread: its reporter, and the roots that share it.
//!
//! A new configuration comes as a new root beside the old one, in the same VM. Counts carry over
//! because they are kept here, and only the newest root that still lives drives the reporter.

use std::{cell::RefCell, time::Duration};

use tidegate_core::report::{InForce, Key, Reporter, Seen};

use crate::{
    host::{self, HostError},
    log, node,
};

/// How long the control plane may take to answer a report.
const DEADLINE: Duration = Duration::from_secs(2);
/// gRPC's status for a request that no repetition will make right.
const INVALID_ARGUMENT: u32 = 3;

thread_local! {
    static VM: RefCell<Option<Vm>> = const { RefCell::new(None) };
}

/// The state of one VM.
pub(crate) struct Vm {
    reporter: Reporter,
    /// Living roots, the newest last.
    roots: Vec<u32>,
    call: Option<Call>,
    /// Whether the last report got through, to tell when that changes.
    healthy: bool,
}

/// The report in flight.
struct Call {
    root: u32,
    token: u32,
}

/// Runs with the VM's state. `None` if it is in use already, which the host's contract rules out.
pub(crate) fn with<T>(run: impl FnOnce(&mut Vm) -> T) -> Option<T> {
    VM.with(|vm| {
        let mut vm = vm.try_borrow_mut().ok()?;
        Some(run(vm.get_or_insert_with(Vm::new)))
    })
}

impl Vm {
    fn new() -> Self {
        Self {
            reporter: Reporter::new(node::identify()),
            roots: Vec::new(),
            call: None,
            healthy: true,
        }
    }

    /// A root took up a configuration that wants reports this often.
    pub(crate) fn configured(&mut self, root: u32, interval_ms: u32) {
        self.roots.retain(|&other| other != root);
        self.roots.push(root);
        self.reporter.set_interval(interval_ms);
    }

    /// A root is about to go. Its call goes with it, without an answer.
    pub(crate) fn retired(&mut self, root: u32) {
        self.roots.retain(|&other| other != root);
        if self.call.take_if(|call| call.root == root).is_some() {
            self.reporter.failed(now());
        }
    }

    pub(crate) fn is_driven_by(&self, root: u32) -> bool {
        self.roots.last() == Some(&root)
    }

    pub(crate) fn tick_period(&self) -> Duration {
        self.reporter.tick()
    }

    pub(crate) fn record(&mut self, key: Key<'_>, seen: &Seen<'_>) {
        self.reporter.record(key, seen);
    }

    /// Sends a report if one is due.
    pub(crate) fn drive(&mut self, root: u32, cluster: &str, in_force: InForce<'_>) {
        let now = now();
        let Some(message) = self.reporter.poll(now, in_force) else {
            return;
        };
        match host::report(cluster, message, DEADLINE) {
            Ok(token) => self.call = Some(Call { root, token }),
            Err(error) => {
                self.call = None;
                self.reporter.failed(now);
                self.unhealthy(&format!("cannot report to cluster `{cluster}`: {error}"));
            }
        }
    }

    /// The report was answered; returns the configuration that came along.
    pub(crate) fn answered(
        &mut self,
        token: u32,
        message: Result<Option<Vec<u8>>, HostError>,
    ) -> Option<String> {
        self.call.take_if(|call| call.token == token)?;
        let bytes = match message {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => {
                self.reporter.failed(now());
                self.unhealthy(&format!("cannot read the answer to a report: {error}"));
                return None;
            }
        };
        match self.reporter.answered(&bytes, now()) {
            Ok(config) => {
                if !std::mem::replace(&mut self.healthy, true) {
                    log::info("reports are getting through again");
                }
                config
            }
            Err(error) => {
                self.unhealthy(&format!("the answer to a report is malformed: {error}"));
                None
            }
        }
    }

    /// The report got an error for an answer.
    pub(crate) fn refused(&mut self, token: u32, status: u32) {
        if self.call.take_if(|call| call.token == token).is_none() {
            return;
        }
        if status == INVALID_ARGUMENT {
            self.reporter.refused(now());
        } else {
            self.reporter.failed(now());
        }
        self.unhealthy(&format!("a report failed with gRPC status {status}"));
    }

    fn unhealthy(&mut self, message: &str) {
        self.healthy = false;
        log::trouble(message);
    }
}

/// A host without a clock gets its reports sent at every tick.
fn now() -> Duration {
    host::now().unwrap_or_default()
}
