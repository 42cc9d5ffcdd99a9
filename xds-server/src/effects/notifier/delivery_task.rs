//! Delivers the notifications of one receiver.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::Notifier;
use super::delivery_state::{DeliveryState, DeliveryStateFile};
use super::stats::{ReceiverStats, increment};
use crate::config::{Receiver, ReceiverUrl};
use crate::controller::{CommandError, DeliveryView};
use crate::effects::secret;
use crate::effects::webhook::{JSON, RequestError, WebhookRequest};
use crate::notifications::{self, Notification, PayloadFormat, SidecarCondition, payload};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::names::ReleaseId;

/// Records per read of the journal.
const PAGE: usize = 200;
/// Timeout of one read of the journal.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Permanent rejections of one notification after which it is dropped.
const MAX_REJECTIONS: u32 = 3;
/// Age at which a notification that cannot be delivered is dropped.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Poll interval while notifications are delayed.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct DeliveryTask {
    notifier: Notifier,
    receiver: Receiver,
    file: DeliveryStateFile,
    state: DeliveryState,
    stats: Arc<ReceiverStats>,
    /// The conditions that hold, by release.
    conditions: BTreeSet<(ReleaseId, SidecarCondition)>,
}

impl DeliveryTask {
    pub(super) fn new(notifier: &Notifier, receiver: Receiver) -> Self {
        Self {
            file: DeliveryStateFile::new(&notifier.directory(), &receiver.name),
            state: DeliveryState::default(),
            stats: notifier.stats.of(&receiver.name),
            conditions: BTreeSet::new(),
            notifier: notifier.clone(),
            receiver,
        }
    }

    /// Delivers until the controller stops.
    pub(super) async fn run(mut self) {
        let mut view = self.notifier.controller.view();
        let newest = view.borrow().seq;
        self.restore(newest).await;
        loop {
            let current = Arc::clone(&view.borrow_and_update());
            if self.deliver_records(current.seq).await.is_err() {
                return;
            }
            self.deliver_conditions(&current).await;
            while let Some(delayed) = {
                let now = self.notifier.clock.now();
                self.state.suppression.take_due(now, self.receiver.quiet)
            } {
                self.send(&delayed).await;
            }
            if self.state.suppression.has_delayed() {
                // A timeout is handled like a change of the view.
                if let Ok(Err(_)) = timeout(POLL_INTERVAL, view.changed()).await {
                    return;
                }
            } else if view.changed().await.is_err() {
                return;
            }
        }
    }

    /// Restores the position. Without a valid one, delivery starts after the newest record.
    async fn restore(&mut self, newest: u64) {
        let file = self.file.clone();
        self.state = match blocking(move || file.read()).await {
            Ok(Some(state)) if state.seq <= newest => state,
            Ok(_) => DeliveryState { seq: newest, ..DeliveryState::default() },
            Err(error) => {
                let receiver = &self.receiver.name;
                error!(%receiver, %error, "cannot read the delivery state; starting after the newest record");
                DeliveryState { seq: newest, ..DeliveryState::default() }
            }
        };
        self.save().await;
    }

    /// Reads and delivers the records up to `newest`.
    async fn deliver_records(&mut self, newest: u64) -> Result<(), CommandError> {
        while self.state.seq < newest {
            let read = self.notifier.controller.events(self.state.seq, PAGE);
            let receiver = &self.receiver.name;
            let page = match timeout(READ_TIMEOUT, read).await {
                Ok(Ok(page)) => page,
                Ok(Err(CommandError::Stopped)) => return Err(CommandError::Stopped),
                Ok(Err(error)) => {
                    warn!(%receiver, %error, "cannot read the journal; retrying");
                    sleep(self.notifier.backoff.initial).await;
                    continue;
                }
                Err(_) => {
                    warn!(%receiver, timeout = ?READ_TIMEOUT, "no page of the journal in time; retrying");
                    continue;
                }
            };
            if page.is_empty() {
                break;
            }
            for record in &page {
                if let Some(notification) = notifications::of_record(record) {
                    self.deliver(&notification).await;
                }
                if let Event::RolledBack { id, .. } | Event::Completed { id, .. } =
                    record.event.event()
                {
                    self.state.suppression.remove_release(id);
                }
                self.state.seq = record.seq;
            }
            self.save().await;
        }
        Ok(())
    }

