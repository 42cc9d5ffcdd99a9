//! One request: its headers on the way in, its cookie on the way out, its outcome at the end.

use std::{rc::Rc, time::Duration};

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use tidegate_core::{
    config::{BUCKET_HEADER, VERSION_HEADER},
    outcome::{Finished, classify},
    report::Key,
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
        let finished = Finished {
            code,
            flags: integer(property::FLAGS)?.unwrap_or_default(),
            grpc_status: grpc_status(code)?,
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
        vm::with(|vm| vm.record(key, outcome, Duration::from_nanos(duration)));
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

/// The status of a gRPC request. Envoy makes one up for every other request too, so it is asked for
/// only where the request says that it is gRPC, and where HTTP has not failed already.
fn grpc_status(code: u64) -> Result<Option<u64>, HostError> {
    if code != 200 {
        return Ok(None);
    }
    let content_type = host::request_header("content-type")?.unwrap_or_default();
    if content_type.starts_with(b"application/grpc") {
        integer(property::GRPC_STATUS)
    } else {
        Ok(None)
    }
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
