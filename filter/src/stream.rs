//! One request: its headers on the way in, its cookie on the way out, its outcome at the end.

use std::{rc::Rc, time::Duration};

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use tidegate_core::{
    business::{self, Finished},
    config::{BUCKET_HEADER, VERSION_HEADER},
    load::{self, Load},
    outcome::{self, classify},
    report::{Key, Seen},
    routing::{GeneratedIdentity, Request, Router},
};

use crate::{
    host::{self, HostError, property},
    log, node, vm,
};

/// The context of one request.
pub(crate) struct Stream {
    /// The configuration that the request was decided by; later ones do not change it.
    router: Option<Rc<Router>>,
    /// False if a filter before us answered: then no version had a part in it.
    reached: bool,
    generated: Option<GeneratedIdentity>,
}

/// The request headers in the phase that may read and write them.
struct HostRequest;

impl Request for HostRequest {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        or_trouble(host::request_header(name)).flatten()
    }

    fn unix_seconds(&self) -> u64 {
        or_trouble(host::now()).unwrap_or_default().as_secs()
    }

    fn random(&self) -> [u8; 16] {
        node::random()
    }
}

impl Stream {
    pub(crate) const fn new(router: Option<Rc<Router>>) -> Self {
        Self { router, reached: false, generated: None }
    }

    /// Routes the request by headers of ours, which nobody else may set.
    fn route(&mut self) -> Result<(), HostError> {
        let stripped = host::remove_request_header(VERSION_HEADER);
        host::remove_request_header(BUCKET_HEADER).and(stripped)?;
        let Some(decision) = self.router.as_ref().and_then(|r| r.decide(&HostRequest)) else {
            return Ok(());
        };
        host::add_request_header(BUCKET_HEADER, &decision.bucket.to_string())?;
        if let Some(version) = decision.pin {
            host::add_request_header(VERSION_HEADER, version)?;
        }
        self.generated = decision.generated;
        Ok(())
    }

    /// Counts the request for the version that really served it.
    fn count(&self) -> Result<(), HostError> {
        let Some(router) = self.router.as_ref().filter(|_| self.reached) else {
            return Ok(());
        };
        let cluster = host::property(property::CLUSTER)?.unwrap_or_default();
        let Some(served) =
            std::str::from_utf8(&cluster).ok().and_then(|cluster| router.served(cluster))
        else {
            return Ok(());
        };
        let code = integer(property::CODE)?.unwrap_or_default();
        let is_grpc = is_grpc(code)?;
        let finished = outcome::Finished {
            code,
            flags: integer(property::FLAGS)?.unwrap_or_default(),
            grpc_status: if is_grpc { integer(property::GRPC_STATUS)? } else { None },
        };
        let Some(outcome) = classify(finished) else {
            return Ok(());
        };
        let duration = integer(property::DURATION)?.unwrap_or_default();
        let key = Key {
            service: router.service_name(served.service),
            version: served.version,
            release: router.release(served.service),
        };
        let answer = Answer { status: code, is_grpc };
        let rules = router.business(served.service).iter();
        let seen = Seen {
            outcome,
            duration: Duration::from_nanos(duration),
            // Nobody judges it at other times.
            load: if key.release.is_empty() { Load::default() } else { answer.load() },
            business: rules
                .filter_map(|rule| Some((rule.name.as_str(), business::judge(rule, &answer)?)))
                .collect(),
        };
        vm::with(|vm| vm.record(key, &seen));
        Ok(())
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.reached = true;
        or_trouble(self.route());
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if let Some(identity) = self.generated.take() {
            or_trouble(host::add_response_header("set-cookie", &identity.set_cookie()));
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        or_trouble(self.count());
    }
}

/// A finished request, in the phase that may read all of it.
struct Answer {
    status: u64,
    is_grpc: bool,
}

impl Answer {
    /// Without a response there are no headers to ask for, and asking would be an error.
    fn load(&self) -> Load {
        if self.status == 0 {
            return Load::default();
        }
        if let Some(report) = or_trouble(host::response_header(load::HEADER)).flatten() {
            return Load::from_header(&report);
        }
        let read = if self.is_grpc { host::response_trailer } else { host::response_header };
        let binary = or_trouble(read(load::BINARY_HEADER)).flatten();
        binary.map(|report| Load::from_binary_header(&report)).unwrap_or_default()
    }
}

impl Finished for Answer {
    fn request_header(&self, name: &str) -> Option<Vec<u8>> {
        or_trouble(host::request_header(name)).flatten()
    }

    fn response_header(&self, name: &str) -> Option<Vec<u8>> {
        (self.status != 0).then(|| or_trouble(host::response_header(name)).flatten()).flatten()
    }

    fn status(&self) -> u64 {
        self.status
    }
}

/// Envoy makes up a gRPC status for every request, so the request itself must say that it is gRPC.
/// One that failed by HTTP has no other status.
fn is_grpc(code: u64) -> Result<bool, HostError> {
    if code != 200 {
        return Ok(false);
    }
    let content_type = host::request_header("content-type")?.unwrap_or_default();
    Ok(content_type.starts_with(b"application/grpc"))
}

/// A property that is a number: eight bytes, little endian.
fn integer(path: &str) -> Result<Option<u64>, HostError> {
    let bytes = host::property(path)?;
    Ok(bytes.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?))))
}

/// A host call that fails must not fail the request: traffic flows, to stable.
fn or_trouble<T>(result: Result<T, HostError>) -> Option<T> {
    result.inspect_err(|error| log::trouble(format_args!("a host call failed: {error}"))).ok()
}
