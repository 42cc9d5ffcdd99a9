//! `/events`: the journal in pages, or as a stream. A stream reads the journal, and uses the view only as a notification:
//! no record is missed or repeated, even if the client is slow.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::problem::Problem;
use super::{Api, MAX_STREAMS};
use crate::controller::MAX_PAGE;
use crate::journal::Record;

/// Default number of records in a response.
const PAGE: usize = 100;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/events", get(list)).route("/events/stream", get(stream))
}

/// The range of records.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

type RangeQuery = Result<Query<Range>, QueryRejection>;

fn range(query: RangeQuery) -> Result<Range, Problem> {
    let Query(range) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    match range.limit {
        Some(limit) if !(1..=MAX_PAGE).contains(&limit) => {
            Err(Problem::bad_request(format!("`limit` must be from 1 to {MAX_PAGE}")))
        }
        _ => Ok(range),
    }
}

async fn list(State(api): State<Api>, query: RangeQuery) -> Result<Json<Vec<Record>>, Problem> {
    let range = range(query)?;
    let limit = range.limit.unwrap_or(PAGE);
    Ok(Json(api.backend.events(range.after, limit).await?))
}

async fn stream(
    State(api): State<Api>,
    query: RangeQuery,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let range = range(query)?;
    // EventSource sends the last id when it reconnects.
    let resumed = headers.get("last-event-id");
    let resumed = resumed.and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let permit = api.streams.clone().try_acquire_owned().map_err(|_| {
        let detail = format!("{MAX_STREAMS} event streams are open, the maximum; close one");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-streams", detail)
    })?;
    let follower = Follower {
        api,
        after: resumed.unwrap_or(range.after),
        page: VecDeque::new(),
        _permit: permit,
    };
    let events = unfold(follower, async |mut follower| {
        let record = follower.next().await?;
        let event = Event::default().id(record.seq.to_string());
        let event = event.json_data(&record).ok()?;
        Some((Ok(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// The position of one stream.
struct Follower {
    api: Api,
    after: u64,
    page: VecDeque<Record>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// Waits for the next record. None when the server stops or the journal fails; the client reconnects and resumes.
    async fn next(&mut self) -> Option<Record> {
        let mut view = self.api.backend.view();
        while self.page.is_empty() {
            let after = self.after;
            tokio::select! {
                grown = view.wait_for(|view| view.seq > after) => grown.map(drop).ok()?,
                _ = self.api.stop.wait_for(|stop| *stop) => return None,
            }
            let page = self.api.backend.events(after, PAGE).await;
            self.page = page
                .inspect_err(|error| tracing::warn!(%error, "reading the journal failed: an event stream ends"))
                .ok()?
                .into();
        }
        let record = self.page.pop_front()?;
        self.after = record.seq;
        Some(record)
    }
}
