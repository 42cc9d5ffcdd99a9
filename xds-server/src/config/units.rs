//! Parsers of values, for configuration and API: `5%`, `1h30m`, `p99`, `host:port`.

use std::net::SocketAddr;
use std::time::Duration;

use super::problem::Fault;
use tidegate_core::host::{Host, HostError, is_dns_name};
use tidegate_delivery::model::catalogue::Endpoint;
use tidegate_delivery::units::Ppm;

/// Limit of durations, so that milliseconds in the journal cannot overflow.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Limit of the name of a header or cookie, in bytes.
const MAX_TOKEN: usize = 128;
/// Decimal places of a percentage: one part per million is 0.0001 %.
const DECIMALS: usize = 4;

/// A share such as `5%` or `0.05%`, with at most four decimal places.
pub(super) fn percent(text: &str) -> Result<Ppm, Fault> {
    let refuse =
        |what: String| Fault::new(what, "write a share from 0% to 100%, such as 5% or 0.05%");
    let Some(number) = text.strip_suffix('%').map(str::trim_end) else {
        return Err(refuse(format!("`{text}` has no percent sign")));
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(decimals) {
        return Err(refuse(format!("`{text}` is not a share")));
    }
    if decimals.len() > DECIMALS {
        return Err(Fault::new(
            format!("`{text}` is finer than one part per million"),
            "write at most four decimal places",
        ));
    }
    let parts = format!("{whole}{decimals:0<DECIMALS$}").parse::<u32>().ok();
    parts
        .and_then(|parts| Ppm::new(parts).ok())
        .ok_or_else(|| refuse(format!("`{text}` is over 100%")))
}

/// A duration such as `5m`, `250ms` or `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, Fault> {
    let parsed = humantime::parse_duration(text).map_err(|error| {
        Fault::new(
            format!("`{text}` is not a duration: {error}"),
            "write a number and its unit, such as 250ms, 30s, 5m or 1h30m",
        )
    })?;
    if parsed > LONGEST {
        return Err(Fault::new(
            format!("`{text}` is longer than a year"),
            "write a duration of at most 366 days",
        ));
    }
    Ok(parsed)
}

/// A quantile such as `p99`.
pub(super) fn quantile(text: &str) -> Result<Ppm, Fault> {
    let percent = match text {
        "p50" => "50%",
        "p90" => "90%",
        "p95" => "95%",
        "p99" => "99%",
        "p99.9" => "99.9%",
        _ => {
            return Err(Fault::new(
                format!("`{text}` is not a measured quantile"),
                "use p50, p90, p95, p99 or p99.9",
            ));
        }
    };
    self::percent(percent)
}

/// Whether a name is a `token` of RFC 9110, as names of headers and cookies are.
pub(super) fn is_token(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=MAX_TOKEN).contains(&name.len()) && name.bytes().all(inner)
}

/// A listen address, `IP:PORT`.
pub(super) fn address(text: &str) -> Result<SocketAddr, Fault> {
    text.parse().map_err(|_| {
        Fault::new(
            format!("`{text}` is not an IP address and a port"),
            "write one such as 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080",
        )
    })
}

/// The address of one instance, `host:port`.
///
/// # Errors
/// When the host or the port is invalid.
pub fn endpoint(text: &str) -> Result<Endpoint, Fault> {
    let refuse = |what: &str| {
        Fault::new(
            format!("endpoint `{text}` {what}"),
            "write host:port, such as 10.0.0.7:8080, [::1]:8080 or order.internal:8080",
        )
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(|| refuse("has no port"))?;
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    let port = match port.parse::<u16>() {
        Ok(port) if port > 0 && digits => port,
        _ => return Err(refuse("has a port that is not a number from 1 to 65535")),
    };
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let good = match bracketed {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_dns_name(host),
    };
    if !good {
        return Err(refuse("has a host that is neither an IP address nor a DNS name"));
    }
    Ok(Endpoint { host: bracketed.unwrap_or(host).to_owned(), port })
}

/// The host of a service, in normal form.
pub(super) fn host(text: &str) -> Result<Host, Fault> {
    text.parse().map_err(|error: HostError| Fault::new(error.to_string(), error.fix()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_exact_to_one_part_per_million() {
        for (text, parts) in [
            ("0%", 0),
            ("5%", 50_000),
            ("5 %", 50_000),
            ("0.05%", 500),
            ("0.0001%", 1),
            ("99.9999%", 999_999),
            ("100%", 1_000_000),
            ("100.0000%", 1_000_000),
        ] {
            assert_eq!(percent(text).unwrap().parts(), parts, "{text}");
        }
    }

    #[test]
    fn invalid_percentages_are_rejected() {
        for (text, word) in [
            ("5", "no percent sign"),
            ("0.05", "no percent sign"),
            ("100.0001%", "over 100%"),
            ("120%", "over 100%"),
            ("99999999999999999999%", "over 100%"),
            ("0.00001%", "finer"),
            ("-5%", "not a share"),
            ("%", "not a share"),
            (".5%", "not a share"),
            ("5.%", "not a share"),
            ("1e1%", "not a share"),
        ] {
            let fault = percent(text).unwrap_err();
            assert!(fault.message.contains(word), "{text}: {fault}");
        }
    }

    #[test]
    fn durations_have_units_and_a_limit() {
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("1h30m").unwrap(), Duration::from_secs(5400));
        for text in ["5", "", "-5m", "400days", "99999999999years", "m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn endpoints_are_hosts_and_ports() {
        for (text, host, port) in [
            ("127.0.0.1:9101", "127.0.0.1", 9101),
            ("[::1]:80", "::1", 80),
            ("order.internal:65535", "order.internal", 65535),
        ] {
            let host = host.to_owned();
            assert_eq!(endpoint(text), Ok(Endpoint { host, port }));
        }
        for text in [
            "",
            ":80",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "::1:80",
            "[::1",
            "a b:80",
            "http://host:80",
            "[host]:80",
            "a..b:80",
            "host:+80",
        ] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }
}
