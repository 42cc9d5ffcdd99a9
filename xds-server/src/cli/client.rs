//! Talks to a running server.

use std::time::Duration;

use clap::Args;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tidegate::api::problem::Details;

use super::failure::Failure;
use super::output::Format;

/// Longest wait for an answer; the server itself gives up after 30 s.
const PATIENCE: Duration = Duration::from_secs(35);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Where to ask, and how to show the answer.
#[derive(Debug, Clone, Args)]
pub(super) struct Target {
    /// The server's API
    #[arg(long, global = true, env = "TIDEGATE_SERVER", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// How to show the answer
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
    /// Why, for the journal
    #[arg(long, global = true)]
    pub(super) reason: Option<String>,
}

impl Origin {
    /// As members of a JSON body.
    pub(super) fn body(&self) -> Map<String, Value> {
        let actor = [("actor".to_owned(), self.actor.clone().into())];
        let reason = self.reason.clone().map(|reason| ("reason".to_owned(), reason.into()));
        actor.into_iter().chain(reason).collect()
    }

    /// As query parameters.
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
    http: reqwest::Client,
}

impl Client {
    /// Checks the address; sends no request.
    pub(super) fn new(target: &Target) -> Result<Self, Failure> {
        let server = &target.server;
        let refuse = |why: String| Failure::Server { server: server.clone(), why };
        let url = Url::parse(server).map_err(|error| refuse(error.to_string()))?;
        if url.scheme() != "http" || url.cannot_be_a_base() {
            return Err(refuse("it must begin with http://".to_owned()));
        }
        // A proxy for the Internet has no business between an operator and the control plane.
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .build()
            .map_err(|error| refuse(error.to_string()))?;
        Ok(Self { server: url, http })
    }

    /// `GET /api/v1/…`.
    pub(super) async fn get(&self, path: &[&str]) -> Result<Value, Failure> {
        self.ask(Method::GET, path, &[], None).await
    }

    /// `GET /api/v1/…` as a type, read from the very bytes that came.
    pub(super) async fn get_exactly<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let answer = self.send(Method::GET, path, query, |request| request).await?;
        serde_json::from_slice(&answer).map_err(|error| self.strange(&error.to_string()))
    }

    /// Any call under `/api/v1`; every segment of `path` is escaped.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let answer = self
            .send(method, path, query, |request| match body {
                Some(body) => request.json(body),
                None => request,
            })
            .await?;
        serde_json::from_slice(&answer).map_err(|error| self.strange(&error.to_string()))
    }

    /// `PUT /api/v1/…` of a text of some media type.
    pub(super) async fn put_text(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        kind: &'static str,
        text: String,
    ) -> Result<Value, Failure> {
        let body = |request: RequestBuilder| request.header(CONTENT_TYPE, kind).body(text);
        let answer = self.send(Method::PUT, path, query, body).await?;
        serde_json::from_slice(&answer).map_err(|error| self.strange(&error.to_string()))
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Vec<u8>, Failure> {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let request = body(self.http.request(method, url).query(query));
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        self.answer(response).await
    }

    async fn answer(&self, response: Response) -> Result<Vec<u8>, Failure> {
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            return Ok(body.into());
        }
        match serde_json::from_slice::<Details>(&body) {
            Ok(problem) => Err(Failure::Problem(problem)),
            Err(_) => Err(self.strange(&format!("status {status}"))),
        }
    }

    /// The answer as a type.
    pub(super) fn read<T: DeserializeOwned>(&self, answer: &Value) -> Result<T, Failure> {
        T::deserialize(answer).map_err(|error| self.strange(&error.to_string()))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        Failure::Unreachable { server: self.server.to_string(), why: innermost(error) }
    }

    fn strange(&self, why: &str) -> Failure {
        Failure::Strange { server: self.server.to_string(), why: why.to_owned() }
    }
}

/// The cause at the bottom: "connection refused", not "error sending request".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
