//! Protobuf fields, written from borrowed bytes. prost's own messages own all that they hold, so a
//! response made of them would be a copy of every resource for every stream.

use prost::bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

/// A field of a message. All that Tidegate sends is text, bytes and messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    number: u32,
    content: Content<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Content<'a> {
    /// Left out if it is empty, which means the same.
    Singular(&'a [u8]),
    /// One of a list, which is there even if it is empty.
    Item(&'a [u8]),
    /// A message.
    Nested(&'a [Field<'a>]),
}

impl<'a> Field<'a> {
    /// A text.
    pub(super) const fn text(number: u32, text: &'a str) -> Self {
        Self::bytes(number, text.as_bytes())
    }

    /// Bytes.
    pub(super) const fn bytes(number: u32, bytes: &'a [u8]) -> Self {
        Self { number, content: Content::Singular(bytes) }
    }

    /// One text of a list.
    pub(super) const fn item(number: u32, text: &'a str) -> Self {
        Self { number, content: Content::Item(text.as_bytes()) }
    }

    /// A message of these fields.
    pub(super) const fn nested(number: u32, fields: &'a [Self]) -> Self {
        Self { number, content: Content::Nested(fields) }
    }

    /// Writes it.
    pub(super) fn write(&self, buf: &mut impl BufMut) {
        let Some(length) = self.content.length() else {
            return;
        };
        encode_key(self.number, WireType::LengthDelimited, buf);
        encode_varint(length as u64, buf);
        match self.content {
            Content::Singular(bytes) | Content::Item(bytes) => buf.put_slice(bytes),
            Content::Nested(fields) => fields.iter().for_each(|field| field.write(buf)),
        }
    }

    /// How long it is when written.
    fn length(&self) -> usize {
        self.content
            .length()
            .map_or(0, |length| key_len(self.number) + encoded_len_varint(length as u64) + length)
    }
}

impl Content<'_> {
    /// How long it is by itself; `None` if it is left out.
    fn length(&self) -> Option<usize> {
        match self {
            Self::Singular([]) => None,
            Self::Singular(bytes) | Self::Item(bytes) => Some(bytes.len()),
            Self::Nested(fields) => Some(fields.iter().map(Field::length).sum()),
        }
    }
}
