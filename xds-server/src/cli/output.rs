//! Standard output in the format of `-o`: lines, tables, JSON, YAML, names.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::failure::Failure;
use super::terminal::Screen;

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// For people: all columns, however wide
    Wide,
    /// The response of the API, for programs
    Json,
    /// The same as YAML
    Yaml,
    /// One identifier a line, for shells
    Name,
}

/// Prints text and a newline.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Prints indented JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value);
    print(&text.map_err(|error| Failure::Output(error.into()))?)
}

/// Prints a YAML document.
fn yaml(value: &impl Serialize) -> Result<(), Failure> {
    print(yaml_text(value)?.trim_end())
}

/// A YAML document.
pub(super) fn yaml_text(value: &impl Serialize) -> Result<String, Failure> {
    // By way of JSON: records keep the JSON of their event as text.
    let value = serde_json::to_value(value).map_err(|error| Failure::Output(error.into()))?;
    serde_saphyr::to_string(&value).map_err(|error| Failure::Output(io::Error::other(error)))
}

/// Prints a response: itself, or the text for people.
pub(super) fn document(
    format: Format,
    answer: &impl Serialize,
    text: impl FnOnce() -> Result<String, Failure>,
) -> Result<(), Failure> {
    match format {
        Format::Json => json(answer),
        Format::Yaml => yaml(answer),
        Format::Table | Format::Wide | Format::Name => print(&text()?),
    }
}

/// Prints a response that is a list.
pub(super) fn list<const N: usize>(
    format: Format,
    answer: &impl Serialize,
    list: impl FnOnce() -> Result<List<N>, Failure>,
) -> Result<(), Failure> {
    match format {
        Format::Json => json(answer),
        Format::Yaml => yaml(answer),
        Format::Table => print(&list()?.table(Screen::of_stdout().columns)),
        Format::Wide => print(&list()?.wide()),
        Format::Name => list()?.names().try_for_each(print),
    }
}

/// A list for people.
pub(super) struct List<const N: usize> {
    pub(super) heads: [&'static str; N],
    /// The number of first columns that are shown without `-o wide`.
    pub(super) narrow: usize,
    /// Each with its identifier.
    pub(super) rows: Vec<(String, [String; N])>,
    /// What is shown without rows.
    pub(super) none: &'static str,
}

impl<const N: usize> List<N> {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|(name, _)| name.as_str())
    }

    /// The first columns. Cells are wrapped if the table is wider than `columns`.
    pub(super) fn table(&self, columns: Option<usize>) -> String {
        self.text(self.narrow, columns)
    }

    /// All columns.
    pub(super) fn wide(&self) -> String {
        self.text(N, None)
    }

    fn text(&self, shown: usize, columns: Option<usize>) -> String {
        if self.rows.is_empty() {
            return self.none.to_owned();
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(self.heads.iter().take(shown));
        let width = columns.and_then(|columns| u16::try_from(columns).ok());
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width)
            }
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        for (_, cells) in &self.rows {
            table.add_row(cells.iter().take(shown).map(|cell| printable(cell)));
        }
        table.trim_fmt()
    }
}

/// Text without control characters.
pub(super) fn printable(text: &str) -> String {
    text.split(char::is_control).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nodes() -> List<3> {
        let row =
            |name: &str, nack: &str| (name.to_owned(), [name, "demo", nack].map(str::to_owned));
        let nack = "route: a message of Envoy that is longer than a line of the terminal\u{1b}[2J";
        List {
            heads: ["NODE", "FLEET", "NACK"],
            narrow: 2,
            rows: vec![row("edge-1", "-"), row("edge-2", nack)],
            none: "no nodes",
        }
    }

    #[test]
    fn a_table_has_the_first_columns_and_a_wide_one_all() {
        let list = nodes();
        assert_eq!(list.table(None), " NODE    FLEET\n edge-1  demo\n edge-2  demo");
        assert!(list.wide().contains("longer than a line of the terminal [2J"), "{}", list.wide());
        assert_eq!(list.names().collect::<Vec<_>>(), ["edge-1", "edge-2"]);
        let none = List { rows: Vec::new(), ..list };
        assert_eq!(none.wide(), "no nodes");
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let list = List { narrow: 3, ..nodes() };
        for columns in [40, 60, 80] {
            let text = list.table(Some(columns));
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
        }
    }

    #[test]
    fn yaml_is_the_response() {
        let value = json!({"name": "order", "weight_percent": 5.5, "text": "no: \"yes\"\n- 1", "none": null});
        let text = yaml_text(&value).unwrap();
        assert_eq!(serde_saphyr::from_str::<serde_json::Value>(&text).unwrap(), value, "{text}");
    }
}
