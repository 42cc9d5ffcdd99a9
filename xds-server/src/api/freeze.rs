//! `/freeze`: the freezes of deployments, and freezing them by hand.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::request::{Change, OptionalBody};
use super::services::find;
use super::views::{BlockerView, FreezeView};
use super::{Answer, Api};
use tidegate_delivery::model::command::Command;
use tidegate_delivery::model::freeze::FreezeWindow;
use tidegate_delivery::names::ServiceName;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/freeze", get(show).put(freeze).delete(unfreeze))
}

/// The freezes of deployments. They do not block rollbacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freezes {
    /// The freeze by hand of all services.
    pub all: Option<FreezeView>,
    /// The freezes by hand of single services.
    pub services: BTreeMap<ServiceName, FreezeView>,
    /// The declared freeze windows, in force or not.
    pub windows: Vec<FreezeWindow>,
    /// The freezes in force, by service.
    pub active: BTreeMap<ServiceName, Vec<BlockerView>>,
}

async fn show(State(api): State<Api>) -> Json<Freezes> {
    let (view, now) = (api.view(), api.backend.now());
    let state = &view.state;
    let mut freezes = Freezes {
        all: state.frozen.as_ref().map(FreezeView::from),
        services: BTreeMap::new(),
        windows: state.freeze_windows.clone(),
        active: BTreeMap::new(),
    };
    for (name, service) in &state.services {
        freezes.services.extend(service.frozen.as_ref().map(|it| (name.clone(), it.into())));
        let active = state.active_freezes(service, now);
        if !active.is_empty() {
            freezes.active.insert(name.clone(), BlockerView::all(&active));
        }
    }
    Json(freezes)
}

/// The scope of a freeze.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    /// Absent: all services.
    service: Option<String>,
    actor: Option<String>,
    reason: Option<String>,
}

async fn freeze(State(api): State<Api>, OptionalBody(scope): OptionalBody<Scope>) -> Answer {
    submit(api, scope, Command::FreezeDeployments).await
}

async fn unfreeze(State(api): State<Api>, OptionalBody(scope): OptionalBody<Scope>) -> Answer {
    submit(api, scope, Command::UnfreezeDeployments).await
}

async fn submit(api: Api, scope: Scope, command: fn(Option<ServiceName>) -> Command) -> Answer {
    let Scope { service, actor, reason } = scope;
    let view = api.view();
    let service = service.map(|name| find(&view, &name).map(|it| it.spec.name.clone()));
    api.answer(command(service.transpose()?), Change { actor, reason }).await
}
