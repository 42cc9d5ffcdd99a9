//! One xDS stream: a task that owns its session.

use std::sync::Arc;
use std::time::Duration;

use tidegate_proto::envoy::envoy::config::core::v3::Node;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};
use tracing::{Instrument as _, debug, info, info_span, warn};

use super::Shared;
use super::admission::{Closed, Permit};
use super::aging::Lifetime;
use super::wire::Wire;
use crate::auth::peer::Peer;
use crate::rejections::Reason;
use crate::xds::fleet::Connection;
use crate::xds::metrics::XdsMetrics;
use tidegate_delivery::names::FleetName;
use tidegate_xds::protocol::{Event, ProtocolError, Response, Scope, Session};
use tidegate_xds::resources::{FleetSnapshot, SnapshotSet};

/// Longest wait for the first request of a stream.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait until the client reads a response.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest `node.id`, in bytes.
const MAX_NODE_ID: usize = 256;

/// The stream of responses that tonic sends.
pub(super) type Responses = ReceiverStream<Result<Response, Status>>;

/// Starts the task of a stream.
pub(super) fn open<W: Wire>(
    shared: &Arc<Shared>,
    scope: Scope,
    request: Request<Streaming<W::Message>>,
) -> Result<Responses, Status> {
    // Subscribes before it reads the value: `XdsServer::drain` waits until all subscribers are dropped.
    let draining = shared.draining.subscribe();
    if *draining.borrow() {
        return Err(stopping());
    }
    let peer = Peer::of(request.extensions());
    let permit = shared.stream_quota.acquire(peer.client()).map_err(|exceeded| {
        shared.access.rejections().record(Reason::StreamQuota, &peer, &exceeded);
        Status::resource_exhausted(format!("too many streams: {exceeded}; try again later"))
    })?;
    shared.metrics.streams.inc();
    // One response at a time: the next is built after the client's transport has taken this one.
    let (sender, receiver) = mpsc::channel(1);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let responses = ResponseSender { sender };
        let requests = request.into_inner();
        let result = serve::<W>(&shared, scope, &peer, requests, &responses, draining).await;
        drop(permit);
        if let Err(status) = result {
            responses.fail(status).await;
        }
    });
    Ok(ReceiverStream::new(receiver))
}

/// Sends responses with a timeout.
struct ResponseSender {
    sender: mpsc::Sender<Result<Response, Status>>,
}

impl ResponseSender {
    async fn send(&self, response: Response, metrics: &XdsMetrics) -> Result<(), Status> {
        match timeout(SEND_TIMEOUT, self.sender.send(Ok(response))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(client_closed()),
            Err(_) => {
                metrics.send_timeouts.inc();
                Err(Status::deadline_exceeded("the client does not read responses"))
            }
        }
    }

    /// Waits until the client has closed the stream.
    async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Ends the stream with an error.
    async fn fail(self, status: Status) {
        if timeout(SEND_TIMEOUT, self.sender.send(Err(status))).await.is_err() {
            debug!("ended a stream whose client does not read its status");
        }
    }
}

