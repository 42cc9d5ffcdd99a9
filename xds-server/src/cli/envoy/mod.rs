//! `tidegate envoy`: what sidecars need before they reach the control plane.

mod bootstrap;
mod image;
mod istio;
mod run;

use clap::Subcommand;

use super::failure::Failure;

/// Run a sidecar, print its bootstrap, or the objects and the image for an Istio mesh.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the Envoy on PATH as a sidecar: it receives everything from Tidegate
    Run(run::Args),
    /// Print a bootstrap for a stock Envoy, which receives everything else from Tidegate
    Bootstrap(bootstrap::Args),
    /// Print the objects of an Istio mesh: the filter, and the routes of services. Apply them once
    Istio(istio::Args),
    /// Write the filter as an OCI image, and push it to a registry. The same module gives the same digest
    Image(image::Args),
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.verb {
        Verb::Run(args) => run::run(args),
        Verb::Bootstrap(args) => bootstrap::run(args),
        Verb::Istio(args) => istio::run(args),
        Verb::Image(args) => image::run(args),
    }
}
