//! One receiver, told at its own pace.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::Notifier;
use super::cursor::{Cursor, CursorFile};
use super::notice::{self, Notice};
use super::stats::{Counts, count};
use super::template::{self, Words};
use crate::config::{Receiver, ReceiverKind, ReceiverUrl};
use crate::controller::{CommandError, DeliveryView};
use crate::effects::outbound::{Post, PostError};
use crate::effects::secret;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::names::ReleaseId;

/// Records that are read at a time.
const PAGE: usize = 200;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a message may be refused by a receiver that understood it.
const REFUSALS: u32 = 3;
/// What is older is news to nobody: a receiver that was dead for so long is told of what came after.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// How often it is looked whether something that waited may be told.
const TICK: Duration = Duration::from_secs(1);

/// What speaks to one receiver.
pub(super) struct Teller {
    notifier: Notifier,
    receiver: Receiver,
    file: CursorFile,
    cursor: Cursor,
    counts: Arc<Counts>,
    /// Releases of which it is known that sidecars refuse them something.
    refused: BTreeSet<ReleaseId>,
}

impl Teller {
    pub(super) fn new(notifier: &Notifier, receiver: Receiver) -> Self {
        let file = CursorFile::new(&notifier.directory(), &receiver.name);
        let counts = notifier.stats.of(&receiver.name);
        let (notifier, cursor, refused) = (notifier.clone(), Cursor::default(), BTreeSet::new());
        Self { notifier, receiver, file, cursor, counts, refused }
    }

    /// Tells it what it should know, until the controller stops.
    pub(super) async fn run(mut self) {
        let mut view = self.notifier.controller.view();
        let newest = view.borrow().seq;
        self.resume(newest).await;
        loop {
            let shown = Arc::clone(&view.borrow_and_update());
            if self.catch_up(shown.seq).await.is_err() {
                return;
            }
            self.look_at_sidecars(&shown).await;
            while let Some(waited) = {
                let now = self.notifier.clock.now();
                self.cursor.quiet.due(now, self.receiver.quiet)
            } {
                self.tell(&waited).await;
            }
            if self.cursor.quiet.is_waiting() {
                // In time is as good as a change.
                if let Ok(Err(_)) = timeout(TICK, view.changed()).await {
                    return;
                }
            } else if view.changed().await.is_err() {
                return;
            }
        }
    }

    /// Where it stopped. One that is new, or whose journal is another, is told of what comes.
    async fn resume(&mut self, newest: u64) {
        let file = self.file.clone();
        self.cursor = match on_disk(move || file.read()).await {
            Ok(Some(cursor)) if cursor.seq <= newest => cursor,
            Ok(_) => Cursor { seq: newest, ..Cursor::default() },
            Err(error) => {
                let receiver = &self.receiver.name;
                error!(%receiver, %error, "how far it came cannot be read; it is told of what comes");
                Cursor { seq: newest, ..Cursor::default() }
            }
        };
        self.save().await;
    }

    async fn catch_up(&mut self, newest: u64) -> Result<(), CommandError> {
        while self.cursor.seq < newest {
            let page = match self.notifier.controller.events(self.cursor.seq, PAGE).await {
                Ok(page) => page,
                Err(CommandError::Stopped) => return Err(CommandError::Stopped),
                Err(error) => {
                    let receiver = &self.receiver.name;
                    warn!(%receiver, %error, "the journal cannot be read; trying again");
                    sleep(self.notifier.pace.first).await;
                    continue;
                }
            };
            if page.is_empty() {
                break;
            }
            for record in &page {
                if let Some(notice) = notice::of_record(record) {
                    self.consider(&notice).await;
                }
                if let Event::RolledBack { id, .. } | Event::Completed { id, .. } =
                    record.event.event()
                {
                    self.cursor.quiet.forget(id);
                }
                self.cursor.seq = record.seq;
            }
            self.save().await;
        }
        Ok(())
    }

    /// What sidecars refuse is in no record: it is seen, not decided.
    async fn look_at_sidecars(&mut self, view: &DeliveryView) {
        self.refused.retain(|release| view.progress.contains_key(release));
        for release in view.state.running() {
            let Some(progress) = view.progress.get(&release.id) else { continue };
            let seen = &progress.observation.convergence;
            let changed = if seen.refusing > 0 {
                self.refused.insert(release.id.clone())
            } else {
                self.refused.remove(&release.id)
            };
            if changed {
                let now = self.notifier.clock.now();
                let notice =
                    notice::of_sidecars(&release.service, &release.id, seen, view.seq, now);
                self.consider(&notice).await;
            }
        }
    }