/// Waits for admission and for the first request, then serves the stream until it ends.
async fn serve<W: Wire>(
    shared: &Shared,
    scope: Scope,
    peer: &Peer,
    mut requests: Streaming<W::Message>,
    responses: &ResponseSender,
    mut draining: watch::Receiver<bool>,
) -> Result<(), Status> {
    let admission = admit(shared, responses).await?;
    let first = tokio::select! {
        first = timeout(FIRST_REQUEST_TIMEOUT, requests.message()) => first,
        _ = draining.wait_for(|draining| *draining) => return Err(stopping()),
    };
    let first = first.map_err(|_| Status::deadline_exceeded("no request was received"))?;
    let invalid = |status| {
        shared.metrics.invalid.inc();
        status
    };
    let Some(first) = first.map_err(invalid)? else {
        return Ok(());
    };
    let mut snapshots = shared.snapshots.clone();
    let set = Arc::clone(&snapshots.borrow_and_update());
    let (id, snapshot) = identify(W::node(&first), &set).map_err(invalid)?;
    let fleet = snapshot.fleet().clone();
    shared.access.check(peer, fleet.as_str(), id).map_err(|denied| invalid(denied.into()))?;
    let mode = W::MODE;
    let span = info_span!("xds", node = id, %fleet, ?mode);
    let mut stream = Stream::<W> {
        scope,
        session: Session::new(scope, snapshot),
        connection: shared.ack_tracker.connect(fleet.clone(), id, mode),
        admission: Some(admission),
        lifetime: Lifetime::new(shared.age_limits, rand::random()),
        metrics: &shared.metrics,
        responses,
    };
    let result = async {
        info!("connected");
        let result = stream.run(first, requests, snapshots, draining, &fleet).await;
        match &result {
            Ok(()) => info!("disconnected"),
            Err(status) => info!(code = ?status.code(), reason = status.message(), "disconnected"),
        }
        result
    };
    result.instrument(span).await
}

/// Waits for admission. The first request is read afterwards.
async fn admit(shared: &Shared, responses: &ResponseSender) -> Result<Permit, Status> {
    let permit = match shared.admission.try_acquire() {
        Some(permit) => permit,
        None => {
            shared.metrics.queued.inc();
            tokio::select! {
                permit = shared.admission.acquire() => permit.map_err(|Closed| stopping())?,
                () = responses.closed() => return Err(client_closed()),
            }
        }
    };
    shared.admission.measure().await;
    Ok(permit)
}

/// The node id of the first request, and the snapshot of its fleet.
fn identify<'a>(
    node: Option<&'a Node>,
    set: &SnapshotSet,
) -> Result<(&'a str, Arc<FleetSnapshot>), Status> {
    let node = node.ok_or_else(|| {
        Status::invalid_argument("the first request of a stream must contain `node`")
    })?;
    let has_valid_length = (1..=MAX_NODE_ID).contains(&node.id.len());
    // Terminals and logs show it.
    if !has_valid_length || node.id.chars().any(char::is_control) {
        return Err(Status::invalid_argument(format!(
            "node.id must have 1 to {MAX_NODE_ID} bytes and no control characters: set it in Envoy's bootstrap"
        )));
    }
    let snapshot = set.fleet(&node.cluster).ok_or_else(|| {
        let cluster: String = node.cluster.chars().take(64).collect();
        Status::not_found(format!(
            "there is no fleet `{cluster}`: node.cluster must be one of the configured fleets"
        ))
    })?;
    if snapshot.is_foreign() {
        return Err(is_foreign(&node.cluster));
    }
    Ok((&node.id, Arc::clone(snapshot)))
}

/// Istio sends the resources of the fleet.
fn is_foreign(fleet: &str) -> Status {
    Status::failed_precondition(format!(
        "fleet `{fleet}` is one of an Istio mesh: its sidecars receive their resources from Istio, not from Tidegate"
    ))
}

/// A stream after its first request.
struct Stream<'a, W: Wire> {
    scope: Scope,
    session: Session<W>,
    connection: Connection,
    /// Released when the client has ACKed its first configuration.
    admission: Option<Permit>,
    lifetime: Lifetime,
    metrics: &'a XdsMetrics,
    responses: &'a ResponseSender,
}