    /// Conditions of the sidecars are not in the journal: they are read from the view.
    async fn deliver_conditions(&mut self, view: &DeliveryView) {
        self.conditions.retain(|(release, _)| view.progress.contains_key(release));
        for release in view.state.running() {
            let Some(progress) = view.progress.get(&release.id) else { continue };
            let convergence = &progress.observation.convergence;
            for condition in SidecarCondition::ALL {
                let key = (release.id.clone(), condition);
                let changed = if condition.holds(convergence) {
                    self.conditions.insert(key)
                } else {
                    self.conditions.remove(&key)
                };
                if changed {
                    let now = self.notifier.clock.now();
                    let of = (&release.service, &release.id);
                    let changed =
                        notifications::of_sidecars(condition, of, convergence, view.seq, now);
                    self.deliver(&changed).await;
                }
            }
        }
    }

    /// Sends a notification, unless the receiver's configuration or the suppression excludes it.
    async fn deliver(&mut self, notification: &Notification) {
        let Receiver { services, level, quiet, .. } = &self.receiver;
        if notification.service.as_ref().is_some_and(|service| !services.include(service)) {
            return;
        }
        if self.state.suppression.admit(notification, *level, *quiet) {
            self.send(notification).await;
        } else if notification.level >= *level {
            increment(&self.stats.suppressed);
        }
    }

    /// Retries until the receiver accepts the notification, or it is dropped.
    async fn send(&mut self, notification: &Notification) {
        let receiver = &self.receiver.name;
        let Notification { event, seq, .. } = notification;
        let mut delays = self.notifier.backoff.unlimited();
        let mut rejections = 0;
        loop {
            let error = match self.post(notification).await {
                Ok(Posted::Nothing) => break,
                Ok(Posted::Message) => {
                    increment(&self.stats.sent);
                    info!(%receiver, event, seq, "notification sent");
                    break;
                }
                Err(error) => error,
            };
            increment(&self.stats.failed);
            rejections +=
                u32::from(matches!(&error, SendError::Webhook(error) if error.is_permanent()));
            let age = self.notifier.clock.now().since(notification.at);
            if rejections >= MAX_REJECTIONS || age > MAX_AGE {
                increment(&self.stats.dropped);
                error!(%receiver, event, seq, %error, "notification dropped");
                break;
            }
            warn!(%receiver, event, seq, %error, "notification not sent; retrying");
            sleep(delays.next().unwrap_or(self.notifier.backoff.max)).await;
        }
        // A record has one notification at most.
        self.state.seq = self.state.seq.max(notification.seq);
        self.save().await;
    }

    async fn post(&self, notification: &Notification) -> Result<Posted, SendError> {
        let url = match &self.receiver.url {
            ReceiverUrl::Plain(url) => url.clone(),
            ReceiverUrl::Secret(place) => secret::read(place).map_err(RequestError::from)?,
        };
        let Notification { event, seq, at, .. } = notification;
        // A condition may begin and end without a record in between.
        let key = format!("{}/{event}/{seq}/{}", self.receiver.name, at.0);
        let token = self.receiver.token.as_ref().map(secret::read);
        let token = token.transpose().map_err(RequestError::from)?;
        let Receiver { format, template, .. } = &self.receiver;
        let body = payload(format, notification, template.as_deref(), token.as_deref())?;
        let Some(body) = body else {
            return Ok(Posted::Nothing);
        };
        let request = WebhookRequest {
            url: &url,
            body: serde_json::to_vec(&body)?.into(),
            content_type: match format {
                PayloadFormat::CdEvents { .. } => notifications::CLOUD_EVENT,
                _ => JSON,
            },
            idempotency_key: &key,
            secret: self.receiver.secret.as_ref(),
            // PagerDuty's is part of the body.
            bearer: token.as_deref().filter(|_| *format != PayloadFormat::PagerDuty),
            timeout: REQUEST_TIMEOUT,
        };
        self.notifier.webhooks.post(&request).await?;
        Ok(Posted::Message)
    }

    /// If the state cannot be saved, notifications are repeated after a restart.
    async fn save(&self) {
        self.stats.position.store(self.state.seq, Ordering::Relaxed);
        let (file, state) = (self.file.clone(), self.state.clone());
        if let Err(error) = blocking(move || file.write(&state)).await {
            let receiver = &self.receiver.name;
            error!(%receiver, %error, "cannot write the delivery state");
        }
    }
}

/// What was sent for a notification.
enum Posted {
    Message,
    /// The format of the receiver cannot express it.
    Nothing,
}

/// Why a notification was not sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Webhook(#[from] RequestError),
    #[error("cannot encode the message: {0}")]
    Encode(#[from] serde_json::Error),
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
