//! Values with their position in the document, for error messages.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_saphyr::Location;

/// A range in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First line, from 1.
    pub line: u64,
    /// First column, from 1, in characters.
    pub column: u64,
    /// Bytes before it.
    pub offset: usize,
    /// Length in bytes, at least 1.
    pub length: usize,
}

impl Span {
    /// The start of the document, for errors that concern all of it.
    pub const START: Self = Self { line: 1, column: 1, offset: 0, length: 1 };

    /// Computes the offset from line and column, which are all that syntax errors have.
    #[must_use]
    pub fn within(self, text: &str) -> Self {
        if self.offset > 0 {
            return self;
        }
        let nth = |count: u64| usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX);
        let mut lines = text.split_inclusive('\n');
        let before: usize = lines.by_ref().take(nth(self.line)).map(str::len).sum();
        let in_line = lines.next().unwrap_or_default().chars().take(nth(self.column));
        Self { offset: before + in_line.map(char::len_utf8).sum::<usize>(), ..self }
    }

    /// Without what follows its first line.
    pub(super) fn first_line(self, text: &str) -> Self {
        let span = self.within(text);
        let written = text.get(span.offset..).unwrap_or_default();
        let line = written.lines().next().map_or(0, str::len);
        Self { length: span.length.min(line).max(1), ..span }
    }
}

impl From<Location> for Span {
    fn from(location: Location) -> Self {
        let bytes = |count: Option<u64>| count.and_then(|count| usize::try_from(count).ok());
        let span = location.span();
        Self {
            line: location.line().max(1),
            column: location.column().max(1),
            offset: bytes(span.byte_offset()).unwrap_or(0),
            length: bytes(span.byte_len()).unwrap_or(1).max(1),
        }
    }
}

/// A value and its span.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Spanned<T>(serde_saphyr::Spanned<T>);

impl<T> Spanned<T> {
    pub(super) const fn get(&self) -> &T {
        &self.0.value
    }

    pub(super) fn span(&self) -> Span {
        self.0.referenced.into()
    }
}

/// The schema of the value alone.
impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
