//! HTTP calls to a running server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tidegate::api::problem::Details;
use tidegate::files::read_text;
use tidegate::root_cause::root_cause;

use super::failure::Failure;
use super::output::Format;

/// Longest wait for a response; the server has its own timeout of 30 s.
const TIMEOUT: Duration = Duration::from_secs(35);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest token file in bytes.
const MAX_TOKEN: u64 = 16 * 1024;

/// The server, and the format of the output. These options are global: they may stand before the command and after it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of commands that call a server")]
pub(super) struct Target {
    /// The address of the server's API
    #[arg(long, global = true, env = "TIDEGATE_SERVER", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// A file with a bearer token, for an authenticating proxy before the API. It is read again for each call
    #[arg(long, global = true, env = "TIDEGATE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The output format
    #[arg(
        short,
        long,
        global = true,
        env = "TIDEGATE_OUTPUT",
        value_enum,
        default_value = "table"
    )]
    pub(super) output: Format,
}

/// Actor and reason recorded in the event log.
#[derive(Debug, Clone, Args)]
pub(super) struct Origin {
    /// The actor recorded in the event log
    #[arg(long, global = true, env = "USER", hide_env_values = true, default_value = "cli")]
    pub(super) actor: String,
    /// The reason recorded in the event log
    #[arg(long, global = true)]
    pub(super) reason: Option<String>,
}

impl Origin {
    /// Members of a JSON body.
    pub(super) fn body(&self) -> Map<String, Value> {
        let actor = [("actor".to_owned(), self.actor.clone().into())];
        let reason = self.reason.clone().map(|reason| ("reason".to_owned(), reason.into()));
        actor.into_iter().chain(reason).collect()
    }

    /// Query parameters.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("actor", self.actor.clone())];
        query.extend(self.reason.clone().map(|reason| ("reason", reason)));
        query
    }
}

/// One server.
#[derive(Debug)]
pub(super) struct Client {
    server: Url,
    token_file: Option<PathBuf>,
    http: reqwest::Client,
}

impl Client {
    /// Validates the address; sends no request.
    pub(super) fn new(target: &Target) -> Result<Self, Failure> {
        let server = &target.server;
        let refuse = |why: String| Failure::Server { server: server.clone(), why };
        let url = Url::parse(server).map_err(|error| refuse(error.to_string()))?;
        if url.scheme() != "http" || url.cannot_be_a_base() {
            return Err(refuse("it must begin with http://".to_owned()));
        }
        // The control plane is called directly, also if the environment sets an HTTP proxy.
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| refuse(error.to_string()))?;
        Ok(Self { server: url, token_file: target.token_file.clone(), http })
    }

    /// `GET /api/v1/…`.
    pub(super) async fn get(&self, path: &[&str]) -> Result<Value, Failure> {
        self.call(Method::GET, path, &[], None).await
    }

    /// `GET /api/v1/…`, parsed from the bytes of the response: record hashes cover the JSON byte for byte.
    pub(super) async fn get_raw<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let answer = self.send(Method::GET, path, query, |request| request).await?;
        serde_json::from_slice(&answer).map_err(|error| self.unexpected(&error.to_string()))
    }

    /// A call under `/api/v1`; every segment of `path` is escaped.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        self.change(method, path, query, None, body).await
    }

    /// The same, only if the resource has the revision `if_match`.
    pub(super) async fn change(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        if_match: Option<u64>,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let answer = self
            .send(method, path, query, |mut request| {
                if let Some(revision) = if_match {
                    request = request.header(IF_MATCH, format!("\"{revision}\""));
                }
                match body {
                    Some(body) => request.json(body),
                    None => request,
                }
            })
            .await?;
        serde_json::from_slice(&answer).map_err(|error| self.unexpected(&error.to_string()))
    }

    /// The revision of a resource: its `ETag`, without quotes.
    pub(super) async fn revision(&self, path: &[&str]) -> Result<String, Failure> {
        let response = self.response(Method::GET, path, &[], |request| request).await?;
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        self.answer(response).await?;
        let tag = tag.ok_or_else(|| self.unexpected("no ETag"))?;
        Ok(tag.trim_matches('"').to_owned())
    }

    /// `PUT /api/v1/…` with a text body.
    pub(super) async fn put_text(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        kind: &'static str,
        text: String,
    ) -> Result<Value, Failure> {
        let body = |request: RequestBuilder| request.header(CONTENT_TYPE, kind).body(text);
        let answer = self.send(Method::PUT, path, query, body).await?;
        serde_json::from_slice(&answer).map_err(|error| self.unexpected(&error.to_string()))
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Vec<u8>, Failure> {
        let response = self.response(method, path, query, body).await?;
        self.answer(response).await
    }

    async fn response(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Failure> {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let mut request = body(self.http.request(method, url).query(query));
        if let Some(path) = &self.token_file {
            request = request.header(AUTHORIZATION, bearer(path)?);
        }
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    async fn answer(&self, response: Response) -> Result<Vec<u8>, Failure> {
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            return Ok(body.into());
        }
        match serde_json::from_slice::<Details>(&body) {
            Ok(problem) if problem.takes_away() => Err(Failure::TakesAway(problem.detail)),
            Ok(problem) => Err(Failure::Problem(problem)),
            Err(_) if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(Failure::Denied { server: self.server.to_string(), status: status.as_u16() })
            }
            Err(_) => Err(self.unexpected(&format!("status {status}"))),
        }
    }

    /// Deserializes a response.
    pub(super) fn read<T: DeserializeOwned>(&self, answer: &Value) -> Result<T, Failure> {
        T::deserialize(answer).map_err(|error| self.unexpected(&error.to_string()))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let why = root_cause(error).to_string();
        Failure::Unreachable { server: self.server.to_string(), why }
    }

    fn unexpected(&self, why: &str) -> Failure {
        Failure::UnexpectedResponse { server: self.server.to_string(), why: why.to_owned() }
    }
}

/// The header of the token in a file.
fn bearer(path: &Path) -> Result<HeaderValue, Failure> {
    let text = read_text(path, MAX_TOKEN)?;
    let token = text.trim();
    // RFC 6750, and every other token in use: visible ASCII.
    let header = Some(token)
        .filter(|token| !token.is_empty() && token.bytes().all(|it| it.is_ascii_graphic()));
    let header = header.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    let mut header = header.ok_or_else(|| {
        Failure::Input(format!(
            "{} of --token-file does not hold a token: write it alone into the file, in one line without spaces",
            path.display()
        ))
    })?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_token_is_alone_in_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        for (text, expected) in [
            ("abc.DEF-123~+/=\n", Some("Bearer abc.DEF-123~+/=")),
            ("abc", Some("Bearer abc")),
            ("", None),
            (" \n", None),
            ("two tokens", None),
            ("a\nb", None),
            ("grün", None),
        ] {
            fs::write(&path, text).unwrap();
            let header = bearer(&path);
            match expected {
                Some(expected) => {
                    let header = header.unwrap();
                    assert!(header.is_sensitive() && header == expected, "{text:?}");
                }
                None => {
                    let error = header.unwrap_err().to_string();
                    assert!(
                        error.contains("token of") || error.contains("--token-file"),
                        "{error}"
                    );
                    assert!(error.contains(path.to_str().unwrap()), "{error}");
                }
            }
        }
        let missing = bearer(&dir.path().join("missing")).unwrap_err().to_string();
        assert!(missing.contains("missing") && missing.contains("check the path"), "{missing}");
    }
}
