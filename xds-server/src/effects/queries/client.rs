//! `GET` of one value.

use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::MAX_BODY;
use crate::effects::secret;
use crate::effects::webhook::{AGENT, JSON, RequestError, TlsError, bearer, https_connector};
use crate::root_cause::root_cause;
use tidegate_delivery::judge::queries::{Micros, QueryGuardrail};
use tidegate_delivery::model::hook::SecretRef;

/// See [`super::Queries`].
#[derive(Clone)]
pub(super) struct QueryClient {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// Why a query has no value.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueryError {
    /// There is no response of status 200.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The body has no value.
    #[error(transparent)]
    Body(#[from] NoValue),
}

/// Why a body has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoValue {
    /// Not the JSON of such a server.
    #[error("the response is not the expected JSON")]
    Json,
    /// A query must have one value.
    #[error("the query has {0} series; aggregate them to one")]
    Series(usize),
    /// Infinite, not a number, or above 10^12.
    #[error("the value is not a finite number below 10^12")]
    Number,
}

impl QueryClient {
    pub(super) fn new() -> Result<Self, TlsError> {
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(https_connector()?) })
    }

    pub(super) async fn value(
        &self,
        url: String,
        is_prometheus: bool,
        guardrail: &QueryGuardrail,
    ) -> Result<Micros, QueryError> {
        let body = self.body(url, guardrail).await?;
        Ok(if is_prometheus { of_prometheus(&body) } else { of_endpoint(&body) }?)
    }

    async fn body(&self, url: String, guardrail: &QueryGuardrail) -> Result<Bytes, RequestError> {
        let mut request = Request::get(url).header(USER_AGENT, AGENT).header(ACCEPT, JSON);
        if let Some(path) = &guardrail.token_file {
            let token = secret::read(&SecretRef::File(PathBuf::from(path)))?;
            request = request.header(AUTHORIZATION, bearer(&token)?);
        }
        let request = request.body(Empty::new())?;
        let response = async {
            let response = self.client.request(request).await;
            let response =
                response.map_err(|error| RequestError::Failed(root_cause(&error).to_string()))?;
            let status = response.status();
            if status != StatusCode::OK {
                return Err(RequestError::Status(status));
            }
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
            body.map(|it| it.to_bytes())
                .map_err(|error| RequestError::Failed(root_cause(&*error).to_string()))
        };
        let body = timeout(guardrail.timeout, response).await;
        body.map_err(|_| RequestError::Timeout(guardrail.timeout))?
    }
}

/// The URL of an instant query.
pub(super) fn prometheus_url(server: &str, query: &str) -> String {
    let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
    format!("{}/api/v1/query?query={query}", server.trim_end_matches('/'))
}

/// The answer to an instant query, as far as it is read.
#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

/// One value of one series.
#[derive(Deserialize)]
struct Series {
    value: (Value, String),
}

fn of_prometheus(body: &[u8]) -> Result<Micros, NoValue> {
    let Answer { data: Data { kind, result } } =
        serde_json::from_slice(body).map_err(|_| NoValue::Json)?;
    let text = if kind == "scalar" {
        let (_, text): (Value, String) =
            serde_json::from_value(result).map_err(|_| NoValue::Json)?;
        text
    } else {
        let series: Vec<Series> = serde_json::from_value(result).map_err(|_| NoValue::Json)?;
        match <[Series; 1]>::try_from(series) {
            Ok([Series { value: (_, text) }]) => text,
            Err(series) => return Err(NoValue::Series(series.len())),
        }
    };
    number(text.parse().map_err(|_| NoValue::Number)?)
}

/// `5`, or `{"value": 5}`.
fn of_endpoint(body: &[u8]) -> Result<Micros, NoValue> {
    let body: Value = serde_json::from_slice(body).map_err(|_| NoValue::Json)?;
    let value = body.get("value").unwrap_or(&body);
    number(value.as_f64().ok_or(NoValue::Json)?)
}

fn number(value: f64) -> Result<Micros, NoValue> {
    Micros::of(value).ok_or(NoValue::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_one_value() {
        let of = |result: &str| {
            of_prometheus(format!(r#"{{"status":"success","data":{result}}}"#).as_bytes())
        };
        let vector =
            |values: &str| of(&format!(r#"{{"resultType":"vector","result":[{values}]}}"#));
        let one = r#"{"metric":{},"value":[1.5,"0.25"]}"#;
        assert_eq!(vector(one), Ok(Micros(250_000)));
        assert_eq!(of(r#"{"resultType":"scalar","result":[1.5,"3"]}"#), Ok(Micros(3_000_000)));
        assert_eq!(vector(""), Err(NoValue::Series(0)));
        assert_eq!(vector(&format!("{one},{one}")), Err(NoValue::Series(2)));
        for odd in ["NaN", "+Inf", "1e300", "x"] {
            assert_eq!(vector(&one.replace("0.25", odd)), Err(NoValue::Number), "{odd}");
        }
        assert_eq!(of_prometheus(b"<html>"), Err(NoValue::Json));
        assert_eq!(of(r#"{"resultType":"matrix","result":[{"values":[]}]}"#), Err(NoValue::Json));
    }

    #[test]
    fn an_endpoint_answers_with_a_number() {
        assert_eq!(of_endpoint(b"5\n"), Ok(Micros(5_000_000)));
        assert_eq!(of_endpoint(br#"{"value": -0.5}"#), Ok(Micros(-500_000)));
        for odd in ["", "null", "\"5\"", "[5]", r#"{"value": "5"}"#, r#"{"other": 5}"#] {
            assert_eq!(of_endpoint(odd.as_bytes()), Err(NoValue::Json), "{odd}");
        }
        assert_eq!(of_endpoint(b"1e13"), Err(NoValue::Number));
    }

    #[test]
    fn expressions_are_escaped() {
        let url = prometheus_url("http://p:9090/", r#"sum(rate(x{v="v 2"}[1m]))"#);
        assert_eq!(
            url,
            "http://p:9090/api/v1/query?query=sum%28rate%28x%7Bv%3D%22v%202%22%7D%5B1m%5D%29%29"
        );
    }
}
