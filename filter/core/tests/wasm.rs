//! Golden vectors, checked natively and in WASM: server and sidecar must never drift apart, and
//! `usize` is half as wide over there.
//!
//! The same functions run under `cargo test` and under
//! `cargo test -p tidegate-core --target wasm32-wasip1`.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_core::{
    bucket::bucket,
    flags::{FlagSet, JsonContext, Reason},
    histogram::Histogram,
};
use tidegate_proto::report::v1::Histogram as Message;

#[test]
fn buckets() {
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("../testdata/buckets.json")).unwrap();
    assert!(vectors.len() > 40);
    for vector in &vectors {
        let salt = vector["salt"].as_str().unwrap();
        let identity: Vec<u8> = vector["identity_hex"]
            .as_str()
            .unwrap()
            .as_bytes()
            .chunks(2)
            .map(|digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap())
            .collect();
        let expected = vector["bucket"].as_u64().unwrap();
        let got = bucket(salt.as_bytes(), &identity);
        assert_eq!(u64::from(got), expected, "{vector}");
    }
}

/// Computed by an independent implementation of flagd's rule, `murmur3(flagKey + targetingKey)`.
#[test]
fn fractional_splits_as_flagd_does() {
    let flags = FlagSet::parse(
        r#"{"flags": {"color": {
            "state": "ENABLED",
            "variants": {"red": "r", "blue": "b", "green": "g"},
            "defaultVariant": "red",
            "targeting": {"fractional": [["red", 50], ["blue", 20], ["green", 30]]}
        }}}"#,
    )
    .unwrap();
    let expected =
        [("alice", "red"), ("bob", "red"), ("carol", "blue"), ("dave", "red"), ("erin", "blue")];
    for (user, variant) in expected {
        let context = JsonContext { attributes: &json!({ "targetingKey": user }), unix_seconds: 0 };
        let evaluation = flags.evaluate("color", &context).unwrap();
        assert_eq!(evaluation.variant, Some(variant), "{user}");
        assert_eq!(evaluation.reason, Reason::Split);
    }
}

#[test]
fn histogram_bounds() {
    let expected = [
        (0, 0),
        (63, 0),
        (64, 1),
        (1_000, 32),
        (250_000, 96),
        (2_000_000, 120),
        (10_000_000, 138),
        (134_217_727, 168),
        (134_217_728, 169),
    ];
    for (micros, index) in expected {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_micros(micros));
        let message = Message::from(&histogram);
        assert_eq!(message.index, [index], "{micros}");
    }
}
