//! HTTP context: routes one request by headers, adds the identity cookie to its response, measures
//! how long the client waits for the version, and counts the outcome.
//!
//! The wait is measured here, because Envoy's attributes contain the client's part: `request.duration`
//! and `response.backend_latency` include a slow upload, and both are known only at the end.

use std::{cell::OnceCell, rc::Rc, time::Duration};

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use tidegate_core::{
    business::{self, FinishedRequest},
    config::{BUCKET_HEADER, VERSION_HEADER},
    exclusion::is_excluded,
    orca::{self, OrcaLoad},
    outcome::{FinishedResponse, Outcome, classify},
    report::{Client, RequestRecord, VersionKey},
    routing::{GeneratedIdentity, IstioRouter, Request, Router, SelectedRoute, ServiceIndex},
};

use crate::{
    host::{self, HostError, property},
    log, node, vm,
};

const CONTENT_TYPE: &str = "content-type";

pub(crate) struct Stream {
    id: u32,
    /// The configuration at the start of the request. It is used until the request ends.
    router: Option<Rc<Router>>,
    /// False if an earlier filter responded, so that no version served the request.
    reached: bool,
    /// The request is no evidence, and is not counted.
    excluded: bool,
    /// The client, of this service.
    client: Option<(ServiceIndex, Client)>,
    generated: Option<GeneratedIdentity>,
    progress: Progress,
}

