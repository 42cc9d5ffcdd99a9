//! The document: what was measured, as tables that read well on a terminal too.

use std::fmt::Write as _;

use anyhow::Result;
use tidegate_core::config::INTERVAL_RELEASING_MS;
use tidegate_tests::spread::Spread;

use crate::measure::{Row, Side, Transport};
use crate::reports::{Intake, Paced};
use crate::usage;

const HEAD: &str = "\
| sidecars | services | push, kB | by | server | min | p25 | p50 | p75 | p99 | max | CPU a push | CPU a stream | memory a stream | reconnect |
|---:|---:|---:|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
";

/// The head of the tables.
pub(crate) const fn head() -> &'static str {
    HEAD
}

/// Both servers, and how they compare.
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

/// What was measured of one server.
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

fn millis(spread: &Spread) -> String {
    let one = |quantile| format!("| {:.1} ", spread.quantile(quantile).as_secs_f64() * 1e3);
    QUANTILES.map(one).concat()
}

/// The whole document.
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
         Simulated sidecars, real gRPC streams (delta ADS, loopback): {how}. By **mTLS** each sidecar and\n\
         each server, the raw one too, shows a certificate, and who comes back resumes its session if the server lets\n\
         it. `tidegate serve` and the raw server each run in a process of their own; the sidecars of both share the machine with them. A push is one\n\
         weight change of a release, asked for by REST: its times, in milliseconds, run from the request until the last\n\
         sidecar has answered the new routes, journal and REST included. **raw tonic** is the baseline: a minimal tonic\n\
         server that sends the same bytes to as many streams and waits for an answer from each. Pushes alternate\n\
         between the two; `ratio` compares them pair by pair, so its quantiles are not the quotients of the lines above\n\
         it. Processor time and memory are the server's alone. `reconnect`: all connections were dropped and all\n\
         sidecars came back at once; until the last had its routes.\n\n\
         {tables}\n\
         ## Reports\n\n\
         {} senders without pause, two versions with a histogram in each report: **{:.0} reports a second and core**\n\
         of the server ({} reports in {:.1} s, {:.1} s of processor time).\n\n\
         While a release runs, a filter instance is asked for its next report in {INTERVAL_RELEASING_MS} ms, and later\n\
         when handling reports takes more than half a core by its own reckoning. The last column is the whole process,\n\
         which also judges. Nothing that was counted is lost, because a report holds all since the one before:\n\n\
         | filter instances | reports a second, wanted | taken in | interval, ms | of one core |\n\
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
