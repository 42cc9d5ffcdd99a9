//! DNS names that follow the active environment.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::config::place::{At, Place};
use crate::config::problem::{Fault, Problems};
use crate::config::{raw, units};
use tidegate_core::host::is_dns_name;
use tidegate_delivery::model::catalogue::{Environment, Environments};
use tidegate_delivery::model::dns::{
    Dns, EnvironmentRecords, MAX_RECORDS, RecordSet, Tsig, TsigAlgorithm,
};

/// How long others may keep an answer unless the file says otherwise.
const TTL: Duration = Duration::from_secs(30);
/// Longest time that a release can be expected to wait for it.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The name of a service with these environments.
pub(super) fn resolve(
    at: &At<raw::Dns>,
    environments: Option<&Environments>,
    base: &Path,
    problems: &mut Problems,
) -> Option<Dns> {
    let raw = at.get();
    let Some(environments) = environments else {
        let what = "`dns` does not go with a canary strategy: no environment is the active one";
        problems.add(at.place(), what, "remove it, or make the service blue/green");
        return None;
    };
    let zone = problems.take(raw.zone.place(), absolute(raw.zone.get()));
    let name = problems.take(raw.name.place(), absolute(raw.name.get()));
    let server = problems.take(raw.server.place(), units::address(raw.server.get()));
    let ttl = raw.ttl.as_ref().map_or(TTL, |at| ttl(at, problems));
    let tsig = raw.tsig.as_ref().map(|tsig| self::tsig(tsig, base, problems));
    let records = match (&raw.records, &raw.cname) {
        (Some(_), Some(cname)) => {
            let what = "a name has addresses or a CNAME, not both";
            problems.add(cname.blue.place(), what, "keep `records` or `cname`");
            None
        }
        (Some(records), None) => addresses(records, problems),
        (None, Some(cname)) => aliases(cname, problems),
        (None, None) => {
            check_endpoints(at.place(), environments, problems);
            None
        }
    };
    let (zone, name) = zone.zip(name)?;
    let below = name.strip_suffix(&zone).filter(|it| it.is_empty() || it.ends_with('.'));
    match below {
        None => problems.add(
            raw.name.place(),
            format!("`{name}` is not in the zone `{zone}`"),
            "name the zone that the server is primary for, and a name in it",
        ),
        Some("") if raw.cname.is_some() => problems.add(
            raw.name.place(),
            format!("`{name}` is the zone's own name, which cannot be a CNAME"),
            "give `records`, or choose a name below it",
        ),
        Some(_) => {}
    }
    let tsig = match tsig {
        Some(read) => Some(read?),
        None => None,
    };
    Some(Dns { zone, name, server: server?, ttl, tsig, records })
}

/// A name in lower case, with its final dot.
fn absolute(text: &str) -> Result<String, Fault> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.parse::<IpAddr>().is_ok() || !is_dns_name(name) {
        let fix = "write one without scheme or port, such as order.example.org";
        return Err(Fault::new(format!("`{text}` is not a DNS name"), fix));
    }
    Ok(name.to_ascii_lowercase() + ".")
}

fn ttl(at: &At<String>, problems: &mut Problems) -> Duration {
    let Some(ttl) = problems.take(at.place(), units::duration(at.get())) else {
        return TTL;
    };
    if ttl.subsec_nanos() != 0 || ttl.is_zero() || ttl > MAX_TTL {
        problems.add(
            at.place(),
            format!("`{}` cannot be a TTL that a release waits for", at.get()),
            "write whole seconds, from 1s to 1day",
        );
    }
    ttl
}

fn tsig(raw: &raw::Tsig, base: &Path, problems: &mut Problems) -> Option<Tsig> {
    let name = problems.take(raw.name.place(), absolute(raw.name.get()))?;
    let algorithm = match raw.algorithm {
        None | Some(raw::TsigAlgorithm::HmacSha256) => TsigAlgorithm::HmacSha256,
        Some(raw::TsigAlgorithm::HmacSha384) => TsigAlgorithm::HmacSha384,
        Some(raw::TsigAlgorithm::HmacSha512) => TsigAlgorithm::HmacSha512,
    };
    Some(Tsig { name, algorithm, key_file: base.join(raw.key_file.get()) })
}

fn addresses(raw: &raw::Records, problems: &mut Problems) -> Option<EnvironmentRecords> {
    let mut set = |written: &At<Vec<At<String>>>| {
        let mut addresses = BTreeSet::new();
        for at in written.get() {
            let read = at.get().parse::<IpAddr>().map_err(|_| {
                Fault::new(format!("`{}` is no IP address", at.get()), "for a name use `cname`")
            });
            addresses.extend(problems.take(at.place(), read));
        }
        if !(1..=MAX_RECORDS).contains(&written.get().len()) {
            let what = format!("{} addresses are none, or too many", written.get().len());
            problems.add(written.place(), what, format!("give 1 to {MAX_RECORDS}"));
        }
        RecordSet::Addresses(addresses)
    };
    Some(EnvironmentRecords { blue: set(&raw.blue), green: set(&raw.green) })
}

fn aliases(raw: &raw::Aliases, problems: &mut Problems) -> Option<EnvironmentRecords> {
    let blue = problems.take(raw.blue.place(), absolute(raw.blue.get()));
    let green = problems.take(raw.green.place(), absolute(raw.green.get()));
    let (blue, green) = blue.zip(green)?;
    Some(EnvironmentRecords { blue: RecordSet::Alias(blue), green: RecordSet::Alias(green) })
}

/// Without `records`, the endpoints are the records.
fn check_endpoints(place: Place, environments: &Environments, problems: &mut Problems) {
    let mut all = Environment::ALL.iter().flat_map(|it| environments.endpoints(*it));
    if let Some(named) = all.find(|it| it.host.parse::<IpAddr>().is_err()) {
        problems.add(
            place,
            format!("endpoint `{}` has no IP address that could be published", named.host),
            "give `records` or `cname` for blue and green",
        );
    }
}
