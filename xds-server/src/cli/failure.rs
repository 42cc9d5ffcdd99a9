//! Why a command failed, in words that say what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tidegate::api::problem::Details;
use tidegate::config::LoadError;
use tidegate::journal::{Broken, JournalError};

use crate::wiring::ServeError;

/// Why a command failed.
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
    #[error("`{filter}` is no log filter: {source}; write one such as info or tidegate=debug,info")]
    Log { filter: String, source: tracing_subscriber::filter::ParseError },
    /// The control plane does not run, or no longer.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// No threads.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// `--server` does not parse.
    #[error(
        "`{server}` is not the address of a server: {why}; write one such as http://127.0.0.1:8080"
    )]
    Server { server: String, why: String },
    /// Nobody there.
    #[error(
        "cannot reach Tidegate at {server}: {why}; is `tidegate serve` running there? \
         Pass --server or set TIDEGATE_SERVER to ask elsewhere"
    )]
    Unreachable { server: String, why: String },
    /// The server said no.
    #[error("{}: {}", .0.title, .0.detail)]
    Problem(Details),
    /// Something that is no Tidegate answered.
    #[error("{server} does not answer like Tidegate: {why}; is it the API's address?")]
    Strange { server: String, why: String },
    /// The journal was tampered with.
    #[error("the journal does not hold: {0}; what comes after cannot be believed")]
    Chain(Broken),
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
    /// True if whoever read our output has seen enough: `tidegate status | head -1`.
    pub(super) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
