//! gRPC health, as load balancers and probes ask for it: serving from the first publication until
//! the server drains. All services live and end together, so all have the same answer.
//!
//! tonic-health's own service is not used, only its messages: its watches never end, and a server
//! that drains would wait for them.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::unfold;
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use tidegate_xds::resources::SnapshotSet;

/// Whether the port serves, now and whenever that changes.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    snapshots: watch::Receiver<Arc<SnapshotSet>>,
    draining: watch::Receiver<bool>,
}

impl Standing {
    pub(super) const fn new(
        snapshots: watch::Receiver<Arc<SnapshotSet>>,
        draining: watch::Receiver<bool>,
    ) -> Self {
        Self { snapshots, draining }
    }

    fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    fn now(&self) -> ServingStatus {
        if self.is_draining() || self.snapshots.borrow().serial() == 0 {
            ServingStatus::NotServing
        } else {
            ServingStatus::Serving
        }
    }

    /// Waits until it is something else than `last`; `None` if it will change no more.
    async fn after(&mut self, last: ServingStatus) -> Option<ServingStatus> {
        loop {
            let now = self.now();
            if now != last {
                return Some(now);
            }
            if self.is_draining() {
                return None;
            }
            tokio::select! {
                changed = self.snapshots.changed() => changed.ok()?,
                changed = self.draining.changed() => changed.ok()?,
            }
        }
    }
}

/// The health service.
#[derive(Debug)]
pub(super) struct Health {
    standing: Standing,
    services: BTreeSet<String>,
}

impl Health {
    /// Answers for these services, and for the empty name, which means the whole server.
    pub(super) fn new(standing: Standing, services: impl Iterator<Item = String>) -> Self {
        Self { standing, services: services.chain([String::new()]).collect() }
    }
}

/// What a watch says.
type Answers = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl tonic_health::pb::health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.services.contains(&request.get_ref().service) {
            return Err(Status::not_found("there is no such service here"));
        }
        Ok(Response::new(answer(self.standing.now())))
    }

    type WatchStream = Answers;

    /// Says how it stands, and each change; ends when the server drains. A service that is not
    /// there is no error: the protocol has a status for it, and it will not come later.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Answers>, Status> {
        if !self.services.contains(&request.get_ref().service) {
            let unknown = Ok(answer(ServingStatus::ServiceUnknown));
            return Ok(Response::new(Box::pin(tokio_stream::once(unknown))));
        }
        let begin = (self.standing.clone(), ServingStatus::Unknown);
        let answers = unfold(begin, |(mut standing, last)| async move {
            let next = standing.after(last).await?;
            Some((Ok(answer(next)), (standing, next)))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}
