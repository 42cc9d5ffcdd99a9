//! Server reflection, for `grpcurl` and its like: the report RPC, health, and reflection itself.
//!
//! Envoy's services are served but not described: their descriptors ship with no crate, and whoever
//! calls them has Envoy's own.

use tidegate_proto::DESCRIPTORS;
use tonic_reflection::server::Builder;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use super::MAX_REQUEST;

pub use tonic_reflection::server::Error;

/// The reflection service.
pub(super) fn service() -> Result<ServerReflectionServer<impl ServerReflection>, Error> {
    let service = Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok(service.max_decoding_message_size(MAX_REQUEST))
}