impl<W: Wire> Stream<'_, W> {
    async fn run(
        &mut self,
        first: W::Message,
        mut requests: Streaming<W::Message>,
        mut snapshots: watch::Receiver<Arc<SnapshotSet>>,
        mut draining: watch::Receiver<bool>,
        fleet: &FleetName,
    ) -> Result<(), Status> {
        let mut is_draining = false;
        self.handle(first)?;
        loop {
            // Checked before every response, so that a client with many requests does not delay pushes.
            if snapshots.has_changed().map_err(|_| stopping())? {
                let set = Arc::clone(&snapshots.borrow_and_update());
                let snapshot = set.fleet(fleet.as_str()).ok_or_else(|| {
                    Status::not_found(format!("fleet `{fleet}` is no longer configured"))
                })?;
                if snapshot.is_foreign() {
                    return Err(is_foreign(fleet.as_str()));
                }
                self.session.on_snapshot(Arc::clone(snapshot));
            }
            self.push().await?;
            if self.lifetime.is_over(self.session.is_quiet()) {
                if is_draining {
                    return Err(stopping());
                }
                self.metrics.expired.inc();
                return Ok(());
            }
            tokio::select! {
                biased;
                // An error means that the server was dropped.
                _ = draining.wait_for(|draining| *draining), if !is_draining => {
                    is_draining = true;
                    self.lifetime.drain(rand::random());
                }
                () = self.lifetime.next_stage() => {}
                message = requests.message() => match message {
                    Ok(Some(message)) => self.handle(message)?,
                    Ok(None) => return Ok(()),
                    Err(status) => return Err(self.receive_error(status)),
                },
                changed = snapshots.changed() => {
                    changed.map_err(|_| stopping())?;
                    snapshots.mark_changed();
                }
                Some(inquiry) = self.connection.inquiry() => {
                    self.connection.tell(inquiry, self.session.resource_statuses());
                }
            }
        }
    }

    /// Passes a request to the session.
    fn handle(&mut self, message: W::Message) -> Result<(), Status> {
        W::request(message, self.scope)
            .and_then(|request| self.session.on_request(request))
            .map_err(|error| {
                self.metrics.invalid.inc();
                warn!(%error, "rejected an invalid request");
                status_of(&error)
            })
    }

    /// Sends all responses that are due, and records ACKs and NACKs.
    async fn push(&mut self) -> Result<(), Status> {
        self.record_events();
        while let Some(response) = self.session.next_response() {
            let (kind, version) = (response.kind, response.version.clone());
            debug!(%kind, version = &*response.version, resources = response.resources.len(), removed = response.removed.len(), "push");
            self.responses.send(response, self.metrics).await?;
            self.metrics.pushes.of(kind).inc();
            self.connection.pushed(kind, version);
        }
        self.record_events();
        if self.session.synced() > 0 {
            self.admission = None;
        }
        Ok(())
    }

    fn record_events(&mut self) {
        let metrics = self.metrics;
        let synced = self.session.synced();
        let events = self.session.drain_events().inspect(|event| match event {
            Event::Acked { kind, version } => {
                metrics.acks.of(*kind).inc();
                debug!(%kind, %version, "ACK");
            }
            Event::Nacked { kind, version, message } => {
                metrics.nacks.of(*kind).inc();
                warn!(%kind, %version, ?message, "NACK");
            }
            Event::Resumed { kind } => debug!(%kind, "resumed"),
            Event::Cleared { kind } => info!(%kind, "no NACKed resource is left"),
        });
        self.connection.record(events, synced);
    }

    /// Counts a request over the size limit. Other errors come from the network.
    fn receive_error(&self, status: Status) -> Status {
        if status.code() == tonic::Code::OutOfRange {
            self.metrics.invalid.inc();
        }
        status
    }
}

fn client_closed() -> Status {
    Status::cancelled("the client closed the stream")
}

fn stopping() -> Status {
    Status::unavailable("the control plane is stopping")
}

fn status_of(error: &ProtocolError) -> Status {
    match error {
        ProtocolError::MissingTypeUrl
        | ProtocolError::UnknownTypeUrl(_)
        | ProtocolError::TypeNotServed { .. }
        | ProtocolError::NameTooLong(_) => Status::invalid_argument(error.to_string()),
        ProtocolError::TooManyNames(_) => Status::resource_exhausted(error.to_string()),
    }
}
