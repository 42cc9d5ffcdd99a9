//! Flags in flagd's format, and the rules in them.

use serde_json::Value;
use tidegate_core::flags::{FlagSet, JsonContext};

/// Compiles a document; after a zero byte may come the context that its flags are evaluated for.
pub(crate) fn flags(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == 0);
    let document = halves.next().unwrap_or_default();
    let Ok(document) = std::str::from_utf8(document) else {
        return;
    };
    let flags = match FlagSet::parse(document) {
        Ok(flags) => flags,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let attributes = halves.next().and_then(|bytes| serde_json::from_slice(bytes).ok());
    let attributes: Value = attributes.unwrap_or_default();
    let context = JsonContext { attributes: &attributes, unix_seconds: 1_700_000_000 };
    for (key, flag) in flags.iter() {
        let answer = flags.evaluate(key, &context).expect("the flag is there");
        if let Some(value) = answer.value {
            assert!(flag.values().any(|it| it == value), "{key}: a value that it has not");
        }
    }
}
