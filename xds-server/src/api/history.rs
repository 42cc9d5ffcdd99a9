//! `GET /services/{s}/releases`: the releases of a service, newest first, read from the journal.

use std::collections::BTreeMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::Api;
use super::problem::Problem;
use super::services::find;
use super::views::{self, PhaseKind};
use crate::controller::MAX_PAGE;
use crate::journal::Record;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::release::RollbackCause;
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::{Timestamp, rfc3339};

/// Default number of releases.
const PAGE: usize = 20;
/// Newest records of the journal that are searched.
const MAX_SEARCHED: u64 = 20_000;

/// The releases of a service, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseHistory {
    pub releases: Vec<PastRelease>,
    /// False if there may be older releases.
    pub complete: bool,
}

/// A release that runs or has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastRelease {
    pub id: ReleaseId,
    pub candidate: VersionName,
    /// The stable version when it started.
    pub stable: VersionName,
    pub phase: PhaseKind,
    #[serde(with = "rfc3339")]
    pub started_at: Timestamp,
    pub started_by: String,
    /// The commit that it deployed, if given.
    pub commit: Option<String>,
    /// When it completed or was rolled back; absent while it runs.
    #[serde(default, with = "rfc3339::option")]
    pub ended_at: Option<Timestamp>,
    /// The cause of its rollback.
    pub cause: Option<RollbackCause>,
}

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/services/{service}/releases", get(history))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    limit: Option<usize>,
}

async fn history(
    State(api): State<Api>,
    Path(service): Path<String>,
    range: Result<Query<Range>, QueryRejection>,
) -> Result<Json<ReleaseHistory>, Problem> {
    let Query(range) = range.map_err(|error| Problem::bad_request(error.body_text()))?;
    let limit = range.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("`limit` must be from 1 to {MAX_PAGE}")));
    }
    let view = api.view();
    let service = find(&view, &service)?;
    let running = service.running().map(|release| views::phase(release).0);
    let mut search = Search::new(service.spec.name.clone(), running);
    let oldest = view.seq.saturating_sub(MAX_SEARCHED);
    let mut before = view.seq;
    while before > oldest && search.releases.len() < limit {
        let after = before.saturating_sub(MAX_PAGE as u64).max(oldest);
        records(&api, after, before).await?.iter().rev().for_each(|record| search.take(record));
        before = after;
    }
    let mut releases = search.releases;
    let complete = before == 0 && releases.len() <= limit;
    releases.truncate(limit);
    Ok(Json(ReleaseHistory { releases, complete }))
}

/// The records after `after`, up to `last`. A page may have fewer than it was asked for.
async fn records(api: &Api, after: u64, last: u64) -> Result<Vec<Record>, Problem> {
    let (mut records, mut after) = (Vec::new(), after);
    while after < last {
        let left = usize::try_from(last - after).unwrap_or(MAX_PAGE);
        let page = api.backend.events(after, left).await?;
        let Some(newest) = page.last() else { break };
        after = newest.seq;
        records.extend(page);
    }
    Ok(records)
}

/// The end of a release.
struct End {
    phase: PhaseKind,
    at: Timestamp,
    cause: Option<RollbackCause>,
}

/// Reads the journal from its end.
struct Search {
    service: ServiceName,
    /// The phase of a release without an end.
    running: Option<PhaseKind>,
    releases: Vec<PastRelease>,
    /// Ends of releases whose start was not read yet.
    ends: BTreeMap<ReleaseId, End>,
    /// The rollback of the release that completed last before.
    restored: Option<End>,
}

impl Search {
    const fn new(service: ServiceName, running: Option<PhaseKind>) -> Self {
        Self { service, running, releases: Vec::new(), ends: BTreeMap::new(), restored: None }
    }

    fn take(&mut self, record: &Record) {
        let event = record.event.event();
        if event.service() != Some(self.service.as_str()) {
            return;
        }
        let at = record.at;
        let rolled_back = |cause: &RollbackCause| {
            let (phase, cause) = (PhaseKind::RolledBack, Some(cause.clone()));
            End { phase, at, cause }
        };
        match event {
            Event::RolledBack { id, cause, .. } => {
                self.ends.insert(id.clone(), rolled_back(cause));
            }
            Event::StableRestored { cause, .. } => self.restored = Some(rolled_back(cause)),
            Event::Completed { id, .. } => {
                let completed = End { phase: PhaseKind::Completed, at, cause: None };
                self.ends.insert(id.clone(), self.restored.take().unwrap_or(completed));
            }
            Event::ReleaseStarted { id, candidate, stable, by, commit, .. } => {
                let end = self.ends.remove(id);
                let phase = end.as_ref().map(|end| end.phase).or(self.running);
                self.releases.push(PastRelease {
                    id: id.clone(),
                    candidate: candidate.clone(),
                    stable: stable.clone(),
                    phase: phase.unwrap_or(PhaseKind::Preparing),
                    started_at: at,
                    started_by: by.clone(),
                    commit: commit.as_ref().and_then(|commit| commit.id.clone()),
                    ended_at: end.as_ref().map(|end| end.at),
                    cause: end.and_then(|end| end.cause),
                });
            }
            _ => {}
        }
    }
}
