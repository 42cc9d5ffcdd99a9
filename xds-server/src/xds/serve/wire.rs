//! Conversion between the Protobuf messages of the two xDS variants and the types of the protocol core.

use prost::Message;
use prost::bytes::BufMut;
use tidegate_proto::envoy::envoy::config::core::v3::Node;
use tidegate_proto::envoy::envoy::service::discovery::v3 as envoy;

use super::codec::Field;
use tidegate_xds::protocol::{
    Delta, DeltaNames, ProtocolError, Request, Response, Scope, Sotw, SotwNames, Variant,
};
use tidegate_xds::resources::Resource;

/// The messages of one xDS variant.
pub trait Wire: Variant {
    /// The request.
    type Message: Message + Default + 'static;

    /// The sender. Only the first request of a stream must contain it.
    fn node(message: &Self::Message) -> Option<&Node>;

    /// Converts a request. Resource locators with dynamic parameters are ignored; no known client sends them.
    ///
    /// # Errors
    /// If the type URL is not one of the scope.
    fn request(message: Self::Message, scope: Scope)
    -> Result<Request<Self::Names>, ProtocolError>;

    /// Encodes a response, its fields in ascending order.
    fn write(response: &Response, buf: &mut impl BufMut);
}

impl Wire for Sotw {
    type Message = envoy::DiscoveryRequest;

    fn node(message: &Self::Message) -> Option<&Node> {
        message.node.as_ref()
    }

    fn request(message: Self::Message, scope: Scope) -> Result<Request<SotwNames>, ProtocolError> {
        Ok(Request {
            kind: scope.kind_of(&message.type_url)?,
            nonce: message.response_nonce,
            error: message.error_detail.map(|error| error.message),
            names: SotwNames {
                names: message.resource_names,
                has_version_info: !message.version_info.is_empty(),
            },
        })
    }

    fn write(response: &Response, buf: &mut impl BufMut) {
        Field::text(1, &response.version).write(buf);
        for resource in &response.resources {
            Field::message(2, &any(resource)).write(buf);
        }
        Field::text(4, response.kind.type_url()).write(buf);
        Field::text(5, &response.nonce).write(buf);
    }
}

impl Wire for Delta {
    type Message = envoy::DeltaDiscoveryRequest;

    fn node(message: &Self::Message) -> Option<&Node> {
        message.node.as_ref()
    }

    fn request(message: Self::Message, scope: Scope) -> Result<Request<DeltaNames>, ProtocolError> {
        Ok(Request {
            kind: scope.kind_of(&message.type_url)?,
            nonce: message.response_nonce,
            error: message.error_detail.map(|error| error.message),
            names: DeltaNames {
                subscribe: message.resource_names_subscribe,
                unsubscribe: message.resource_names_unsubscribe,
                initial_resource_versions: message.initial_resource_versions,
            },
        })
    }

    fn write(response: &Response, buf: &mut impl BufMut) {
        Field::text(1, &response.version).write(buf);
        for resource in &response.resources {
            let any = any(resource);
            let fields = [
                Field::text(1, resource.version()),
                Field::message(2, &any),
                Field::text(3, resource.name()),
            ];
            Field::message(2, &fields).write(buf);
        }
        Field::text(4, response.kind.type_url()).write(buf);
        Field::text(5, &response.nonce).write(buf);
        for name in &response.removed {
            Field::repeated_text(6, name).write(buf);
        }
    }
}

/// The fields of an `Any`. The bytes are borrowed from the shared resource.
fn any(resource: &Resource) -> [Field<'_>; 2] {
    [Field::text(1, resource.kind().type_url()), Field::bytes(2, resource.value())]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tidegate_proto::envoy::google::protobuf::Any;

    use super::*;
    use tidegate_xds::kind::Kind;

    /// Arbitrary responses. Names and contents are empty up to long enough for a length of three bytes.
    fn responses() -> impl Strategy<Value = Response> {
        let name = || prop_oneof![Just(String::new()), "[a-z/é]{1,20}", "[a-z]{120,140}"];
        let body = prop_oneof![
            Just(Vec::new()),
            proptest::collection::vec(proptest::num::u8::ANY, 1..40),
            (100_usize..140).prop_map(|length| vec![7; length]),
            (16_200_usize..16_400).prop_map(|length| vec![7; length]),
        ];
        let resources = proptest::collection::vec((name(), body), 0..4);
        let removed = proptest::collection::vec(name(), 0..4);
        let kind = proptest::sample::select(Kind::ALL.to_vec());
        (kind, name(), name(), resources, removed).prop_map(
            |(kind, version, nonce, resources, removed)| Response {
                kind,
                version: version.into(),
                nonce,
                resources: resources
                    .into_iter()
                    .map(|(name, body)| Arc::new(Resource::encode(kind, &name, &body, Vec::new())))
                    .collect(),
                removed: removed.into_iter().map(Into::into).collect(),
            },
        )
    }

    fn in_any(resource: &Arc<Resource>) -> Any {
        let type_url = resource.kind().type_url().to_owned();
        Any { type_url, value: resource.value().to_vec() }
    }

    fn encoded<W: Wire>(response: &Response) -> Vec<u8> {
        let mut bytes = Vec::new();
        W::write(response, &mut bytes);
        bytes
    }

    proptest! {
        /// The bytes equal those of prost.
        #[test]
        fn sotw_responses_equal_those_of_prost(response in responses()) {
            let message = envoy::DiscoveryResponse {
                version_info: response.version.to_string(),
                resources: response.resources.iter().map(in_any).collect(),
                type_url: response.kind.type_url().to_owned(),
                nonce: response.nonce.clone(),
                ..Default::default()
            };
            let bytes = encoded::<Sotw>(&response);
            prop_assert_eq!(&bytes, &message.encode_to_vec());
            prop_assert_eq!(envoy::DiscoveryResponse::decode(&*bytes).unwrap(), message);
        }

        #[test]
        fn delta_responses_equal_those_of_prost(response in responses()) {
            let resource = |resource: &Arc<Resource>| envoy::Resource {
                name: resource.name().to_string(),
                version: resource.version().to_owned(),
                resource: Some(in_any(resource)),
                ..Default::default()
            };
            let message = envoy::DeltaDiscoveryResponse {
                system_version_info: response.version.to_string(),
                resources: response.resources.iter().map(resource).collect(),
                removed_resources: response.removed.iter().map(ToString::to_string).collect(),
                type_url: response.kind.type_url().to_owned(),
                nonce: response.nonce.clone(),
                ..Default::default()
            };
            let bytes = encoded::<Delta>(&response);
            prop_assert_eq!(&bytes, &message.encode_to_vec());
            prop_assert_eq!(envoy::DeltaDiscoveryResponse::decode(&*bytes).unwrap(), message);
        }
    }
}
