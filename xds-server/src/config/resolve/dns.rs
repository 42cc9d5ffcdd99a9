//! DNS records of the active environment.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::config::problem::{Fault, Problems};
use crate::config::span::{Span, Spanned};
use crate::config::{raw, units};
use tidegate_core::host::is_dns_name;
use tidegate_delivery::model::catalogue::{Environment, Environments};
use tidegate_delivery::model::dns::{
    Dns, EnvironmentRecords, MAX_RECORDS, RecordSet, Tsig, TsigAlgorithm,
};

/// Default of `ttl`.
const TTL: Duration = Duration::from_secs(30);
/// Limit of `ttl`: a release waits for it.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The DNS record of a service with these environments.
pub(super) fn resolve(
    at: &Spanned<raw::Dns>,
    environments: Option<&Environments>,
    base: &Path,
    problems: &mut Problems,
) -> Option<Dns> {
    let raw = at.get();
    let Some(environments) = environments else {
        let what = "`dns` requires the blue/green strategy";
        problems.add(at.span(), what, "remove it, or write `strategy: {blue_green: {}}`");
        return None;
    };
    let zone = problems.record(raw.zone.span(), absolute(raw.zone.get()));
    let name = problems.record(raw.name.span(), absolute(raw.name.get()));
    let server = problems.record(raw.server.span(), units::address(raw.server.get()));
    let ttl = raw.ttl.as_ref().map_or(TTL, |at| ttl(at, problems));
    let tsig = raw.tsig.as_ref().map(|tsig| self::tsig(tsig, base, problems));
    let records = match (&raw.records, &raw.cname) {
        (Some(_), Some(cname)) => {
            let what = "`records` and `cname` exclude each other";
            problems.add(cname.blue.span(), what, "remove one of the two");
            None
        }
        (Some(records), None) => addresses(records, problems),
        (None, Some(cname)) => aliases(cname, problems),
        (None, None) => {
            check_endpoints(at.span(), environments, problems);
            None
        }
    };
    let (zone, name) = zone.zip(name)?;
    let below = name.strip_suffix(&zone).filter(|it| it.is_empty() || it.ends_with('.'));
    match below {
        None => problems.add(
            raw.name.span(),
            format!("`{name}` is not in the zone `{zone}`"),
            "write a name below the zone",
        ),
        Some("") if raw.cname.is_some() => problems.add(
            raw.name.span(),
            format!("`{name}` is the apex of the zone, which cannot have a CNAME"),
            "write `records`, or a name below the zone",
        ),
        Some(_) => {}
    }
    let tsig = match tsig {
        Some(read) => Some(read?),
        None => None,
    };
    Some(Dns { zone, name, server: server?, ttl, tsig, records })
}

/// An absolute DNS name: lower case, with final dot.
fn absolute(text: &str) -> Result<String, Fault> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.parse::<IpAddr>().is_ok() || !is_dns_name(name) {
        let fix = "write one without scheme or port, such as order.example.org";
        return Err(Fault::new(format!("`{text}` is not a DNS name"), fix));
    }
    Ok(name.to_ascii_lowercase() + ".")
}

fn ttl(at: &Spanned<String>, problems: &mut Problems) -> Duration {
    let Some(ttl) = problems.record(at.span(), units::duration(at.get())) else {
        return TTL;
    };
    if ttl.subsec_nanos() != 0 || ttl.is_zero() || ttl > MAX_TTL {
        problems.add(
            at.span(),
            format!("`{}` is not a valid TTL", at.get()),
            "write whole seconds, from 1s to 1day",
        );
    }
    ttl
}

fn tsig(raw: &raw::Tsig, base: &Path, problems: &mut Problems) -> Option<Tsig> {
    let name = problems.record(raw.name.span(), absolute(raw.name.get()))?;
    let algorithm = match raw.algorithm {
        None | Some(raw::TsigAlgorithm::HmacSha256) => TsigAlgorithm::HmacSha256,
        Some(raw::TsigAlgorithm::HmacSha384) => TsigAlgorithm::HmacSha384,
        Some(raw::TsigAlgorithm::HmacSha512) => TsigAlgorithm::HmacSha512,
    };
    Some(Tsig { name, algorithm, key_file: base.join(raw.key_file.get()) })
}

fn addresses(raw: &raw::Records, problems: &mut Problems) -> Option<EnvironmentRecords> {
    let mut set = |written: &Spanned<Vec<Spanned<String>>>| {
        let mut addresses = BTreeSet::new();
        for at in written.get() {
            let read = at.get().parse::<IpAddr>().map_err(|_| {
                Fault::new(format!("`{}` is not an IP address", at.get()), "use `cname` for a name")
            });
            addresses.extend(problems.record(at.span(), read));
        }
        if !(1..=MAX_RECORDS).contains(&written.get().len()) {
            let what = format!("{} addresses are out of range", written.get().len());
            problems.add(written.span(), what, format!("write 1 to {MAX_RECORDS}"));
        }
        RecordSet::Addresses(addresses)
    };
    Some(EnvironmentRecords { blue: set(&raw.blue), green: set(&raw.green) })
}

fn aliases(raw: &raw::Aliases, problems: &mut Problems) -> Option<EnvironmentRecords> {
    let blue = problems.record(raw.blue.span(), absolute(raw.blue.get()));
    let green = problems.record(raw.green.span(), absolute(raw.green.get()));
    let (blue, green) = blue.zip(green)?;
    Some(EnvironmentRecords { blue: RecordSet::Alias(blue), green: RecordSet::Alias(green) })
}

/// Without `records` and `cname`, the IP addresses of the endpoints are the records.
fn check_endpoints(span: Span, environments: &Environments, problems: &mut Problems) {
    if Environment::ALL.iter().any(|it| environments.endpoints(*it).is_empty()) {
        let what = "an environment has no endpoints, which would be the A or AAAA records";
        problems.add(span, what, "list them, or write `records` or `cname` for blue and green");
    }
    let mut all = Environment::ALL.iter().flat_map(|it| environments.endpoints(*it));
    if let Some(named) = all.find(|it| it.host.parse::<IpAddr>().is_err()) {
        problems.add(
            span,
            format!(
                "endpoint `{}` is not an IP address, so it cannot be an A or AAAA record",
                named.host
            ),
            "write `records` or `cname` for blue and green",
        );
    }
}
