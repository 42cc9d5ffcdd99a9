//! The command line, one file per command. [`EXIT_CODES`] have one meaning across commands.

mod audit;
mod client;
mod completions;
mod configuration;
mod confirm;
mod diff;
mod envoy;
mod failure;
mod flag;
mod freeze;
mod group;
mod init;
mod nodes;
mod output;
mod release;
mod report;
mod serve;
mod simulate;
mod status;
mod terminal;
mod text;
mod version;
mod wait;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use client::Target;
use failure::Failure;

/// The exit codes of all commands.
const EXIT_CODES: &str = "Exit codes: 0 success; 1 error, with a message on standard error, also of the command line itself; \
                          2 the configuration takes away something that serves traffic; of `release wait`: 3 rolled back, \
                          4 an operator must act, 5 not there in time; 6 the server cannot be reached";

/// Progressive delivery for Envoy: canary and blue/green releases with automatic rollback.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control plane: xDS and reports on one port, REST and metrics on another
    Serve(serve::Args),
    /// Write a commented configuration for the given services
    Init(init::Args),
    /// Check a configuration file and print every error with file, line, column and a suggested fix
    Validate(configuration::ValidateArgs),
    /// Show what a configuration would change on a running server, and what it takes away
    Diff(diff::Args),
    /// Apply a configuration to a running server
    Apply(configuration::ApplyArgs),
    /// Print the JSON Schema of the configuration file
    Schema,
    /// Show services, their releases and what blocks them
    Status(status::Args),
    /// Start, await, list, promote, pause, resume, approve, abort, roll back or explain releases
    Release(release::Args),
    /// List, register and remove versions, report their check results and signals, lift a quarantine
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
    /// Simulate releases, or judge recorded ones by other guardrails
    Simulate(simulate::Args),
    /// Run a sidecar, print its bootstrap, or the objects and the image for an Istio mesh
    Envoy(envoy::Args),
    /// Print the completions of a shell
    Completions(completions::CompletionsArgs),
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man(completions::ManArgs),
}

/// Parses the command line, runs the command and prints its error.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // The output may be closed.
            error.print().ok();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match execute(cli.command, &cli.target) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}

fn execute(command: Command, target: &Target) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Validate(args) => configuration::validate(&args),
        Command::Schema => configuration::schema(),
        Command::Envoy(args) => envoy::run(&args),
        Command::Completions(args) => completions::print(&args),
        Command::Man(args) => completions::man(&args),
        Command::Simulate(args) => simulate::run(&args, target),
        Command::Diff(args) => call(diff::run(args, target)),
        Command::Apply(args) => call(configuration::apply(args, target)),
        Command::Status(args) => call(status::run(args, target)),
        Command::Release(args) => call(release::run(args, target)),
        Command::Version(args) => call(version::run(args, target)),
        Command::Freeze(args) => call(freeze::run(args, target)),
        Command::Flag(args) => call(flag::run(args, target)),
        Command::Nodes(args) => call(nodes::run(args, target)),
        Command::Audit(args) => call(audit::run(args, target)),
        Command::Report(args) => call(report::run(args, target)),
    }
}

/// Runs a command that calls a server.
fn call(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn clap_accepts_the_command_line() {
        super::Cli::command().debug_assert();
    }
}
