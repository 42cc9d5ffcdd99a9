//! The document with the results, as Markdown tables.

use std::fmt::Write as _;

use anyhow::Result;
use tidegate_core::config::INTERVAL_RELEASING_MS;
use tidegate_tests::distribution::Distribution;

use crate::measure::{Row, Side, Transport};
use crate::reports::{Intake, Paced};
use crate::usage;

const HEAD: &str = "\
| sidecars | services | push, kB | by | server | min | p25 | p50 | p75 | p99 | max | CPU a push | CPU a stream | memory a stream | reconnect |
|---:|---:|---:|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
";

pub(crate) const fn head() -> &'static str {
    HEAD
}

/// The rows of one run: both servers, and their ratio.
pub(crate) fn rows(row: &Row) -> Result<String> {
    let size = row.size;
    let mut text = String::new();
    let kilobytes = row.bytes as f64 / 1e3;
    let by = match size.transport {
        Transport::Plain => "plain",
        Transport::Mtls => "mTLS",
    };
    let first = format!("| {} | {} | {kilobytes:.1} | {by} ", size.sidecars, size.services);
    for (start, name, side) in
        [(first.as_str(), "Tidegate", &row.tidegate), ("| | | | ", "raw tonic", &row.raw)]
    {
        line(&mut text, start, name, side, size.sidecars)?;
    }
    let ratio = |of: fn(&Side) -> f64| of(&row.tidegate) / of(&row.raw).max(1e-9);
    write!(text, "| | | | | ratio ")?;
    for quantile in QUANTILES {
        write!(text, "| {:.2} ", row.ratios.quantile(quantile).as_secs_f64())?;
    }
    let cpu = ratio(|side| side.cpu.as_secs_f64());
    writeln!(
        text,
        "| {cpu:.2} | {cpu:.2} | {:.2} | {:.2} |",
        ratio(|side| side.memory_kb as f64),
        ratio(|side| side.storm.as_secs_f64()),
    )?;
    Ok(text)
}

/// The row of one server.
fn line(text: &mut String, start: &str, name: &str, side: &Side, sidecars: usize) -> Result<()> {
    let streams = sidecars as f64;
    let cpu = side.cpu.as_secs_f64() / side.pushes.len().max(1) as f64;
    writeln!(
        text,
        "{start}| {name} {}| {:.1} ms | {:.1} µs | {:.1} kB | {:.2} s |",
        millis(&side.pushes.iter().copied().collect()),
        cpu * 1e3,
        cpu * 1e6 / streams,
        side.memory_kb as f64 / streams,
        side.storm.as_secs_f64(),
    )?;
    Ok(())
}

const QUANTILES: [f64; 6] = [0.0, 0.25, 0.5, 0.75, 0.99, 1.0];

fn millis(distribution: &Distribution) -> String {
    let one = |quantile| format!("| {:.1} ", distribution.quantile(quantile).as_secs_f64() * 1e3);
    QUANTILES.map(one).concat()
}

pub(crate) fn document(
    tables: &str,
    intake: &Intake,
    paced: &[Paced],
    how: &str,
) -> Result<String> {
    let rate = intake.reports as f64;
    let mut by_fleet = String::new();
    for Paced { instances, rate, share, interval_ms } in paced {
        let unbounded = instances * 1000 / u64::from(INTERVAL_RELEASING_MS);
        let share = share * 100.0;
        writeln!(
            by_fleet,
            "| {instances} | {unbounded} | {rate:.0} | {interval_ms} | {share:.0} % |"
        )?;
    }
    Ok(format!(
        "# The fleet\n\n\
         Written by `make fleet` on {}. {}.\n\n\
         Simulated sidecars, real gRPC streams (delta ADS, loopback): {how}. With **mTLS** each sidecar and each server, the\n\
         raw one too, has a certificate; a sidecar that reconnects resumes its TLS session if the server permits it.\n\
         `tidegate serve` and the raw server run in processes of their own, on the same machine as the sidecars of both.\n\
         A push is one weight change of a release, by REST: its times, in milliseconds, run from the request until the\n\
         last sidecar has ACKed the new routes, journal and REST included. **raw tonic** is the baseline: a minimal tonic\n\
         server that sends the same bytes to as many streams, and waits for the ACK of each. Both servers set\n\
         `TCP_NODELAY`. Pushes alternate between the two; `ratio` compares them pair by pair, so its quantiles are not\n\
         the quotients of the rows above it. CPU time and memory are those of the server alone. `reconnect`: all\n\
         connections are dropped and all sidecars reconnect at once; until the last has its routes.\n\n\
         {tables}\n\
         ## Reports\n\n\
         {} senders without pause, two versions with a histogram in each report: **{:.0} reports per second and core**\n\
         of the server ({} reports in {:.1} s, {:.1} s of CPU time).\n\n\
         While a release runs, the server sets the interval of a filter instance to {INTERVAL_RELEASING_MS} ms, and to more\n\
         while it measures that report handling takes over half a core. The last column is the whole process, which also\n\
         evaluates releases. No counts are lost, because a report contains all since the last acknowledged one:\n\n\
         | filter instances | reports/s at the shortest interval | reports/s | interval, ms | of one core |\n\
         |---:|---:|---:|---:|---:|\n\
         {by_fleet}",
        jiff::Zoned::now().strftime("%Y-%m-%d %H:%M %Z"),
        usage::machine()?,
        crate::reports::SENDERS,
        rate / intake.cpu.as_secs_f64(),
        intake.reports,
        intake.time.as_secs_f64(),
        intake.cpu.as_secs_f64(),
    ))
}