/// How far the request is, with the time of its last part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Unknown,
    /// The client sends it.
    Sending(Duration),
    /// It was sent completely, and waits for the response.
    Waiting(Duration),
    /// The response began after this time.
    Answered(Duration),
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
    pub(crate) const fn new(id: u32, router: Option<Rc<Router>>) -> Self {
        Self {
            id,
            router,
            reached: false,
            excluded: false,
            client: None,
            generated: None,
            progress: Progress::Unknown,
        }
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
        self.excluded = is_excluded_request(router, decision.service);
        host::add_request_header(BUCKET_HEADER, &decision.bucket.to_string())?;
        if let Some(version) = decision.pin {
            host::add_request_header(VERSION_HEADER, version)?;
        }
        self.client = decision.client.map(|client| (decision.service, client));
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
        let router = self.router.as_ref();
        self.excluded = router.is_some_and(|router| is_excluded_request(router, decision.service));
        if let Some(token) = decision.token {
            host::add_request_header(VERSION_HEADER, token.as_str())?;
        }
        self.client = decision.client.map(|client| (decision.service, client));
        self.generated = decision.generated;
        Ok(())
    }

    /// A part of the request was passed on.
    fn on_sent(&mut self, is_last: bool) {
        let Some(router) = self.router.as_ref().filter(|_| !self.excluded) else {
            return;
        };
        if matches!(self.progress, Progress::Answered(_)) {
            return;
        }
        let Some(now) = log_error(host::monotonic()) else {
            return;
        };
        if is_last {
            self.progress = Progress::Waiting(now);
            vm::with(|vm| vm.on_sent(self.id, now, Rc::clone(router)));
        } else {
            self.progress = Progress::Sending(now);
        }
    }

    /// The response begins.
    fn on_answered(&mut self) {
        let since = match self.progress {
            Progress::Sending(since) => since,
            Progress::Waiting(since) => {
                vm::with(|vm| vm.on_answered(self.id));
                since
            }
            Progress::Unknown | Progress::Answered(_) => return,
        };
        if let Some(now) = log_error(host::monotonic()) {
            self.progress = Progress::Answered(now.saturating_sub(since));
        }
    }

    /// The time that the client waited for the version. If it left, it may have been in the middle of
    /// its request: then the version is not to blame.
    fn wait(&self, outcome: Outcome) -> Option<Duration> {
        match (self.progress, outcome) {
            (Progress::Answered(wait), _) => Some(wait),
            (Progress::Waiting(since), _) | (Progress::Sending(since), Outcome::Error) => {
                log_error(host::monotonic()).map(|now| now.saturating_sub(since))
            }
            (Progress::Sending(_) | Progress::Unknown, _) => None,
        }
    }

    /// Counts the request for the version of its upstream cluster.
    fn count(&self) -> Result<(), HostError> {
        let counts = self.reached && !self.excluded;
        let Some(router) = self.router.as_ref().filter(|_| counts) else {
            return Ok(());
        };
        let cluster = host::property(property::CLUSTER)?.unwrap_or_default();
        let Some(served) = std::str::from_utf8(&cluster)
            .ok()
            .and_then(|cluster| router.version_of_cluster(cluster))
        else {
            return Ok(());
        };
        let finished = FinishedStream {
            code: integer(property::CODE)?.unwrap_or_default(),
            flags: integer(property::FLAGS)?.unwrap_or_default(),
            content_type: OnceCell::new(),
        };
        let Some(outcome) = classify(&finished) else {
            return Ok(());
        };
        let key = VersionKey {
            service: router.service_name(served.service),
            version: served.version,
            release: router.release(served.service),
        };
        let rules = router.business(served.service).iter();
        // A route may lead to another service than that of the host.
        let client = self.client.filter(|(service, _)| *service == served.service);
        let record = RequestRecord {
            outcome,
            client: client.map(|(_, client)| client),
            wait: self.wait(outcome),
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
    fn on_http_request_headers(&mut self, _: usize, is_last: bool) -> Action {
        self.reached = true;
        log_error(self.route());
        self.on_sent(is_last);
        Action::Continue
    }

    fn on_http_request_body(&mut self, _: usize, is_last: bool) -> Action {
        self.on_sent(is_last);
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.on_sent(true);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.on_answered();
        if let Some(identity) = self.generated.take() {
            log_error(host::add_response_header("set-cookie", &identity.set_cookie()));
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        log_error(self.count());
        if matches!(self.progress, Progress::Waiting(_)) {
            vm::with(|vm| vm.on_answered(self.id));
        }
    }
}

/// The current request, in the log callback, where all headers can be read.
struct FinishedStream {
    /// 0 without a response.
    code: u64,
    flags: u64,
    content_type: OnceCell<Option<Vec<u8>>>,
}

impl FinishedStream {
    /// The load report of the response: in its headers, or in the trailers of a gRPC response.
    fn load(&self) -> OrcaLoad {
        if let Some(report) = self.header(orca::HEADER) {
            return OrcaLoad::from_header(&report);
        }
        let is_grpc = self.content_type().is_some_and(|it| it.starts_with(b"application/grpc"));
        let binary = if is_grpc {
            self.response_trailer(orca::BINARY_HEADER)
        } else {
            self.header(orca::BINARY_HEADER)
        };
        binary.map(|report| OrcaLoad::from_binary_header(&report)).unwrap_or_default()
    }

    /// Read once: the outcome and the load report need it.
    fn content_type(&self) -> Option<&[u8]> {
        self.content_type.get_or_init(|| self.header(CONTENT_TYPE)).as_deref()
    }

    /// Without a response, reading its headers would be an error.
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        (self.code != 0).then(|| log_error(host::response_header(name)).flatten()).flatten()
    }
}

impl FinishedRequest for FinishedStream {
    fn request_header(&self, name: &str) -> Option<Vec<u8>> {
        log_error(host::request_header(name)).flatten()
    }

    fn response_header(&self, name: &str) -> Option<Vec<u8>> {
        self.header(name)
    }

    fn status(&self) -> u64 {
        self.code
    }
}

impl FinishedResponse for FinishedStream {
    fn code(&self) -> u64 {
        self.code
    }

    fn flags(&self) -> u64 {
        self.flags
    }

    fn code_details(&self) -> Option<Vec<u8>> {
        log_error(host::property(property::CODE_DETAILS)).flatten()
    }

    fn response_header(&self, name: &str) -> Option<Vec<u8>> {
        if name == CONTENT_TYPE {
            return self.content_type().map(<[u8]>::to_vec);
        }
        self.header(name)
    }

    fn response_trailer(&self, name: &str) -> Option<Vec<u8>> {
        log_error(host::response_trailer(name)).flatten()
    }
}

/// Whether a request of a service is no evidence. Valid only in the request headers callback.
fn is_excluded_request(router: &Router, service: ServiceIndex) -> bool {
    is_excluded(router.excluded(service), |name| log_error(host::request_header(name)).flatten())
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
