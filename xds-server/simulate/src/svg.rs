//! A diagram of one run: weight, error rates, evidence and verdicts over time.

use std::fmt::Write as _;

use crate::outcome::{Point, VerdictKind};
use crate::summary::shown;

const WIDTH: f64 = 960.0;
const PANEL: f64 = 130.0;
const GAP: f64 = 34.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 46.0;
const STRIP: f64 = 18.0;
/// Points of a line, at most: more are thinned out.
const MAX_POINTS: usize = 1_000;

/// The name of a line, its colour, and its values.
type Line = (&'static str, &'static str, fn(&Point) -> f64);

/// One panel with its lines.
struct Panel {
    title: &'static str,
    lines: Vec<Line>,
    /// The value at its upper edge.
    most: f64,
    unit: f64,
    suffix: &'static str,
}

/// An SVG document. `title` is escaped.
#[must_use]
pub fn draw(title: &str, points: &[Point]) -> String {
    let end = points.last().map_or(1.0, |it| it.second).max(1.0);
    let rates = points.iter().flat_map(|it| [it.candidate, it.stable]);
    let most_rate = rates.fold(0.001, f64::max).min(1.0);
    let panels = [
        Panel {
            title: "weight of the candidate",
            lines: vec![("candidate", "#1f77b4", |it| it.weight)],
            most: 1.0,
            unit: 100.0,
            suffix: "%",
        },
        Panel {
            title: "error rate in the last 10 to 20 s",
            lines: vec![
                ("candidate", "#d62728", |it| it.candidate),
                ("stable", "#2ca02c", |it| it.stable),
            ],
            most: most_rate,
            unit: 100.0,
            suffix: "%",
        },
        Panel {
            title: "evidence about errors: logarithm of the e-value, as a part of what a rollback needs",
            lines: vec![("evidence", "#9467bd", |it| it.evidence)],
            most: 1.0,
            unit: 100.0,
            suffix: "%",
        },
    ];
    let height = TOP + (PANEL + GAP) * 3.0 + STRIP + 60.0;
    let mut svg = String::new();
    let title = escape(title);
    write(
        &mut svg,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{title}</text>\n"
        ),
    );
    let mut top = TOP;
    for panel in &panels {
        draw_panel(&mut svg, panel, top, points, end);
        top += PANEL + GAP;
    }
    draw_verdicts(&mut svg, top, points, end);
    for quarter in 0..=4_u32 {
        let second = end * f64::from(quarter) / 4.0;
        write(
            &mut svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                x(second, end),
                top + STRIP + 18.0,
                shown(second)
            ),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn x(second: f64, end: f64) -> f64 {
    LEFT + (WIDTH - LEFT - 20.0) * second / end
}

fn draw_panel(svg: &mut String, panel: &Panel, top: f64, points: &[Point], end: f64) {
    let Panel { title, lines, most, unit, suffix } = panel;
    let (bottom, right) = (top + PANEL, WIDTH - 20.0);
    write(
        svg,
        format_args!(
            "<text x=\"{LEFT}\" y=\"{:.1}\">{title}</text>\n\
         <path d=\"M{LEFT} {top:.1}V{bottom:.1}H{right:.1}\" fill=\"none\" stroke=\"#888\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.3}{suffix}</text>\n\
         <text x=\"{:.1}\" y=\"{bottom:.1}\" text-anchor=\"end\">0{suffix}</text>\n",
            top - 6.0,
            LEFT - 6.0,
            top + 10.0,
            most * unit,
            LEFT - 6.0
        ),
    );
    let step = points.len().div_ceil(MAX_POINTS).max(1);
    for (index, (name, colour, value)) in (0_u32..).zip(lines) {
        let mut path = String::new();
        for (number, point) in points.iter().step_by(step).enumerate() {
            let command = if number == 0 { 'M' } else { 'L' };
            let y = bottom - PANEL * (value(point) / most).clamp(0.0, 1.0);
            write(&mut path, format_args!("{command}{:.1} {y:.1}", x(point.second, end)));
        }
        write(
            svg,
            format_args!(
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\" text-anchor=\"end\">{name}</text>\n",
                right - 80.0 * f64::from(index),
                top - 6.0
            ),
        );
    }
}

/// A strip in the colours of the verdicts, with a legend.
fn draw_verdicts(svg: &mut String, top: f64, points: &[Point], end: f64) {
    let mut first = 0.0;
    let mut rest = points.iter().peekable();
    while let Some(point) = rest.next() {
        let next = rest.peek().copied();
        if next.is_some_and(|next| next.verdict == point.verdict) {
            continue;
        }
        let until = next.map_or(end, |next| next.second);
        let width = (x(until, end) - x(first, end)).max(1.0);
        let (colour, name) = shown_verdict(point.verdict);
        write(
            svg,
            format_args!(
                "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{STRIP}\" fill=\"{colour}\"><title>{name}</title></rect>\n",
                x(first, end)
            ),
        );
        first = until;
    }
    let all = [
        VerdictKind::Healthy,
        VerdictKind::Inconclusive,
        VerdictKind::Alert,
        VerdictKind::RollBack,
    ];
    for (index, verdict) in (0_u32..).zip(all) {
        let (colour, name) = shown_verdict(verdict);
        let left = LEFT + 140.0 * f64::from(index);
        let y = top + STRIP + 30.0;
        write(
            svg,
            format_args!(
                "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{name}</text>\n",
                left + 18.0,
                y + 11.0
            ),
        );
    }
}

const fn shown_verdict(verdict: VerdictKind) -> (&'static str, &'static str) {
    match verdict {
        VerdictKind::Healthy => ("#2ca02c", "healthy"),
        VerdictKind::Inconclusive => ("#c7c7c7", "inconclusive"),
        VerdictKind::Alert => ("#ff7f0e", "alert"),
        VerdictKind::RollBack => ("#d62728", "rolls back"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn write(svg: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    svg.write_fmt(text).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(second: u32, verdict: VerdictKind) -> Point {
        let second = f64::from(second);
        Point { second, weight: 0.05, candidate: 0.1, stable: 0.01, evidence: 0.5, verdict }
    }

    #[test]
    fn a_diagram_has_lines_verdicts_and_an_escaped_title() {
        let mut points: Vec<_> =
            (0..5_000).map(|it| point(it, VerdictKind::Inconclusive)).collect();
        points.push(point(5_000, VerdictKind::RollBack));
        let svg = draw("a < b & c", &points);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a &lt; b &amp; c"));
        assert!(svg.contains("<title>rolls back</title>"));
        assert!(svg.len() < 100_000, "{}", svg.len());
        assert!(!svg.contains("NaN"));
        assert!(draw("empty", &[]).ends_with("</svg>\n"));
    }
}
