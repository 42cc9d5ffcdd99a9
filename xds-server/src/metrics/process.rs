//! The metrics of the process, with the names that Prometheus' client libraries use. Linux only: elsewhere there are none.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

#[derive(Debug)]
pub(super) struct Process;

#[cfg(target_os = "linux")]
impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Without /proc the metrics are missing, as on other systems.
        let Ok(process) = procfs::process::Process::myself() else { return Ok(()) };
        let Ok(stat) = process.stat() else { return Ok(()) };
        let mut metrics = super::families::Families::new(encoder);
        let ticks = seconds(procfs::ticks_per_second());
        metrics.counter(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds",
            seconds(stat.utime.saturating_add(stat.stime)) / ticks,
        )?;
        let resident = stat.rss.saturating_mul(procfs::page_size());
        metrics.gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes",
            resident,
        )?;
        metrics.gauge(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes",
            stat.vsize,
        )?;
        metrics.gauge("process_threads", "Number of OS threads", stat.num_threads)?;
        if let Ok(open) = process.fd_count() {
            metrics.gauge("process_open_fds", "Number of open file descriptors", open)?;
        }
        if let Ok(limits) = process.limits()
            && let procfs::process::LimitValue::Value(most) = limits.max_open_files.soft_limit
        {
            metrics.gauge("process_max_fds", "Maximum number of open file descriptors", most)?;
        }
        if let Ok(boot) = procfs::boot_time_secs() {
            let start = seconds(boot) + seconds(stat.starttime) / ticks;
            let help = "Start time of the process since unix epoch in seconds";
            metrics.gauge("process_start_time_seconds", help, start)?;
        }
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
impl Collector for Process {
    fn encode(&self, _: DescriptorEncoder<'_>) -> fmt::Result {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
#[expect(clippy::cast_precision_loss, reason = "times and sizes are far below 2^53")]
const fn seconds(count: u64) -> f64 {
    count as f64
}
