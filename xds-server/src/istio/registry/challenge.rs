//! `WWW-Authenticate` of registries: Basic, or Bearer with the address where a token is issued.

use std::net::IpAddr;

use serde::Deserialize;

/// What a registry requires.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A user and a password.
    Basic,
    /// A token.
    Bearer(Bearer),
}

/// Where and for what a token is issued.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

#[derive(Deserialize)]
struct Issued {
    token: Option<String>,
    access_token: Option<String>,
}

/// The token in the response of its issuer.
pub(super) fn token(body: &[u8]) -> Option<String> {
    let Issued { token, access_token } = serde_json::from_slice(body).ok()?;
    token.or(access_token)
}

impl Challenge {
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, parameters) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => Some(Self::Basic),
            "bearer" => {
                let mut bearer = Bearer { realm: String::new(), service: None, scope: None };
                for (key, value) in parameters_of(parameters) {
                    match key {
                        "realm" => bearer.realm = value,
                        "service" => bearer.service = Some(value),
                        "scope" => bearer.scope = Some(value),
                        _ => {}
                    }
                }
                Some(Self::Bearer(bearer))
            }
            _ => None,
        }
    }
}

/// `key="value"` pairs. A comma in quotes belongs to the value, as in `scope="repository:a:pull,push"`.
fn parameters_of(mut text: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    while let Some((key, rest)) = text.split_once('=') {
        let key = key.trim_matches([',', ' ']);
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(',').unwrap_or((rest, "")),
        };
        found.push((key, value.to_owned()));
        text = rest;
    }
    found
}

impl Bearer {
    /// The address of the token, over TLS or at this machine: a request to it contains the password.
    pub(super) fn url(&self) -> Option<String> {
        if !is_safe(&self.realm) {
            return None;
        }
        let mut url = self.realm.clone();
        for (key, value) in [("service", &self.service), ("scope", &self.scope)] {
            if let Some(value) = value {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str(key);
                url.push('=');
                url.push_str(&encoded(value));
            }
        }
        Some(url)
    }
}

/// Whether a URL is one of https, or of this machine.
fn is_safe(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return url.starts_with("https://");
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    is_loopback(authority)
}

/// Whether `host[:port]` is this machine.
pub(super) fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

/// Percent-encoding of a value in a query.
fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:/".contains(&byte);
    let encode = |byte: u8| match byte {
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    value.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(header: &str) -> Option<String> {
        match Challenge::parse(header)? {
            Challenge::Bearer(bearer) => bearer.url(),
            Challenge::Basic => panic!("{header}"),
        }
    }

    #[test]
    fn a_bearer_challenge_names_the_address_of_the_token() {
        assert_eq!(
            url(
                r#"Bearer realm="https://auth.example.com/token",service="registry",scope="repository:a/b:pull,push""#
            ),
            Some(
                "https://auth.example.com/token?service=registry&scope=repository:a/b:pull%2Cpush"
                    .to_owned()
            )
        );
        assert_eq!(
            url(r#"Bearer realm="http://127.0.0.1:5000/token?a=b", scope=x"#),
            Some("http://127.0.0.1:5000/token?a=b&scope=x".to_owned())
        );
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Negotiate"), None);
    }

    #[test]
    fn a_password_is_not_sent_in_plaintext() {
        for realm in
            ["http://auth.example.com/token", "http://127.0.0.1.example.com/", "ftp://a", ""]
        {
            assert_eq!(url(&format!("Bearer realm=\"{realm}\"")), None, "{realm}");
        }
        assert!(
            is_loopback("[::1]:5000") && is_loopback("localhost") && !is_loopback("10.0.0.1:5000")
        );
    }

    #[test]
    fn a_token_has_one_of_two_names() {
        assert_eq!(token(br#"{"token": "a"}"#), Some("a".to_owned()));
        assert_eq!(token(br#"{"access_token": "b", "expires_in": 60}"#), Some("b".to_owned()));
        assert_eq!(token(b"{}"), None);
    }
}
