//! CPU time and memory of a process, and a description of the machine, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The CPU time of the threads of a process so far. From `schedstat`, in nanoseconds: `/proc/PID/stat` has hundredths of
/// a second, which is more than a small push takes.
pub(crate) fn cpu(process: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // The thread may have ended.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// The resident memory of a process, in kB.
pub(crate) fn memory_kb(process: u32) -> Result<u64> {
    field(&format!("/proc/{process}/status"), "VmRSS:")?
        .trim_end_matches(" kB")
        .parse()
        .context("VmRSS")
}

/// Raises the limit of open files to the hard limit, and returns it.
pub(crate) fn open_files() -> Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// The machine, in one line.
pub(crate) fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // Without the suffix of the distribution.
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    let memory: u64 = field("/proc/meminfo", "MemTotal:")?.trim_end_matches(" kB").parse()?;
    Ok(format!(
        "{cores} cores, {}, {} GiB, Linux {kernel}",
        field("/proc/cpuinfo", "model name").unwrap_or_else(|_| "unknown CPU".to_owned()),
        memory.div_ceil(1024 * 1024),
    ))
}

fn field(file: &str, name: &str) -> Result<String> {
    let text = fs::read_to_string(file)?;
    match text.lines().find_map(|line| line.strip_prefix(name)) {
        Some(value) => Ok(value.trim_start_matches([' ', '\t', ':']).to_owned()),
        None => bail!("no {name} in {file}"),
    }
}
