//! One stream: a task that owns its session.

use std::sync::Arc;
use std::time::Duration;

use tidegate_proto::envoy::envoy::config::core::v3::Node;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};
use tracing::{Instrument as _, debug, info, info_span, warn};

use super::Hub;
use super::admission::{Closed, Turn};
use super::aging::Lifetime;
use super::wire::Wire;
use crate::counters::Counters;
use crate::door::peer::Peer;
use crate::door::refusals::Reason;
use crate::xds::fleet::Connection;
use tidegate_delivery::names::FleetName;
use tidegate_xds::protocol::{Event, ProtocolError, Response, Scope, Session};
use tidegate_xds::resources::{FleetSnapshot, SnapshotSet};

/// How long a client may take to say who it is.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// How long a response may wait for a client that does not read.
const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// Longest `node.id`, in bytes.
const MAX_NODE_ID: usize = 256;

/// What tonic sends to the client.
pub(super) type Replies = ReceiverStream<Result<Response, Status>>;

/// Starts a stream's task.
pub(super) fn open<W: Wire>(
    hub: &Arc<Hub>,
    scope: Scope,
    request: Request<Streaming<W::Message>>,
) -> Result<Replies, Status> {
    // In this order: a server that stops waits for all who listen.
    let draining = hub.draining.subscribe();
    if *draining.borrow() {
        return Err(stopping());
    }
    let peer = Peer::of(request.extensions());
    let place = hub.streams.enter(peer.client()).map_err(|full| {
        hub.counters.overload.add_one();
        hub.access.refusals().note(Reason::Streams, &peer, &full);
        Status::resource_exhausted(format!("too many streams: {full}; try again later"))
    })?;
    hub.counters.streams.add_one();
    // One response at a time: the next is made when this one is taken.
    let (sender, receiver) = mpsc::channel(1);
    let hub = Arc::clone(hub);
    tokio::spawn(async move {
        let outbox = Outbox { sender };
        let incoming = request.into_inner();
        let served = serve::<W>(&hub, scope, &peer, incoming, &outbox, draining).await;
        drop(place);
        if let Err(status) = served {
            outbox.close(status).await;
        }
    });
    Ok(ReceiverStream::new(receiver))
}

/// Where responses go.
struct Outbox {
    sender: mpsc::Sender<Result<Response, Status>>,
}

impl Outbox {
    async fn send(&self, reply: Response, counters: &Counters) -> Result<(), Status> {
        match timeout(SEND_DEADLINE, self.sender.send(Ok(reply))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(gone()),
            Err(_) => {
                counters.stuck.add_one();
                Err(Status::deadline_exceeded("the client does not read"))
            }
        }
    }

    /// Returns when the client is gone.
    async fn closed(&self) {
        self.sender.closed().await;
    }

    async fn close(self, status: Status) {
        // A client that is gone, or does not read, will not read why either.
        if timeout(SEND_DEADLINE, self.sender.send(Err(status))).await.is_err() {
            debug!("closed a stream whose client does not read");
        }
    }
}

/// Waits for the newcomer's turn, and for the first request, then serves until the stream ends.
async fn serve<W: Wire>(
    hub: &Hub,
    scope: Scope,
    peer: &Peer,
    mut incoming: Streaming<W::Message>,
    outbox: &Outbox,
    mut draining: watch::Receiver<bool>,
) -> Result<(), Status> {
    let turn = admit(hub, outbox).await?;
    let first = tokio::select! {
        first = timeout(FIRST_REQUEST, incoming.message()) => first,
        _ = draining.wait_for(|draining| *draining) => return Err(stopping()),
    };
    let first = first.map_err(|_| Status::deadline_exceeded("no request came"))?;
    let refused = |status| {
        hub.counters.refused.add_one();
        status
    };
    let Some(first) = first.map_err(refused)? else {
        return Ok(());
    };
    let mut snapshots = hub.snapshots.clone();
    let set = Arc::clone(&snapshots.borrow_and_update());
    let (id, snapshot) = identify(W::node(&first), &set).map_err(refused)?;
    let fleet = snapshot.fleet().clone();
    hub.access.check(peer, fleet.as_str(), id).map_err(|denied| refused(denied.into()))?;
    let mode = W::MODE;
    let span = info_span!("xds", node = id, %fleet, ?mode);
    let mut client = Client::<W> {
        scope,
        session: Session::new(scope, snapshot),
        connection: hub.ack_tracker.connect(fleet.clone(), id, mode),
        turn: Some(turn),
        life: Lifetime::new(hub.ages, rand::random()),
        counters: &hub.counters,
        outbox,
    };
    let result = async {
        info!("connected");
        let result = client.converse(first, incoming, snapshots, draining, &fleet).await;
        match &result {
            Ok(()) => info!("disconnected"),
            Err(status) => info!(code = ?status.code(), reason = status.message(), "disconnected"),
        }
        result
    };
    result.instrument(span).await
}

/// Waits for the newcomer's turn. Its first request is not even read before that.
async fn admit(hub: &Hub, outbox: &Outbox) -> Result<Turn, Status> {
    let turn = match hub.admission.try_enter() {
        Some(turn) => turn,
        None => {
            hub.counters.delayed.add_one();
            tokio::select! {
                turn = hub.admission.enter() => turn.map_err(|Closed| stopping())?,
                () = outbox.closed() => return Err(gone()),
            }
        }
    };
    hub.admission.measure().await;
    Ok(turn)
}