    async fn consider(&mut self, notice: &Notice) {
        let Receiver { services, level, quiet, .. } = &self.receiver;
        if notice.service.as_ref().is_some_and(|service| !services.include(service)) {
            return;
        }
        if self.cursor.quiet.admit(notice, *level, *quiet) {
            self.tell(notice).await;
        } else if notice.level >= *level {
            count(&self.counts.quieted);
        }
    }

    /// Insists until the receiver takes it, refuses it for good, or it is news no more.
    async fn tell(&mut self, notice: &Notice) {
        let receiver = &self.receiver.name;
        let mut waits = self.notifier.pace.endless();
        let mut refusals = 0;
        loop {
            let error = match self.post(notice).await {
                Ok(()) => {
                    count(&self.counts.sent);
                    info!(%receiver, event = notice.event, seq = notice.seq, "told");
                    break;
                }
                Err(error) => error,
            };
            count(&self.counts.failed);
            refusals += u32::from(matches!(&error, TellError::Post(post) if post.is_final()));
            let age = self.notifier.clock.now().since(notice.at);
            if refusals >= REFUSALS || age > STALE {
                count(&self.counts.dropped);
                error!(%receiver, event = notice.event, seq = notice.seq, %error, "given up");
                break;
            }
            warn!(%receiver, event = notice.event, seq = notice.seq, %error, "not told; trying again");
            sleep(waits.next().unwrap_or(self.notifier.pace.longest)).await;
        }
        // Of one record there is one thing to tell.
        self.cursor.seq = self.cursor.seq.max(notice.seq);
        self.save().await;
    }

    async fn post(&self, notice: &Notice) -> Result<(), TellError> {
        let url = match &self.receiver.url {
            ReceiverUrl::Plain(url) => url.clone(),
            ReceiverUrl::Secret(place) => secret::read(place).map_err(PostError::from)?,
        };
        let key = format!("{}/{}/{}", self.receiver.name, notice.event, notice.seq);
        let post = Post {
            url: &url,
            body: self.body(notice)?,
            key: &key,
            secret: self.receiver.secret.as_ref(),
            patience: PATIENCE,
        };
        Ok(self.notifier.outbound.post(&post).await?)
    }

    fn body(&self, notice: &Notice) -> Result<Bytes, serde_json::Error> {
        let slack = self.receiver.kind == ReceiverKind::Slack;
        let words = Words::of(notice, if slack { escape_for_slack } else { str::to_owned });
        let rendered = self.receiver.template.as_deref().and_then(|template| {
            let name = &self.receiver.name;
            // Checked with the configuration, so this is one message that it does not fit.
            template::render(template, &words)
                .inspect_err(|error| warn!(receiver = %name, %error, "its template fails"))
                .ok()
        });
        let body = match (self.receiver.kind, rendered) {
            (ReceiverKind::Slack, text) => {
                json!({"text": text.unwrap_or_else(|| template::usual(&words))})
            }
            (ReceiverKind::Webhook, Some(text)) => serde_json::to_value(Words { text, ..words })?,
            (ReceiverKind::Webhook, None) => serde_json::to_value(words)?,
        };
        Ok(serde_json::to_vec(&body)?.into())
    }

    /// If it cannot be written, the receiver is told again after a restart: too often is better
    /// than never.
    async fn save(&self) {
        self.counts.told_up_to.store(self.cursor.seq, Ordering::Relaxed);
        let (file, cursor) = (self.file.clone(), self.cursor.clone());
        if let Err(error) = on_disk(move || file.write(&cursor)).await {
            let receiver = &self.receiver.name;
            error!(%receiver, %error, "how far it came cannot be written");
        }
    }
}

/// Why a message did not arrive.
#[derive(Debug, thiserror::Error)]
enum TellError {
    /// It was not taken.
    #[error(transparent)]
    Post(#[from] PostError),
    /// It cannot be written.
    #[error("the message cannot be written: {0}")]
    Encode(#[from] serde_json::Error),
}

/// Slack's three characters of its own: nobody's words make a link or wake a channel.
fn escape_for_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
