//! Errors of the commands, each with a suggested fix.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tidegate::api::problem::Details;
use tidegate::config::LoadError;
use tidegate::journal::{ChainError, JournalError};

use crate::wiring::ServeError;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// A port that is taken, or an address that is not ours.
    #[error(
        "cannot listen on {address} for {what}: {source}; is another tidegate running? \
         Stop it, or change `listen: {{{key}: …}}` in the configuration"
    )]
    Bind { what: &'static str, key: &'static str, address: SocketAddr, source: io::Error },
    /// The log filter does not parse.
    #[error("`{filter}` is not a log filter: {source}; examples are info and tidegate=debug,info")]
    Log { filter: String, source: tracing_subscriber::filter::ParseError },
    /// The control plane does not run, or no longer.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// No threads.
    #[error("cannot start: {0}")]
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
    /// The answer is not one of the Tidegate API.
    #[error(
        "{server} did not answer as the Tidegate API does: {why}; check that --server is the address of `listen.api`"
    )]
    Strange { server: String, why: String },
    /// The journal was tampered with.
    #[error("the hash chain of the journal is broken: {0}; later records are not verified")]
    Chain(ChainError),
    /// A journal that cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file that is named on the command line.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// What was given is not what is needed.
    #[error("{0}")]
    Input(String),
    /// Standard output.
    #[error("cannot write: {0}")]
    Output(io::Error),
}

impl Failure {
    /// True if the reader of stdout closed the pipe: `tidegate status | head -1`.
    pub(super) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
