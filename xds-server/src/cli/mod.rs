//! The command line, one file per command. Exit codes: 0 success, 1 failure with a message on stderr, 2 usage error.

mod apply;
mod audit;
mod client;
mod diagnostics;
mod envoy;
mod failure;
mod flag;
mod freeze;
mod group;
mod logs;
mod nodes;
mod output;
mod release;
mod report;
mod schema;
mod serve;
mod status;
mod times;
mod validate;
mod version;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// Progressive delivery for Envoy: canary and blue/green releases with automatic rollback.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control plane: xDS and reports on one port, REST and metrics on another
    Serve(serve::Args),
    /// Check a configuration file and print every error with file, line, column and a suggested fix
    Validate(validate::Args),
    /// Apply a configuration to a running server
    Apply(apply::Args),
    /// Print the JSON Schema of the configuration file
    Schema,
    /// Show services, their releases and what blocks them
    Status(status::Args),
    /// Start, promote, pause, resume, approve, abort, roll back or explain releases
    Release(release::Args),
    /// Report check results and signals for a version, or lift its quarantine
    Version(version::Args),
    /// Freeze and unfreeze deployments; rollbacks are not blocked
    Freeze(freeze::Args),
    /// Show and change feature flags
    Flag(flag::Args),
    /// Show sidecars and the state of their configuration
    Nodes(nodes::Args),
    /// List, export, verify and replay the event log
    Audit(audit::Args),
    /// Show delivery figures: deployment frequency, lead time, recovery time, change failure rate
    Report(report::Args),
    /// Print Envoy bootstraps and Istio templates
    Envoy(envoy::Args),
}

/// Parses the command line, runs the command and prints its error.
pub(crate) fn run() -> ExitCode {
    match execute(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            diagnostics::show(&failure);
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<(), Failure> {
    let client = match command {
        Command::Serve(args) => return serve::run(&args),
        Command::Validate(args) => return validate::run(&args),
        Command::Schema => return schema::run(),
        Command::Envoy(args) => return envoy::run(&args),
        Command::Apply(args) => Client::Apply(args),
        Command::Status(args) => Client::Status(args),
        Command::Release(args) => Client::Release(args),
        Command::Version(args) => Client::Version(args),
        Command::Freeze(args) => Client::Freeze(args),
        Command::Flag(args) => Client::Flag(args),
        Command::Nodes(args) => Client::Nodes(args),
        Command::Audit(args) => Client::Audit(args),
        Command::Report(args) => Client::Report(args),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    runtime.block_on(async {
        match client {
            Client::Apply(args) => apply::run(args).await,
            Client::Status(args) => status::run(args).await,
            Client::Release(args) => release::run(args).await,
            Client::Version(args) => version::run(args).await,
            Client::Freeze(args) => freeze::run(args).await,
            Client::Flag(args) => flag::run(args).await,
            Client::Nodes(args) => nodes::run(args).await,
            Client::Audit(args) => audit::run(args).await,
            Client::Report(args) => report::run(args).await,
        }
    })
}

/// The commands that talk to a running server.
enum Client {
    Apply(apply::Args),
    Status(status::Args),
    Release(release::Args),
    Version(version::Args),
    Freeze(freeze::Args),
    Flag(flag::Args),
    Nodes(nodes::Args),
    Audit(audit::Args),
    Report(report::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn clap_accepts_the_command_line() {
        super::Cli::command().debug_assert();
    }
}
