//! `tidegate envoy run`: becomes an Envoy with the bootstrap of a sidecar.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::bootstrap::Sidecar;
use crate::cli::failure::Failure;

/// The name of the program on PATH.
const ENVOY: &str = "envoy";
/// The name of the machine.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Run the Envoy on PATH as a sidecar: it receives everything from Tidegate. The process becomes that Envoy, so signals reach
/// it. A second sidecar on one machine needs its own --id and --admin, and its fleet other listener addresses.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node id, `node.id`; unique per sidecar. Default: the name of the machine
    #[arg(long, env = "TIDEGATE_NODE_ID")]
    id: Option<String>,
    /// The Envoy. Default: `envoy` on PATH
    #[arg(long, env = "TIDEGATE_ENVOY", value_name = "FILE")]
    envoy: Option<PathBuf>,
    #[command(flatten)]
    sidecar: Sidecar,
    /// Options for Envoy, after `--`
    #[arg(last = true, value_name = "ENVOY OPTIONS")]
    options: Vec<OsString>,
}

/// Returns only if Envoy cannot be started.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let bootstrap = args.sidecar.bootstrap(&id(args.id.as_ref())?)?;
    let envoy = match &args.envoy {
        Some(envoy) => envoy.clone(),
        None => on_path(env::var_os("PATH").as_deref()).ok_or_else(|| {
            Failure::Input(
                "no `envoy` on PATH: install Envoy 1.36 or newer, or name the program with --envoy or TIDEGATE_ENVOY"
                    .to_owned(),
            )
        })?,
    };
    let mut command = Command::new(&envoy);
    // Envoys of one machine share memory by default; a sidecar is restarted, not handed over.
    command.arg("--config-yaml").arg(bootstrap).arg("--disable-hot-restart").args(&args.options);
    Err(failed(&envoy, &command.exec()))
}

fn id(given: Option<&String>) -> Result<String, Failure> {
    if let Some(id) = given {
        return Ok(id.clone());
    }
    let name = fs::read_to_string(HOST_NAME).unwrap_or_default();
    Some(name.trim()).filter(|name| !name.is_empty()).map(str::to_owned).ok_or_else(|| {
        Failure::Input("this machine has no name: pass a unique node id with --id".to_owned())
    })
}

/// The first Envoy that can be executed.
fn on_path(path: Option<&OsStr>) -> Option<PathBuf> {
    let is_program = |file: &Path| {
        let found = fs::metadata(file).ok();
        found.is_some_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let mut files = env::split_paths(path?).map(|folder| folder.join(ENVOY));
    files.find(|file| is_program(file))
}

fn failed(envoy: &Path, error: &io::Error) -> Failure {
    Failure::Input(format!(
        "cannot run {}: {error}; name an Envoy with --envoy or TIDEGATE_ENVOY",
        envoy.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envoy_is_the_first_program_of_that_name_on_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let folders: Vec<_> =
            ["none", "text", "first", "second"].iter().map(|name| dir.path().join(name)).collect();
        folders.iter().for_each(|folder| fs::create_dir(folder).unwrap());
        let path = env::join_paths(&folders).unwrap();
        assert_eq!(on_path(Some(&path)), None);
        for (folder, mode) in [("text", 0o644), ("first", 0o755), ("second", 0o755)] {
            let file = dir.path().join(folder).join(ENVOY);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(on_path(Some(&path)), Some(dir.path().join("first").join(ENVOY)));
        assert_eq!(on_path(None), None);
    }

    #[test]
    fn the_id_is_that_given_or_the_name_of_the_machine() {
        assert_eq!(id(Some(&"edge-1".to_owned())).unwrap(), "edge-1");
        assert!(!id(None).unwrap().is_empty());
    }
}
