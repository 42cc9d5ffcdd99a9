//! Route tokens of an Istio mesh: the values of `x-tidegate-version` that its VirtualServices match.
//!
//! Istio does not remove the header from what clients send. A route therefore matches a value that a client cannot guess and
//! that never leaves the sidecar: the filter receives it in the response to a report, and the route removes it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};

use tidegate_delivery::model::catalogue::VersionSpec;
use tidegate_delivery::names::{ServiceName, VersionName};

/// Bytes of a key.
const KEY: usize = 32;
/// Hexadecimal digits of a token: 128 bits.
const TOKEN: usize = 32;
/// Hexadecimal digits of a key's id.
const ID: usize = 8;

/// The secret from which tokens are derived.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey([u8; KEY]);

/// Identifies a key in logs and views. It does not reveal the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TokenKey {
    /// A key of random bytes.
    #[must_use]
    pub const fn new(random: [u8; KEY]) -> Self {
        Self(random)
    }

    /// Reads a key from hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; KEY];
        hex::decode_to_slice(text, &mut key).ok().map(|()| Self(key))
    }

    /// The secret in hexadecimal digits.
    #[must_use]
    pub fn secret(&self) -> String {
        hex::encode(self.0)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let digest = hex::encode(Sha256::digest(self.0));
        KeyId(digest.chars().take(ID).collect())
    }

    /// The token of a version. A version in an environment has the token of the environment, so that a deployment changes
    /// no route.
    #[must_use]
    pub fn token(
        &self,
        service: &ServiceName,
        version: &VersionName,
        spec: &VersionSpec,
    ) -> String {
        self.of_route(service, &route(version, spec))
    }

    /// The token of a route, as [`route()`] names it.
    #[must_use]
    pub fn of_route(&self, service: &ServiceName, route: &str) -> String {
        #[expect(clippy::expect_used, reason = "HMAC accepts keys of every length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of HMAC");
        // Names contain no NUL, so no two pairs have one text.
        mac.update(service.as_str().as_bytes());
        mac.update(&[0]);
        mac.update(route.as_bytes());
        hex::encode(mac.finalize().into_bytes()).chars().take(TOKEN).collect()
    }
}

/// The route of a version: that of its environment, or its own.
#[must_use]
pub fn route(version: &VersionName, spec: &VersionSpec) -> String {
    spec.environment.map_or_else(|| version.to_string(), |environment| environment.to_string())
}

/// Omits the secret.
impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_delivery::fixtures::{at, name};
    use tidegate_delivery::model::catalogue::Environment;

    fn spec(environment: Option<Environment>) -> VersionSpec {
        VersionSpec { endpoints: at(9101), istio: None, environment, commit: None }
    }

    /// RFC 4231 defines HMAC-SHA256; this value is that of `openssl dgst -sha256 -mac HMAC`.
    #[test]
    fn a_token_is_the_beginning_of_an_hmac() {
        let key = TokenKey::new([7; KEY]);
        let token = key.token(&name("order"), &name("v1"), &spec(None));
        assert_eq!(token, "9fcca02336c7a38936a73cfe3e68a2f3");
        assert_ne!(token, key.token(&name("order"), &name("v2"), &spec(None)));
        assert_ne!(token, key.token(&name("order2"), &name("v1"), &spec(None)));
        assert_ne!(token, TokenKey::new([8; KEY]).token(&name("order"), &name("v1"), &spec(None)));
    }

    #[test]
    fn versions_of_an_environment_share_a_token() {
        let key = TokenKey::new([7; KEY]);
        let token =
            |version, environment| key.token(&name("order"), &name(version), &spec(environment));
        let blue = Some(Environment::Blue);
        assert_eq!(token("v1", blue), token("v2", blue));
        assert_ne!(token("v1", blue), token("v1", Some(Environment::Green)));
        assert_eq!(token("v1", blue), key.of_route(&name("order"), "blue"));
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = TokenKey::new([7; KEY]);
        assert_eq!(TokenKey::from_hex(&key.secret()), Some(key.clone()));
        assert_eq!(TokenKey::from_hex("07"), None);
        assert!(!format!("{key:?}").contains("0707"));
    }
}
