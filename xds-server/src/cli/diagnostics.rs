//! Errors on stderr; those of a configuration with the lines that they refer to.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report,
};
use tidegate::config::{LoadError, Problem, Span};

use super::failure::Failure;

/// Columns of a report: wide, so that a place and its complaint stay on one line.
const WIDTH: usize = 120;

/// Prints to stderr. An error while printing is ignored.
pub(super) fn show(failure: &Failure) {
    let text = match failure {
        Failure::Config(LoadError::Invalid { path, text, problems }) => {
            quoted(path, text, problems)
        }
        other => format!("error: {other}"),
    };
    writeln!(io::stderr().lock(), "{text}").ok();
}

/// Every problem above the line where it stands.
fn quoted(path: &Path, text: &str, problems: &[Problem]) -> String {
    let name = path.display().to_string();
    let theme =
        if io::stderr().is_terminal() { GraphicalTheme::default() } else { GraphicalTheme::none() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_context_lines(1);
    let mut rendered = String::new();
    for problem in problems {
        let Span { offset, length, .. } = problem.span;
        let label = LabeledSpan::underline(offset..offset.saturating_add(length));
        let diagnostic = MietteDiagnostic::new(problem.fault.message.clone())
            .with_help(problem.fault.fix.clone())
            .with_label(label);
        let source = NamedSource::new(&name, text.to_owned());
        let report = Report::new(diagnostic).with_source_code(source);
        if handler.render_report(&mut rendered, report.as_ref()).is_err() {
            rendered.push_str(&format!("{name}:{problem}\n"));
        }
    }
    let count = match problems.len() {
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    format!("{rendered}\nerror: {count} in {name}")
}
