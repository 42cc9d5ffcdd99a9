//! Standard output: lines, JSON, tables.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::failure::Failure;

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// The response of the API, for programs
    Json,
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

/// An aligned table; without rows, `none`.
pub(super) fn table<const N: usize>(
    heads: [&str; N],
    rows: Vec<[String; N]>,
    none: &str,
) -> String {
    if rows.is_empty() {
        return none.to_owned();
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(heads);
    for row in rows {
        table.add_row(row);
    }
    table.trim_fmt()
}
