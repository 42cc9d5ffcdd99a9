//! gRPC health for load balancers and probes: serving from the first publication until the server drains. All services have
//! the same status.
//!
//! Only the messages of tonic-health are used. Its watches never end, so a draining server would wait for them.

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

/// The serving status of the port.
#[derive(Debug, Clone)]
pub(super) struct ServingState {
    snapshots: watch::Receiver<Arc<SnapshotSet>>,
    draining: watch::Receiver<bool>,
}

impl ServingState {
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

    /// Waits until the status differs from `last`; `None` if it will not change any more.
    async fn changed_from(&mut self, last: ServingStatus) -> Option<ServingStatus> {
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
    state: ServingState,
    services: BTreeSet<String>,
}

impl Health {
    /// Health of these services, and of the empty name, which means the server.
    pub(super) fn new(state: ServingState, services: impl Iterator<Item = String>) -> Self {
        Self { state, services: services.chain([String::new()]).collect() }
    }
}

/// The responses of a watch.
type Responses = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl tonic_health::pb::health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.services.contains(&request.get_ref().service) {
            return Err(Status::not_found("this port has no such service"));
        }
        Ok(Response::new(response(self.state.now())))
    }

    type WatchStream = Responses;

    /// Sends the status and each change, and ends when the server drains. An unknown service is not an error in the protocol
    /// but a status; it does not change later.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Responses>, Status> {
        if !self.services.contains(&request.get_ref().service) {
            let unknown = Ok(response(ServingStatus::ServiceUnknown));
            return Ok(Response::new(Box::pin(tokio_stream::once(unknown))));
        }
        let start = (self.state.clone(), ServingStatus::Unknown);
        let responses = unfold(start, |(mut state, last)| async move {
            let next = state.changed_from(last).await?;
            Some((Ok(response(next)), (state, next)))
        });
        Ok(Response::new(Box::pin(responses)))
    }
}
