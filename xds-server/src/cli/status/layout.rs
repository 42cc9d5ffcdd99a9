//! The columns of the overview. They fit the screen: long names are cut, and a narrow screen has no bars.

use std::ops::RangeInclusive;

use tidegate_delivery::units::Ppm;

use crate::cli::terminal::{Bars, Screen, Style};
use crate::cli::text::{self, NONE};

/// Spaces between two columns.
const GAP: usize = 2;
/// The width of bars.
const BAR: RangeInclusive<usize> = 5..=20;
/// The width of a bar for which names are cut, as long as they keep [`NAMES`].
const WANTED_BAR: usize = 10;
/// The width of service and version together that no bar takes away.
const NAMES: usize = 32;
/// Columns of a screen that shows the actual share as well.
const WITH_ACTUAL: usize = 100;

/// A version of a service.
pub(super) struct Row {
    /// On the first line of a service.
    pub(super) service: String,
    pub(super) version: String,
    /// Follows the version: ` stable`.
    pub(super) role: &'static str,
    pub(super) weight: Ppm,
    pub(super) bar: Style,
    pub(super) actual: Option<Ppm>,
    pub(super) rate: String,
    pub(super) errors: (Style, String),
    pub(super) p50: String,
    pub(super) p99: (Style, String),
}

/// The widths of the columns.
pub(super) struct Layout {
    screen: Screen,
    service: usize,
    version: usize,
    weight: usize,
    /// Absent without bars.
    bar: Option<usize>,
    /// Absent if it is not shown.
    actual: Option<usize>,
    numbers: [usize; 4],
}

const HEADS: [&str; 4] = ["REQ/S", "ERRORS", "P50", "P99"];

impl Row {
    fn numbers(&self) -> [(Style, &str); 4] {
        [
            (Style::Plain, &self.rate),
            (self.errors.0, &self.errors.1),
            (Style::Plain, &self.p50),
            (self.p99.0, &self.p99.1),
        ]
    }

    fn actual(&self) -> String {
        self.actual.map_or_else(|| NONE.to_owned(), text::share)
    }
}

fn width<'a>(head: &'a str, cells: impl Iterator<Item = &'a str>) -> usize {
    cells.chain([head]).map(|cell| cell.chars().count()).max().unwrap_or(0)
}

impl Layout {
    pub(super) fn of(rows: &[&Row], screen: Screen) -> Self {
        let service = width("SERVICE", rows.iter().map(|row| row.service.as_str()));
        let versions: Vec<_> = rows.iter().map(|row| row.version.clone() + row.role).collect();
        let version = width("VERSION", versions.iter().map(String::as_str));
        let weights: Vec<_> = rows.iter().map(|row| text::share(row.weight)).collect();
        let weight = width("WEIGHT", weights.iter().map(String::as_str));
        let mut numbers = HEADS.map(str::len);
        for row in rows {
            for (width, (_, cell)) in numbers.iter_mut().zip(row.numbers()) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let actuals: Vec<_> = rows.iter().map(|row| row.actual()).collect();
        let actual = width("ACTUAL", actuals.iter().map(String::as_str));
        let actual = screen.columns.is_none_or(|it| it >= WITH_ACTUAL).then_some(actual);
        let layout = Self { screen, service, version, weight, bar: None, actual, numbers };
        match screen.columns {
            Some(columns) => layout.fitted(columns),
            None => layout,
        }
    }

    /// Names are cut for the bar, which takes what they leave.
    fn fitted(mut self, columns: usize) -> Self {
        let others = self.weight + self.actual.map_or(0, |width| GAP + width);
        let others = others + self.numbers.iter().map(|width| GAP + width).sum::<usize>();
        let room = columns.saturating_sub(others + 2 * GAP);
        let has_bars = self.screen.bars != Bars::None;
        let for_bar = if has_bars { WANTED_BAR + GAP } else { 0 };
        let names = room.saturating_sub(for_bar).max(NAMES).min(room);
        if self.service + self.version > names {
            self.version = self.version.min((names / 2).max(names.saturating_sub(self.service)));
            self.service = self.service.min(names.saturating_sub(self.version));
        }
        let left = room.saturating_sub(self.service + self.version + GAP).min(*BAR.end());
        self.bar = (has_bars && left >= *BAR.start()).then_some(left);
        self
    }

    pub(super) fn heads(&self) -> String {
        let mut line = Cells::new(self.screen);
        line.left(Style::Bold, "SERVICE", self.service);
        line.left(Style::Bold, "VERSION", self.version);
        line.right(Style::Bold, "WEIGHT", self.weight);
        self.bar.inspect(|width| line.left(Style::Plain, "", *width));
        self.actual.inspect(|width| line.right(Style::Bold, "ACTUAL", *width));
        for (head, width) in HEADS.iter().zip(self.numbers) {
            line.right(Style::Bold, head, width);
        }
        line.end()
    }

    pub(super) fn row(&self, row: &Row) -> String {
        let mut line = Cells::new(self.screen);
        line.left(Style::Bold, &row.service, self.service);
        // The name is cut, not the role.
        let name = self.version.saturating_sub(row.role.len());
        let version = self.screen.clip(&row.version, name) + row.role;
        line.left(Style::Plain, &version, self.version);
        line.right(Style::Plain, &text::share(row.weight), self.weight);
        self.bar.inspect(|width| {
            line.left(row.bar, &self.screen.bar(row.weight.fraction(), *width), *width);
        });
        self.actual.inspect(|width| line.right(Style::Plain, &row.actual(), *width));
        for ((style, number), width) in row.numbers().into_iter().zip(self.numbers) {
            line.right(style, number, width);
        }
        line.end()
    }
}

/// The cells of a line.
struct Cells {
    screen: Screen,
    line: String,
}

impl Cells {
    const fn new(screen: Screen) -> Self {
        Self { screen, line: String::new() }
    }

    fn left(&mut self, style: Style, text: &str, width: usize) {
        self.add(style, text, width, false);
    }

    fn right(&mut self, style: Style, text: &str, width: usize) {
        self.add(style, text, width, true);
    }

    fn add(&mut self, style: Style, text: &str, width: usize, is_right: bool) {
        if !self.line.is_empty() {
            self.line += &" ".repeat(GAP);
        }
        let text = self.screen.clip(text, width);
        let padding = " ".repeat(width.saturating_sub(text.chars().count()));
        let text = self.screen.paint(style, &text);
        self.line += &if is_right { padding + &text } else { text + &padding };
    }

    fn end(self) -> String {
        self.line.trim_end().to_owned()
    }
}
