//! The command line, one file a command. Exit codes: 0 done, 1 failed and said why, 2 not understood.

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

/// Progressive delivery for Envoy: moves traffic between versions, and back when one is worse.
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
    /// Check a configuration file; every mistake with file, line, column and a way out
    Validate(validate::Args),
    /// Send a running server a configuration
    Apply(apply::Args),
    /// Print the JSON Schema of the configuration file, for editors
    Schema,
    /// Show the services, their releases and what they wait for
    Status(status::Args),
    /// Start a release, or ask something of the newest one of a service
    Release(release::Args),
    /// Say something of a version: what a check found, that it is unsafe, that it may be released again
    Version(version::Args),
    /// Stop every release from going forward, or let them go; rollbacks are never held
    Freeze(freeze::Args),
    /// Show and change feature flags
    Flag(flag::Args),
    /// Show the sidecars
    Nodes(nodes::Args),
    /// Read the journal of everything that was decided
    Audit(audit::Args),
    /// Show how delivery goes: frequency, lead time, recovery time, change failure rate
    Report(report::Args),
    /// Help with the Envoy side
    Envoy(envoy::Args),
}

/// Parses the command line and runs what it says.
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
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
