//! `tidegate report`: the delivery figures and their goals.

use std::time::Duration;

use clap::ValueEnum;
use reqwest::Method;
use tidegate_delivery::figures::{Bucket, DeliveryReport, Spread, Summary};
use tidegate_delivery::units::Timestamp;

use super::client::{Client, Target};
use super::failure::Failure;
use super::output::{self, Format, List};
use super::text::{self, NONE, share};

/// Show deployment frequency, lead time, recovery time and change failure rate.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this service, with its figures over time
    service: Option<String>,
    /// The first day: `2026-11-23`, a time, or a duration before now: `90d`. Default: 30 days
    #[arg(long, value_parser = text::parse_time)]
    since: Option<Timestamp>,
    /// The last day. Default: today
    #[arg(long, value_parser = text::parse_time)]
    until: Option<Timestamp>,
    /// The length of a row of the figures over time
    #[arg(long, value_enum, default_value = "week")]
    by: By,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    Day,
    Week,
}

pub(super) async fn run(args: Args, target: &Target) -> Result<(), Failure> {
    let client = Client::new(target)?;
    let (by, bucket) = match args.by {
        By::Day => ("day", Bucket::Day),
        By::Week => ("week", Bucket::Week),
    };
    let mut query = vec![("bucket", by.to_owned())];
    query.extend(args.service.clone().map(|service| ("service", service)));
    query.extend(args.since.map(|since| ("since", text::time(since))));
    query.extend(args.until.map(|until| ("until", text::time(until))));
    let answer = client.call(Method::GET, &["report"], &query, None).await?;
    let report: DeliveryReport = client.read(&answer)?;
    let is_for_people = matches!(target.output, Format::Table | Format::Wide);
    if is_for_people {
        let (first, last) = (day(report.since), day(Timestamp(report.until.0.saturating_sub(1))));
        output::print(&format!("{first} to {last}; * marks a missed goal\n"))?;
    }
    let mut rows: Vec<_> =
        report.services.iter().map(|it| row(it.service.to_string(), &it.all)).collect();
    if args.service.is_some() && is_for_people {
        let label = if bucket == Bucket::Day { "" } else { "from " };
        let slices = report.services.iter().flat_map(|it| &it.over_time);
        rows.extend(slices.map(|it| row(format!("  {label}{}", day(it.from)), &it.summary)));
    }
    output::list(target.output, &answer, || {
        Ok(List {
            heads: ["SERVICE", "DEPLOYMENTS", "PER DAY", "LEAD TIME", "RECOVERY", "FAILED"],
            narrow: 6,
            rows: rows.into_iter().map(|cells| (cells[0].clone(), cells)).collect(),
            none: "no releases yet",
        })
    })?;
    if !is_for_people {
        return Ok(());
    }
    output::print(
        "\nGoals: daily deployments; lead time (median, commit to 100 %) below 1 h; \
         recovery (mean) below 5 min; failed below 5 %",
    )
}

fn row(what: String, summary: &Summary) -> [String; 6] {
    let Summary { lead_time, recovery_time, change_failure_rate, meets, .. } = summary;
    let marked = |text: Option<String>, met: Option<bool>| {
        let star = if met == Some(false) { "*" } else { "" };
        text.map_or_else(|| NONE.to_owned(), |text| text + star)
    };
    let time = |ms: fn(Spread) -> u64, spread: Option<Spread>| {
        spread.map(|it| humantime::format_duration(readable(ms(it))).to_string())
    };
    [
        what,
        summary.deployments.to_string(),
        marked(Some(format!("{:.2}", summary.per_day)), Some(meets.deployment_frequency)),
        marked(time(|it| it.median_ms, *lead_time), meets.lead_time),
        marked(time(|it| it.mean_ms, *recovery_time), meets.recovery_time),
        marked(change_failure_rate.map(share), meets.change_failure_rate),
    ]
}

/// Whole seconds; below one second, milliseconds.
const fn readable(ms: u64) -> Duration {
    if ms < 1000 { Duration::from_millis(ms) } else { Duration::from_secs(ms / 1000) }
}

fn day(at: Timestamp) -> String {
    text::time(at).chars().take_while(|it| *it != 'T').collect()
}
