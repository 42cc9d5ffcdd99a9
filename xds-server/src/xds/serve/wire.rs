//! The wire's two formats, to and from the protocol's own words.

use std::sync::Arc;

use tidegate_proto::envoy::envoy::config::core::v3::Node;
use tidegate_proto::envoy::envoy::service::discovery::v3 as envoy;
use tidegate_proto::envoy::google::protobuf::Any;

use crate::xds::kind::Kind;
use crate::xds::protocol::{
    Delta, DeltaNames, Dialect, Refusal, Request, Response, Scope, Sotw, SotwNames,
};
use crate::xds::resources::Resource;

/// A dialect's messages.
pub(super) trait Wire: Dialect {
    /// Its request.
    type Message: Send + 'static;
    /// Its response.
    type Reply: Send + 'static;

    /// Who sent it; only the first request has to say so.
    fn node(message: &Self::Message) -> Option<&Node>;

    /// The request. Locators and dynamic parameters are not implemented by anyone: passed over.
    fn request(message: Self::Message, scope: Scope) -> Result<Request<Self::Names>, Refusal>;

    /// The response.
    fn reply(response: Response) -> Self::Reply;
}

impl Wire for Sotw {
    type Message = envoy::DiscoveryRequest;
    type Reply = envoy::DiscoveryResponse;

    fn node(message: &Self::Message) -> Option<&Node> {
        message.node.as_ref()
    }

    fn request(message: Self::Message, scope: Scope) -> Result<Request<SotwNames>, Refusal> {
        Ok(Request {
            kind: scope.kind_of(&message.type_url)?,
            nonce: message.response_nonce,
            error: message.error_detail.map(|error| error.message),
            names: SotwNames {
                names: message.resource_names,
                accepted: !message.version_info.is_empty(),
            },
        })
    }

    fn reply(response: Response) -> Self::Reply {
        envoy::DiscoveryResponse {
            version_info: response.version.into(),
            resources: response.resources.iter().map(any).collect(),
            type_url: response.kind.type_url().to_owned(),
            nonce: response.nonce,
            ..Default::default()
        }
    }
}

impl Wire for Delta {
    type Message = envoy::DeltaDiscoveryRequest;
    type Reply = envoy::DeltaDiscoveryResponse;

    fn node(message: &Self::Message) -> Option<&Node> {
        message.node.as_ref()
    }

    fn request(message: Self::Message, scope: Scope) -> Result<Request<DeltaNames>, Refusal> {
        Ok(Request {
            kind: scope.kind_of(&message.type_url)?,
            nonce: message.response_nonce,
            error: message.error_detail.map(|error| error.message),
            names: DeltaNames {
                subscribe: message.resource_names_subscribe,
                unsubscribe: message.resource_names_unsubscribe,
                held: message.initial_resource_versions,
            },
        })
    }

    fn reply(response: Response) -> Self::Reply {
        let resource = |resource: &Arc<Resource>| envoy::Resource {
            name: resource.name().to_string(),
            version: resource.version().to_owned(),
            resource: Some(any(resource)),
            ..Default::default()
        };
        envoy::DeltaDiscoveryResponse {
            system_version_info: response.version.into(),
            resources: response.resources.iter().map(resource).collect(),
            removed_resources: response.removed.iter().map(ToString::to_string).collect(),
            type_url: response.kind.type_url().to_owned(),
            nonce: response.nonce,
            ..Default::default()
        }
    }
}

fn any(resource: &Arc<Resource>) -> Any {
    let kind: Kind = resource.kind();
    Any { type_url: kind.type_url().to_owned(), value: resource.value().to_vec() }
}
