//! Errors of the commands, each with a suggested fix, and their output on stderr. Errors of a configuration are printed
//! with the lines that they refer to.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report,
};
use tidegate::api::problem::Details;
use tidegate::config::{LoadError, Problem, Span};
use tidegate::files::FileError;
use tidegate::istio::applied::AppliedProblem;
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
    /// The server, or a proxy before it, asks for a token or refuses the one that was sent.
    #[error(
        "{server} answered with status {status}: pass a token that it accepts with --token-file"
    )]
    Denied { server: String, status: u16 },
    /// The operator answered a question with no.
    #[error("not confirmed; nothing was changed")]
    Declined,
    /// A configuration takes away something that serves traffic. Its changes are printed already.
    #[error("{0}")]
    TakesAway(String),
    /// The response is not one of the Tidegate API.
    #[error(
        "the response of {server} is not one of the Tidegate API: {why}; check that --server is the address of `listen.api`"
    )]
    UnexpectedResponse { server: String, why: String },
    /// The awaited release was rolled back.
    #[error("release `{release}` was rolled back: {cause}")]
    RolledBack { release: String, cause: String },
    /// The awaited release needs an operator.
    #[error("release `{release}` waits for an operator: {blockers}; --through-pauses waits on")]
    Paused { release: String, blockers: String },
    /// The awaited release did not get there in time. It continues.
    #[error(
        "release `{release}` has not reached {goal} after {}; it continues. Raise --timeout, or see \
         `tidegate release explain`",
        humantime::format_duration(*.timeout)
    )]
    TimedOut { release: String, goal: String, timeout: Duration },
    /// The journal was tampered with.
    #[error("the hash chain of the journal is broken: {0}; later records are not verified")]
    Chain(ChainError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file of the command line cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Objects of an Istio mesh do not fit the configuration.
    #[error("{}\n\nerror: {} in {}", lines(problems), counted(problems.len()), dir.display())]
    Applied {
        /// Where they were read.
        dir: PathBuf,
        problems: Vec<AppliedProblem>,
    },
    /// The man pages cannot be written.
    #[error("cannot write to {}: {source}; the directory must exist", path.display())]
    ManPages { path: PathBuf, source: io::Error },
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
            Self::RolledBack { .. } => 3,
            Self::Paused { .. } => 4,
            Self::TimedOut { .. } => 5,
            Self::Unreachable { .. } => 6,
            _ => 1,
        }
    }

    /// Prints the error to stderr; a failure to print is ignored.
    pub(super) fn print(&self) {
        let text = match self {
            Self::Config(LoadError::Invalid { path, text, problems }) => {
                quoted(path, text, problems)
            }
            Self::Applied { .. } => self.to_string(),
            other => format!("error: {other}"),
        };
        writeln!(io::stderr().lock(), "{text}").ok();
    }
}

fn counted(problems: usize) -> String {
    match problems {
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    }
}

fn lines(problems: &[AppliedProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
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
