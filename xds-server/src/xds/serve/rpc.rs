//! The RPCs: ADS, which carries all types on one stream, and a discovery service for each type, for clients without ADS.
//! The order of updates across types is guaranteed on one stream only. The unary `Fetch` RPCs are not implemented.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodRouter, post};
use tonic::server::{Grpc, StreamingService};
use tonic::service::Routes;
use tonic::{Response, Status, Streaming};

use super::Shared;
use super::codec::Codec;
use super::stream::{Responses, open};
use super::wire::Wire;
use tidegate_xds::kind::Kind;
use tidegate_xds::protocol::{self, Delta, Scope, Sotw};

/// The name of every service, and the suffix of its method names.
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

/// The full names of the services.
pub(super) fn service_names() -> impl Iterator<Item = String> {
    SERVICES.into_iter().map(|(service, ..)| format!("envoy.service.{service}"))
}

/// All RPCs.
pub(super) fn routes(shared: &Arc<Shared>) -> Routes {
    let add = |router: Router, (service, suffix, scope): (&str, &str, Scope)| {
        let service = format!("/envoy.service.{service}");
        router
            .route(&format!("{service}/Stream{suffix}"), rpc::<Sotw>(shared, scope))
            .route(&format!("{service}/Delta{suffix}"), rpc::<Delta>(shared, scope))
    };
    SERVICES.into_iter().fold(Routes::default().into_axum_router(), add).into()
}

fn rpc<W: Wire>(shared: &Arc<Shared>, scope: Scope) -> MethodRouter {
    let shared = Arc::clone(shared);
    post(move |request: Request| {
        let open = OpenStream::<W> { shared: Arc::clone(&shared), scope, variant: PhantomData };
        async move { Grpc::new(Codec::<W>::default()).streaming(open, request).await }
    })
}

/// The tonic service that opens one stream.
struct OpenStream<W> {
    shared: Arc<Shared>,
    scope: Scope,
    variant: PhantomData<W>,
}

impl<W: Wire> StreamingService<W::Message> for OpenStream<W> {
    type Response = protocol::Response;
    type ResponseStream = Responses;
    type Future = Ready<Result<Response<Responses>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<W::Message>>) -> Self::Future {
        ready(open::<W>(&self.shared, self.scope, request).map(Response::new))
    }
}
