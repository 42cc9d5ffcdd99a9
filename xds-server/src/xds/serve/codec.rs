//! tonic's codec for the xDS streams: prost reads requests, and responses are written straight from
//! the resources that all streams share.

use std::marker::PhantomData;
use std::sync::Arc;

use prost::Message as _;
use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf, EncodeBuf};

use super::wire::Wire;
use tidegate_xds::protocol::Response;
use tidegate_xds::resources::Resource;

/// Where a stream's buffers begin, and are sent at once. Both stay for the life of a stream, and
/// most streams are idle: tonic's own 8 kB each would be most of what a stream costs.
const BUFFER: (usize, usize) = (512, 32 * 1024);
/// What a resource costs beside its bytes and its name: a type URL, a version, lengths. Not
/// much more: what is reserved and not used stays with the stream as well.
const AROUND_A_RESOURCE: usize = 128;

/// The codec of one dialect.
pub(super) struct Codec<W>(PhantomData<fn() -> W>);

impl<W> Default for Codec<W> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<W: Wire> tonic::codec::Codec for Codec<W> {
    type Encode = Response;
    type Decode = W::Message;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<W: Wire> tonic::codec::Encoder for Codec<W> {
    type Item = Response;
    type Error = Status;

    fn encode(&mut self, response: Response, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let length = |resource: &Arc<Resource>| {
            resource.value().len() + resource.name().len() + AROUND_A_RESOURCE
        };
        buf.reserve(response.resources.iter().map(length).sum());
        W::write(&response, buf);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER.0, BUFFER.1)
    }
}

impl<W: Wire> tonic::codec::Decoder for Codec<W> {
    type Item = W::Message;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<W::Message>, Status> {
        let malformed = |error| Status::invalid_argument(format!("no xDS request: {error}"));
        W::Message::decode(buf).map(Some).map_err(malformed)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER.0, BUFFER.1)
    }
}
