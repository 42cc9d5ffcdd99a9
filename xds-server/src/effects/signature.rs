//! The signature of a webhook request: `tidegate-signature: t=SECONDS,v1=HEX`.
//!
//! `HEX` is the HMAC-SHA256, under the shared secret, of `SECONDS`, a full stop and the body. A receiver computes the
//! same value, compares in constant time, and rejects requests older than five minutes, which prevents replays.

use std::fmt::Write;

use ring::hmac;

use tidegate_delivery::units::Timestamp;

pub(super) const HEADER: &str = "tidegate-signature";

/// The header value for a body that is sent at `now`.
pub(super) fn sign(secret: &str, now: Timestamp, body: &[u8]) -> String {
    let seconds = now.0 / 1000;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    let mut value = format!("t={seconds},v1=");
    for byte in context.sign().as_ref() {
        // Writing to a string does not fail.
        write!(value, "{byte:02x}").ok();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf '1700000000.{}' | openssl dgst -sha256 -hmac s3cret`.
    #[test]
    fn the_signature_equals_that_of_openssl() {
        let value = sign("s3cret", Timestamp(1_700_000_000_999), b"{}");
        assert_eq!(
            value,
            "t=1700000000,v1=97926816e98fbb41ccb1673225ff29a2f35369099990e1b1561651e7bd097ebf"
        );
    }
}
