//! ADS: all types on one stream.

use tidegate_proto::envoy::envoy::service::discovery::v3::aggregated_discovery_service_server::AggregatedDiscoveryService;
use tidegate_proto::envoy::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DiscoveryRequest,
};
use tonic::{Request, Response, Status, Streaming};

use super::Adapter;
use super::stream::{Replies, open};
use crate::xds::protocol::{Delta, Scope, Sotw};

#[tonic::async_trait]
impl AggregatedDiscoveryService for Adapter {
    type StreamAggregatedResourcesStream = Replies<Sotw>;
    type DeltaAggregatedResourcesStream = Replies<Delta>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        open::<Sotw>(&self.hub, Scope::Aggregated, request.into_inner()).map(Response::new)
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        open::<Delta>(&self.hub, Scope::Aggregated, request.into_inner()).map(Response::new)
    }
}
