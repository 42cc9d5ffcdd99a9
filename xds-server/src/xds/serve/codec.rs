//! tonic's codec for the xDS streams. prost decodes requests. Responses are encoded from the bytes of resources that all
//! streams share: prost's messages own their content, so they would copy every resource for every stream.

use std::marker::PhantomData;
use std::sync::Arc;

use prost::Message as _;
use prost::bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf, EncodeBuf};

use super::wire::Wire;
use tidegate_xds::protocol::Response;
use tidegate_xds::resources::Resource;

/// Initial size of a stream's buffers, and the size at which they are flushed, in bytes. Buffers stay allocated for the
/// life of a stream, and most streams are idle; tonic's default of 8 kB each would be most of a stream's memory.
const BUFFER_SIZE: usize = 512;
const FLUSH_THRESHOLD: usize = 32 * 1024;
/// Bytes to reserve for a resource beyond its content and name: type URL, version and lengths. Reserved bytes stay
/// allocated too, so the estimate is tight.
const RESOURCE_OVERHEAD: usize = 128;

/// The codec of one xDS variant.
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
            resource.value().len() + resource.name().len() + RESOURCE_OVERHEAD
        };
        buf.reserve(response.resources.iter().map(length).sum());
        W::write(&response, buf);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_SIZE, FLUSH_THRESHOLD)
    }
}

impl<W: Wire> tonic::codec::Decoder for Codec<W> {
    type Item = W::Message;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<W::Message>, Status> {
        let malformed = |error| {
            Status::invalid_argument(format!("the message is not a discovery request: {error}"))
        };
        W::Message::decode(buf).map(Some).map_err(malformed)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_SIZE, FLUSH_THRESHOLD)
    }
}

/// A length-delimited Protobuf field with borrowed content. Responses have no other wire type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    number: u32,
    content: Content<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Content<'a> {
    /// Omitted if it is empty, which is the default value.
    Singular(&'a [u8]),
    /// An element of a repeated field, encoded even if it is empty.
    Element(&'a [u8]),
    Message(&'a [Field<'a>]),
}

impl<'a> Field<'a> {
    pub(super) const fn text(number: u32, text: &'a str) -> Self {
        Self::bytes(number, text.as_bytes())
    }

    pub(super) const fn bytes(number: u32, bytes: &'a [u8]) -> Self {
        Self { number, content: Content::Singular(bytes) }
    }

    pub(super) const fn repeated_text(number: u32, text: &'a str) -> Self {
        Self { number, content: Content::Element(text.as_bytes()) }
    }

    pub(super) const fn message(number: u32, fields: &'a [Self]) -> Self {
        Self { number, content: Content::Message(fields) }
    }

    pub(super) fn write(&self, buf: &mut impl BufMut) {
        let Some(length) = self.content.length() else {
            return;
        };
        encode_key(self.number, WireType::LengthDelimited, buf);
        encode_varint(length as u64, buf);
        match self.content {
            Content::Singular(bytes) | Content::Element(bytes) => buf.put_slice(bytes),
            Content::Message(fields) => fields.iter().for_each(|field| field.write(buf)),
        }
    }

    /// The encoded length, with key and length prefix.
    fn length(&self) -> usize {
        self.content
            .length()
            .map_or(0, |length| key_len(self.number) + encoded_len_varint(length as u64) + length)
    }
}

impl Content<'_> {
    /// The length without key and length prefix; `None` if the field is omitted.
    fn length(&self) -> Option<usize> {
        match self {
            Self::Singular([]) => None,
            Self::Singular(bytes) | Self::Element(bytes) => Some(bytes.len()),
            Self::Message(fields) => Some(fields.iter().map(Field::length).sum()),
        }
    }
}
