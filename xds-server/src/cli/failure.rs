//! Errors of the commands, each with a suggested fix, and their output on stderr. Errors of a configuration are printed
//! with the lines that they refer to.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report,
};
use tidegate::api::problem::Details;
use tidegate::config::{FileError, LoadError, Problem, Span};
use tidegate::journal::{ChainError, JournalError};

use crate::wiring::ServeError;

/// Columns of a report: a place and its message fit on one line.
const WIDTH: usize = 120;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Config(#[from] LoadError),
    /// The port is in use, or the address is not of this machine.
    #[error(
        "cannot listen on {address} for {what}: {source}; is another tidegate running? \
         Stop it, or change `listen: {{{key}: …}}` in the configuration"
    )]
    Bind { what: &'static str, key: &'static str, address: SocketAddr, source: io::Error },
    /// The log filter does not parse.
    #[error("`{filter}` is not a log filter: {source}; examples are info and tidegate=debug,info")]
    Log { filter: String, source: tracing_subscriber::filter::ParseError },
    /// The control plane failed to start, or failed later.
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    /// `--server` does not parse.
    #[error("`{server}` is not a server address: {why}; an example is http://127.0.0.1:8080")]
    Server { server: String, why: String },
    /// No connection to the server.
    #[error(
        "cannot reach Tidegate at {server}: {why}; is `tidegate serve` running there? \
         Pass --server or set TIDEGATE_SERVER for another address"
    )]
    Unreachable { server: String, why: String },
    /// The server answered with problem details.
    #[error("{}: {}", .0.title, .0.detail)]
    Problem(Details),
    /// A configuration takes away something that serves traffic. Its changes are printed already.
    #[error("{0}")]
    TakesAway(String),
    /// The response is not one of the Tidegate API.
    #[error(
        "the response of {server} is not one of the Tidegate API: {why}; check that --server is the address of `listen.api`"
    )]
    UnexpectedResponse { server: String, why: String },
    /// The journal was tampered with.
    #[error("the hash chain of the journal is broken: {0}; later records are not verified")]
    Chain(ChainError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file of the command line cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Invalid input, with a suggested fix.
    #[error("{0}")]
    Input(String),
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

impl Failure {
    /// True if the reader of stdout closed the pipe: `tidegate status | head -1`.
    pub(super) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// See the [module](super).
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::TakesAway(_) => 2,
            _ => 1,
        }
    }

    /// Prints the error to stderr; a failure to print is ignored.
    pub(super) fn print(&self) {
        let text = match self {
            Self::Config(LoadError::Invalid { path, text, problems }) => {
                quoted(path, text, problems)
            }
            other => format!("error: {other}"),
        };
        writeln!(io::stderr().lock(), "{text}").ok();
    }
}

/// Each problem with the line that it refers to.
fn quoted(path: &Path, text: &str, problems: &[Problem]) -> String {
    let rendered: String =
        problems.iter().map(|problem| quoted_problem(path, text, problem)).collect();
    let count = match problems.len() {
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    format!("{rendered}\nerror: {count} in {}", path.display())
}

/// A problem with the line that it refers to.
pub(super) fn quoted_problem(path: &Path, text: &str, problem: &Problem) -> String {
    let name = path.display().to_string();
    let theme =
        if io::stderr().is_terminal() { GraphicalTheme::default() } else { GraphicalTheme::none() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_context_lines(1);
    let mut rendered = String::new();
    let Span { offset, length, .. } = problem.span;
    let label = LabeledSpan::underline(offset..offset.saturating_add(length));
    let diagnostic = MietteDiagnostic::new(problem.fault.message.clone())
        .with_help(problem.fault.fix.clone())
        .with_label(label);
    let source = NamedSource::new(&name, text.to_owned());
    let report = Report::new(diagnostic).with_source_code(source);
    match handler.render_report(&mut rendered, report.as_ref()) {
        Ok(()) => rendered,
        Err(_) => format!("{name}:{problem}\n"),
    }
}