/// Who a client says it is, and what it is to have.
fn identify<'a>(
    node: Option<&'a Node>,
    set: &SnapshotSet,
) -> Result<(&'a str, Arc<FleetSnapshot>), Status> {
    let node = node.ok_or_else(|| {
        Status::invalid_argument("the first request of a stream must carry `node`")
    })?;
    let is_named = (1..=MAX_NODE_ID).contains(&node.id.len());
    // It is shown on terminals and in logs.
    if !is_named || node.id.chars().any(char::is_control) {
        return Err(Status::invalid_argument(format!(
            "node.id must have 1 to {MAX_NODE_ID} bytes, and no control characters"
        )));
    }
    let snapshot = set.fleet(&node.cluster).ok_or_else(|| {
        let cluster: String = node.cluster.chars().take(64).collect();
        Status::not_found(format!(
            "no fleet is named `{cluster}`: node.cluster must be one of the configured fleets"
        ))
    })?;
    Ok((&node.id, Arc::clone(snapshot)))
}

/// One client's conversation.
struct Client<'a, W: Wire> {
    scope: Scope,
    session: Session<W>,
    connection: Connection,
    /// A newcomer's, until it has all.
    turn: Option<Turn>,
    life: Lifetime,
    counters: &'a Counters,
    outbox: &'a Outbox,
}

impl<W: Wire> Client<'_, W> {
    async fn converse(
        &mut self,
        first: W::Message,
        mut incoming: Streaming<W::Message>,
        mut snapshots: watch::Receiver<Arc<SnapshotSet>>,
        mut draining: watch::Receiver<bool>,
        fleet: &FleetName,
    ) -> Result<(), Status> {
        let mut is_draining = false;
        self.take(first)?;
        loop {
            // Looked at before every answer, so that requests in plenty do not starve pushes.
            if snapshots.has_changed().map_err(|_| stopping())? {
                let set = Arc::clone(&snapshots.borrow_and_update());
                let snapshot = set.fleet(fleet.as_str()).ok_or_else(|| {
                    Status::not_found(format!("fleet `{fleet}` is no longer configured"))
                })?;
                self.session.on_snapshot(Arc::clone(snapshot));
            }
            self.answer().await?;
            if self.life.is_over(self.session.is_quiet()) {
                if is_draining {
                    return Err(stopping());
                }
                self.counters.aged.add_one();
                return Ok(());
            }
            tokio::select! {
                biased;
                // An error is a server that is gone.
                _ = draining.wait_for(|draining| *draining), if !is_draining => {
                    is_draining = true;
                    self.life.hasten(rand::random());
                }
                () = self.life.turn() => {}
                message = incoming.message() => match message {
                    Ok(Some(message)) => self.take(message)?,
                    Ok(None) => return Ok(()),
                    Err(status) => return Err(self.broken(status)),
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

    /// Takes a request.
    fn take(&mut self, message: W::Message) -> Result<(), Status> {
        W::request(message, self.scope)
            .and_then(|request| self.session.on_request(request))
            .map_err(|refusal| {
                self.counters.refused.add_one();
                warn!(refusal = ?refusal.to_string(), "refused a request");
                status_of(&refusal)
            })
    }

    /// Sends all that there is to send, and notes what became known.
    async fn answer(&mut self) -> Result<(), Status> {
        self.note();
        while let Some(response) = self.session.next_response() {
            let (kind, version) = (response.kind, response.version.clone());
            debug!(%kind, version = &*response.version, resources = response.resources.len(), removed = response.removed.len(), "push");
            self.outbox.send(response, self.counters).await?;
            self.counters.pushes.of(kind).add_one();
            self.connection.pushed(kind, version);
        }
        self.note();
        if self.session.synced() > 0 {
            self.turn = None;
        }
        Ok(())
    }

    fn note(&mut self) {
        let counters = self.counters;
        let synced = self.session.synced();
        let events = self.session.drain_events().inspect(|event| match event {
            Event::Acked { kind, version } => {
                counters.acks.of(*kind).add_one();
                debug!(%kind, %version, "accepted");
            }
            Event::Nacked { kind, version, message } => {
                counters.nacks.of(*kind).add_one();
                warn!(%kind, %version, ?message, "refused by the sidecar");
            }
            Event::Resumed => debug!("resumed"),
            Event::Cleared { kind } => info!(%kind, "nothing refused is left"),
        });
        self.connection.record(events, synced);
    }

    /// The stream broke. Too large a message is the client's doing; the rest is the network's.
    fn broken(&self, status: Status) -> Status {
        if status.code() == tonic::Code::OutOfRange {
            self.counters.refused.add_one();
        }
        status
    }
}

fn gone() -> Status {
    Status::cancelled("the client is gone")
}

fn stopping() -> Status {
    Status::unavailable("the control plane is stopping")
}

fn status_of(refusal: &ProtocolError) -> Status {
    match refusal {
        ProtocolError::MissingTypeUrl
        | ProtocolError::UnknownTypeUrl(_)
        | ProtocolError::TypeNotServed { .. }
        | ProtocolError::NameTooLong(_) => Status::invalid_argument(refusal.to_string()),
        ProtocolError::TooManyNames(_) => Status::resource_exhausted(refusal.to_string()),
    }
}
