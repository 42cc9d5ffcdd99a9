//! HTTP context: routes one request by headers, adds the identity cookie to its response, and
//! counts its outcome.

use std::{rc::Rc, time::Duration};

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use tidegate_core::{
    business::{self, FinishedRequest},
    config::{BUCKET_HEADER, VERSION_HEADER},
    orca::{self, OrcaLoad},
    outcome::{self, classify},
    report::{RequestRecord, VersionKey},
    routing::{GeneratedIdentity, IstioRouter, Request, Router, SelectedRoute},
};

use crate::{
    host::{self, HostError, property},
    log, node, vm,
};

pub(crate) struct Stream {
    /// The configuration at the start of the request. It is used until the request ends.
    router: Option<Rc<Router>>,
    /// False if an earlier filter responded, so that no version served the request.
    reached: bool,
    generated: Option<GeneratedIdentity>,
}

/// The current request, in the request headers callback.
struct HostRequest;

impl Request for HostRequest {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        log_error(host::request_header(name)).flatten()
    }

    fn unix_seconds(&self) -> u64 {
        log_error(host::now()).unwrap_or_default().as_secs()
    }

    fn random(&self) -> [u8; 16] {
        node::random()
    }
}

impl Stream {
    pub(crate) const fn new(router: Option<Rc<Router>>) -> Self {
        Self { router, reached: false, generated: None }
    }

    /// Removes Tidegate's headers from the request, and sets them by the routing decision.
    fn route(&mut self) -> Result<(), HostError> {
        match self.router.clone() {
            None => strip_present().map(drop),
            Some(router) => match router.istio() {
                Some(istio) => self.select_route(istio),
                None => self.set_headers(&router),
            },
        }
    }

    /// In Tidegate's own mesh Envoy selects the version by these headers.
    fn set_headers(&mut self, router: &Router) -> Result<(), HostError> {
        let stripped = host::remove_request_header(VERSION_HEADER);
        host::remove_request_header(BUCKET_HEADER).and(stripped)?;
        let Some(decision) = router.decide(&HostRequest) else {
            return Ok(());
        };
        host::add_request_header(BUCKET_HEADER, &decision.bucket.to_string())?;
        if let Some(version) = decision.pin {
            host::add_request_header(VERSION_HEADER, version)?;
        }
        self.generated = decision.generated;
        Ok(())
    }

    /// In an Istio mesh a header selects the route. Envoy selects a route anew after each change of a
    /// header, so nothing is changed if the route is right already.
    fn select_route(&mut self, istio: IstioRouter<'_>) -> Result<(), HostError> {
        // Before the headers are removed, which discards the route.
        let cluster = host::property(property::CLUSTER);
        let is_forged = strip_present()?;
        let cluster = cluster?.unwrap_or_default();
        let Ok(cluster) = std::str::from_utf8(&cluster) else {
            return Ok(());
        };
        let route = SelectedRoute { cluster, is_forged };
        let Some(decision) = istio.decide(route, &HostRequest) else {
            return Ok(());
        };
        if let Some(token) = decision.token {
            host::add_request_header(VERSION_HEADER, token.as_str())?;
        }
        self.generated = decision.generated;
        Ok(())
    }

    /// Counts the request for the version of its upstream cluster.
    fn count(&self) -> Result<(), HostError> {
        let Some(router) = self.router.as_ref().filter(|_| self.reached) else {
            return Ok(());
        };
        let cluster = host::property(property::CLUSTER)?.unwrap_or_default();
        let Some(served) = std::str::from_utf8(&cluster)
            .ok()
            .and_then(|cluster| router.version_of_cluster(cluster))
        else {
            return Ok(());
        };
        let code = integer(property::CODE)?.unwrap_or_default();
        let is_grpc = is_grpc(code)?;
        let response = outcome::ResponseInfo {
            code,
            flags: integer(property::FLAGS)?.unwrap_or_default(),
            grpc_status: if is_grpc { integer(property::GRPC_STATUS)? } else { None },
        };
        let Some(outcome) = classify(response) else {
            return Ok(());
        };
        let duration = integer(property::DURATION)?.unwrap_or_default();
        let key = VersionKey {
            service: router.service_name(served.service),
            version: served.version,
            release: router.release(served.service),
        };
        let finished = FinishedStream { status: code, is_grpc };
        let rules = router.business(served.service).iter();
        let record = RequestRecord {
            outcome,
            duration: Duration::from_nanos(duration),
            // The judge evaluates load only during a release.
            load: if key.release.is_empty() { OrcaLoad::default() } else { finished.load() },
            business: rules
                .filter_map(|rule| Some((rule.name.as_str(), business::evaluate(rule, &finished)?)))
                .collect(),
        };
        vm::with(|vm| vm.record(key, &record));
        Ok(())
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.reached = true;
        log_error(self.route());
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if let Some(identity) = self.generated.take() {
            log_error(host::add_response_header("set-cookie", &identity.set_cookie()));
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        log_error(self.count());
    }
}

/// The current request, in the log callback, where all headers can be read.
struct FinishedStream {
    status: u64,
    is_grpc: bool,
}

impl FinishedStream {
    /// The load report of the response. Without a response, reading its headers would be an error.
    fn load(&self) -> OrcaLoad {
        if self.status == 0 {
            return OrcaLoad::default();
        }
        if let Some(report) = log_error(host::response_header(orca::HEADER)).flatten() {
            return OrcaLoad::from_header(&report);
        }
        let read = if self.is_grpc { host::response_trailer } else { host::response_header };
        let binary = log_error(read(orca::BINARY_HEADER)).flatten();
        binary.map(|report| OrcaLoad::from_binary_header(&report)).unwrap_or_default()
    }
}

impl FinishedRequest for FinishedStream {
    fn request_header(&self, name: &str) -> Option<Vec<u8>> {
        log_error(host::request_header(name)).flatten()
    }

    fn response_header(&self, name: &str) -> Option<Vec<u8>> {
        (self.status != 0).then(|| log_error(host::response_header(name)).flatten()).flatten()
    }

    fn status(&self) -> u64 {
        self.status
    }
}

/// Removes Tidegate's headers if the request has them. Returns whether it had the version header.
fn strip_present() -> Result<bool, HostError> {
    let version = remove_if_present(VERSION_HEADER);
    remove_if_present(BUCKET_HEADER).and(version)
}

/// Also removes a header that cannot be read.
fn remove_if_present(name: &str) -> Result<bool, HostError> {
    let is_present = host::has_request_header(name).unwrap_or(true);
    if is_present {
        host::remove_request_header(name)?;
    }
    Ok(is_present)
}

/// Whether the request is gRPC with HTTP status 200. Envoy derives `response.grpc_status` for every
/// request, so the content type decides.
fn is_grpc(code: u64) -> Result<bool, HostError> {
    if code != 200 {
        return Ok(false);
    }
    let content_type = host::request_header("content-type")?.unwrap_or_default();
    Ok(content_type.starts_with(b"application/grpc"))
}

/// A numeric attribute: eight bytes, little endian.
fn integer(path: &str) -> Result<Option<u64>, HostError> {
    let bytes = host::property(path)?;
    Ok(bytes.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?))))
}

/// Logs the error of a host call. The request continues; without the headers it is routed to
/// stable.
fn log_error<T>(result: Result<T, HostError>) -> Option<T> {
    result.inspect_err(|error| log::warn(format_args!("a host call failed: {error}"))).ok()
}
