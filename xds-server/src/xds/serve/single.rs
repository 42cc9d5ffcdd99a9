//! Each type on a service of its own, for clients that do not speak ADS. Types that come on
//! different streams cannot be ordered against each other.

use tidegate_proto::envoy::envoy::service;
use tidegate_proto::envoy::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse,
};
use tonic::{Request, Response, Status, Streaming};

use super::Adapter;
use super::stream::{Replies, open};
use crate::xds::kind::Kind;
use crate::xds::protocol::{Delta, Scope, Sotw};

/// The five services differ only in their names.
macro_rules! service {
    ($kind:ident: $trait:path {
        $sotw:ident -> $sotw_stream:ident, $delta:ident -> $delta_stream:ident, $fetch:ident
    }) => {
        #[tonic::async_trait]
        impl $trait for Adapter {
            type $sotw_stream = Replies<Sotw>;
            type $delta_stream = Replies<Delta>;

            async fn $sotw(
                &self,
                request: Request<Streaming<DiscoveryRequest>>,
            ) -> Result<Response<Self::$sotw_stream>, Status> {
                open::<Sotw>(&self.hub, Scope::Only(Kind::$kind), request.into_inner())
                    .map(Response::new)
            }

            async fn $delta(
                &self,
                request: Request<Streaming<DeltaDiscoveryRequest>>,
            ) -> Result<Response<Self::$delta_stream>, Status> {
                open::<Delta>(&self.hub, Scope::Only(Kind::$kind), request.into_inner())
                    .map(Response::new)
            }

            async fn $fetch(
                &self,
                _: Request<DiscoveryRequest>,
            ) -> Result<Response<DiscoveryResponse>, Status> {
                Err(Status::unimplemented("polling is not served; open a stream"))
            }
        }
    };
}

service!(Cluster: service::cluster::v3::cluster_discovery_service_server::ClusterDiscoveryService {
    stream_clusters -> StreamClustersStream, delta_clusters -> DeltaClustersStream, fetch_clusters
});
service!(Endpoint: service::endpoint::v3::endpoint_discovery_service_server::EndpointDiscoveryService {
    stream_endpoints -> StreamEndpointsStream, delta_endpoints -> DeltaEndpointsStream, fetch_endpoints
});
service!(Listener: service::listener::v3::listener_discovery_service_server::ListenerDiscoveryService {
    stream_listeners -> StreamListenersStream, delta_listeners -> DeltaListenersStream, fetch_listeners
});
service!(Route: service::route::v3::route_discovery_service_server::RouteDiscoveryService {
    stream_routes -> StreamRoutesStream, delta_routes -> DeltaRoutesStream, fetch_routes
});
service!(Extension: service::extension::v3::extension_config_discovery_service_server::ExtensionConfigDiscoveryService {
    stream_extension_configs -> StreamExtensionConfigsStream,
    delta_extension_configs -> DeltaExtensionConfigsStream, fetch_extension_configs
});
