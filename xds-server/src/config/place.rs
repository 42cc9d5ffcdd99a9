//! Values that remember where in the file they stood, so that every complaint can point there.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

/// Where something stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    /// From the beginning of the file, in bytes.
    pub offset: usize,
    /// In bytes; at least 1, so that there is something to underline.
    pub length: usize,
}

impl Place {
    /// The beginning of the file: for what is wrong with the whole of it.
    pub const START: Self = Self { line: 1, column: 1, offset: 0, length: 1 };

    /// The same, in this text. Of what is no YAML at all the parser tells line and column only.
    pub(super) fn within(self, text: &str) -> Self {
        if self.offset > 0 {
            return self;
        }
        let nth = |count: u64| usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX);
        let mut lines = text.split_inclusive('\n');
        let before: usize = lines.by_ref().take(nth(self.line)).map(str::len).sum();
        let in_line = lines.next().unwrap_or_default().chars().take(nth(self.column));
        Self { offset: before + in_line.map(char::len_utf8).sum::<usize>(), ..self }
    }
}

impl From<Location> for Place {
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

/// A value and its place.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct At<T>(Spanned<T>);

impl<T> At<T> {
    /// The value.
    pub(super) const fn get(&self) -> &T {
        &self.0.value
    }

    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        self.0.referenced.into()
    }
}

/// To the schema the place is invisible.
impl<T: JsonSchema> JsonSchema for At<T> {
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
