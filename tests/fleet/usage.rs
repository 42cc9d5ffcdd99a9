//! What a process and the machine have used, as Linux tells it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The processor time that the threads of a process have had so far. `/proc/PID/stat` says it in
/// hundredths of a second, which is more than a small push takes; the scheduler counts nanoseconds.
pub(crate) fn cpu(process: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end while one looks.
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

/// Allows as many open files as may be, and says how many that is.
pub(crate) fn open_files() -> Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// The machine, in one line.
pub(crate) fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // What follows the version is the builder's own name for it.
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
