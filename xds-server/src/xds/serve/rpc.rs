//! The RPCs: ADS, which carries all types on one stream, and each type on a service of its own, for
//! clients that do not speak ADS. Types that come on different streams cannot be ordered against
//! each other. Nobody polls any more: a `Fetch` is answered as any RPC that is not there.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodRouter, post};
use tonic::server::{Grpc, StreamingService};
use tonic::service::Routes;
use tonic::{Response, Status, Streaming};

use super::Hub;
use super::codec::Codec;
use super::stream::{Replies, open};
use super::wire::Wire;
use tidegate_xds::kind::Kind;
use tidegate_xds::protocol::{self, Delta, Scope, Sotw};

/// Every service, by its name on the wire, and what its methods are named after.
const SERVICES: [(&str, &str, Scope); 6] = [
    ("discovery.v3.AggregatedDiscoveryService", "AggregatedResources", Scope::Aggregated),
    ("cluster.v3.ClusterDiscoveryService", "Clusters", Scope::Only(Kind::Cluster)),
    ("endpoint.v3.EndpointDiscoveryService", "Endpoints", Scope::Only(Kind::Endpoint)),
    ("listener.v3.ListenerDiscoveryService", "Listeners", Scope::Only(Kind::Listener)),
    ("route.v3.RouteDiscoveryService", "Routes", Scope::Only(Kind::Route)),
    (
        "extension.v3.ExtensionConfigDiscoveryService",
        "ExtensionConfigs",
        Scope::Only(Kind::Extension),
    ),
];

/// The services' full names.
pub(super) fn service_names() -> impl Iterator<Item = String> {
    SERVICES.into_iter().map(|(service, ..)| format!("envoy.service.{service}"))
}

/// Every RPC, at its path.
pub(super) fn routes(hub: &Arc<Hub>) -> Routes {
    let add = |router: Router, (service, of, scope): (&str, &str, Scope)| {
        let service = format!("/envoy.service.{service}");
        router
            .route(&format!("{service}/Stream{of}"), rpc::<Sotw>(hub, scope))
            .route(&format!("{service}/Delta{of}"), rpc::<Delta>(hub, scope))
    };
    SERVICES.into_iter().fold(Routes::default().into_axum_router(), add).into()
}

fn rpc<W: Wire>(hub: &Arc<Hub>, scope: Scope) -> MethodRouter {
    let hub = Arc::clone(hub);
    post(move |request: Request| {
        let open = Open::<W> { hub: Arc::clone(&hub), scope, dialect: PhantomData };
        async move { Grpc::new(Codec::<W>::default()).streaming(open, request).await }
    })
}

/// Opens one stream.
struct Open<W> {
    hub: Arc<Hub>,
    scope: Scope,
    dialect: PhantomData<W>,
}

impl<W: Wire> StreamingService<W::Message> for Open<W> {
    type Response = protocol::Response;
    type ResponseStream = Replies;
    type Future = Ready<Result<Response<Replies>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<W::Message>>) -> Self::Future {
        ready(open::<W>(&self.hub, self.scope, request).map(Response::new))
    }
}
