//! Where an image is pushed to.

use std::fmt;
use std::str::FromStr;

use super::challenge::is_loopback;

/// The tag of an image without one.
const TAG: &str = env!("CARGO_PKG_VERSION");
/// Longest repository, in bytes.
const MAX_REPOSITORY: usize = 255;
/// Longest tag, in bytes.
const MAX_TAG: usize = 128;

/// A repository and a tag in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    authority: String,
    repository: String,
    tag: String,
}

/// Not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a repository; write oci://REGISTRY/REPOSITORY[:TAG]")]
pub struct ReferenceError(String);

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let error = || ReferenceError(text.to_owned());
        let rest = text.strip_prefix("oci://").ok_or_else(error)?;
        let (authority, path) = rest.split_once('/').ok_or_else(error)?;
        let (repository, tag) = path.rsplit_once(':').unwrap_or((path, TAG));
        let host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let part = |part: &str| {
            part.bytes().next().is_some_and(lower)
                && part.bytes().all(|byte| lower(byte) || b"._-".contains(&byte))
        };
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let good = !authority.is_empty()
            && authority.bytes().all(host)
            && repository.len() <= MAX_REPOSITORY
            && repository.split('/').all(part)
            && (1..=MAX_TAG).contains(&tag.len())
            && tag.bytes().all(word);
        if !good {
            return Err(error());
        }
        Ok(Self {
            authority: authority.to_owned(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        })
    }
}

impl Reference {
    /// The tag.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The image with a digest, as a WasmPlugin names it.
    #[must_use]
    pub fn pinned(&self, digest: &str) -> String {
        format!("oci://{}/{}@{digest}", self.authority, self.repository)
    }

    /// The registry: over TLS, unless it is this machine.
    fn origin(&self) -> String {
        let scheme = if is_loopback(&self.authority) { "http" } else { "https" };
        format!("{scheme}://{}", self.authority)
    }

    /// A URL of the repository.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/v2/{}/{path}", self.origin(), self.repository)
    }

    /// A location in a response, which may be relative to the registry. Not one in plaintext at another machine.
    pub(super) fn resolve(&self, location: &str) -> Option<String> {
        if location.starts_with('/') {
            return Some(format!("{}{location}", self.origin()));
        }
        let secure = location.starts_with("https://") || self.is_at(location);
        secure.then(|| location.to_owned())
    }

    /// Whether a URL is one of the registry.
    pub(super) fn is_at(&self, url: &str) -> bool {
        url.strip_prefix(&self.origin()).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// `oci://REGISTRY/REPOSITORY:TAG`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}/{}:{}", self.authority, self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_a_registry_a_repository_and_a_tag() {
        let reference: Reference = "oci://127.0.0.1:5000/tidegate/filter:v1".parse().unwrap();
        assert_eq!(
            reference.url("manifests/v1"),
            "http://127.0.0.1:5000/v2/tidegate/filter/manifests/v1"
        );
        let reference: Reference = "oci://registry.example.com/filter".parse().unwrap();
        assert_eq!(reference.tag(), TAG);
        assert_eq!(reference.url("x"), "https://registry.example.com/v2/filter/x");
        assert_eq!(reference.pinned("sha256:0"), "oci://registry.example.com/filter@sha256:0");
        for bad in [
            "",
            "registry/filter",
            "oci://registry",
            "oci:///a",
            "oci://a/B",
            "oci://a/b:",
            "oci://a/b@sha256:0",
            "oci://u@a/b",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn locations_are_relative_or_of_the_registry_or_over_tls() {
        let reference: Reference = "oci://registry.example.com/filter".parse().unwrap();
        let resolve = |location| reference.resolve(location);
        assert_eq!(resolve("/v2/x"), Some("https://registry.example.com/v2/x".to_owned()));
        assert_eq!(
            resolve("https://blobs.example.com/x"),
            Some("https://blobs.example.com/x".to_owned())
        );
        assert_eq!(resolve("http://registry.example.com/v2/x"), None);
        assert!(!reference.is_at("https://registry.example.com.evil.org/"));
    }
}
