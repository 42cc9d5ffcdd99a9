//! `tidegate envoy image`: the filter as an OCI image.

use std::env;
use std::path::PathBuf;

use tidegate::istio::image::Image;
use tidegate::istio::registry::{self, Credentials, Reference};

use crate::cli::failure::Failure;
use crate::cli::{call, output};

/// The user of the registry. The password is read from the environment only: arguments are visible to other processes.
const USERNAME: &str = "TIDEGATE_REGISTRY_USERNAME";
const PASSWORD: &str = "TIDEGATE_REGISTRY_PASSWORD";

/// Write the filter as an OCI image, and push it to a registry. The same module gives the same digest.
///
/// TIDEGATE_REGISTRY_USERNAME and TIDEGATE_REGISTRY_PASSWORD are the credentials of the registry.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The module
    #[arg(long, env = "TIDEGATE_FILTER", default_value = "dist/tidegate_filter.wasm")]
    wasm: PathBuf,
    /// Write an OCI image layout: an archive if the name ends with .tar, else a directory
    #[arg(long, value_name = "DIR|FILE.tar", required_unless_present = "push")]
    out: Option<PathBuf>,
    /// Push the image. The default tag is the version of this program
    #[arg(long, value_name = "oci://REGISTRY/REPOSITORY[:TAG]")]
    push: Option<Reference>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let input = |why: &dyn std::fmt::Display| {
        Failure::Input(format!("{}: {why}; build it with `make filter`", args.wasm.display()))
    };
    let module = std::fs::read(&args.wasm).map_err(|error| input(&error))?;
    let image = Image::new(&module).map_err(|error| input(&error))?;
    if let Some(out) = &args.out {
        image.write(out).map_err(|error| Failure::Input(format!("--out: {error}")))?;
    }
    let digest = &image.manifest.digest;
    let Some(reference) = &args.push else {
        return output::print(digest);
    };
    let credentials = credentials()?;
    call(async {
        let pushed = registry::push(&image, reference, credentials.as_ref()).await;
        pushed.map_err(|error| Failure::Input(format!("cannot push to {reference}: {error}")))
    })?;
    output::print(&reference.pinned(digest))
}

fn credentials() -> Result<Option<Credentials>, Failure> {
    match (env::var(USERNAME), env::var(PASSWORD)) {
        (Ok(username), Ok(password)) => Ok(Some(Credentials { username, password })),
        (Err(env::VarError::NotPresent), Err(env::VarError::NotPresent)) => Ok(None),
        _ => Err(Failure::Input(format!("set both {USERNAME} and {PASSWORD}, or neither"))),
    }
}
