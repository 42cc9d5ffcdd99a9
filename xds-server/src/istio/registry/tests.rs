//! A registry that issues tokens for a password, and keeps what is uploaded with one.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request as AxumRequest, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response as AxumResponse};
use parking_lot::Mutex;

use super::*;

#[derive(Default)]
struct Fake {
    stored: Mutex<BTreeMap<String, Bytes>>,
    /// The registry stores something else than it received.
    corrupt: bool,
    address: Mutex<String>,
}

fn authorized(headers: &HeaderMap, expected: &str) -> bool {
    headers.get(AUTHORIZATION).is_some_and(|it| it == expected)
}

async fn answer(State(fake): State<Arc<Fake>>, request: AxumRequest) -> AxumResponse {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let body = to_bytes(body, MAX_BODY).await.unwrap();
    if path == "/token" {
        assert_eq!(query, "service=fake&scope=repository:a/b:pull%2Cpush");
        let basic = format!("Basic {}", STANDARD.encode("anne:secret"));
        return match authorized(&parts.headers, &basic) {
            true => r#"{"token": "granted"}"#.into_response(),
            false => StatusCode::UNAUTHORIZED.into_response(),
        };
    }
    if !authorized(&parts.headers, "Bearer granted") {
        let challenge = format!(
            r#"Bearer realm="http://{}/token",service="fake",scope="repository:a/b:pull,push""#,
            fake.address.lock()
        );
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response();
    }
    let mut stored = fake.stored.lock();
    match (parts.method.as_str(), path.as_str()) {
        ("POST", "/v2/a/b/blobs/uploads/") => {
            (StatusCode::ACCEPTED, [(header::LOCATION, "/v2/upload?state=1")]).into_response()
        }
        ("PUT", "/v2/upload") => {
            let digest = query.strip_prefix("state=1&digest=").unwrap().to_owned();
            stored.insert(format!("/v2/a/b/blobs/{digest}"), body);
            StatusCode::CREATED.into_response()
        }
        ("PUT", "/v2/a/b/manifests/v1") => {
            let digest = super::super::image::digest(&body);
            let body = if fake.corrupt { Bytes::from_static(b"{}") } else { body };
            stored.insert(format!("/v2/a/b/manifests/{digest}"), body);
            StatusCode::CREATED.into_response()
        }
        ("GET" | "HEAD", path) => match stored.get(path) {
            Some(body) => body.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        other => panic!("{other:?}"),
    }
}

async fn start(corrupt: bool) -> (Arc<Fake>, Reference) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let fake = Arc::new(Fake { corrupt, ..Fake::default() });
    (*fake.address.lock()).clone_from(&address);
    let router = Router::new().fallback(answer).with_state(Arc::clone(&fake));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (fake, format!("oci://{address}/a/b:v1").parse().unwrap())
}

fn image() -> Image {
    Image::new(b"\0asm\x01\0\0\0").unwrap()
}

fn credentials(password: &str) -> Credentials {
    Credentials { username: "anne".to_owned(), password: password.to_owned() }
}

#[tokio::test]
async fn a_token_is_requested_with_the_password() {
    let (fake, reference) = start(false).await;
    let image = image();
    push(&image, &reference, Some(&credentials("secret"))).await.unwrap();
    let stored = fake.stored.lock().clone();
    for blob in [&image.config, &image.layer] {
        assert_eq!(stored[&format!("/v2/a/b/blobs/{}", blob.digest)], blob.bytes);
    }
    assert_eq!(
        stored[&format!("/v2/a/b/manifests/{}", image.manifest.digest)],
        image.manifest.bytes
    );
}

#[tokio::test]
async fn without_the_right_password_nothing_is_stored() {
    let (fake, reference) = start(false).await;
    let wrong = credentials("wrong");
    for credentials in [None, Some(&wrong)] {
        let error = push(&image(), &reference, credentials).await.unwrap_err();
        assert!(matches!(error, PushError::Unauthorized), "{error}");
    }
    assert!(fake.stored.lock().is_empty());
}

#[tokio::test]
async fn another_content_under_the_digest_is_an_error() {
    let (_fake, reference) = start(true).await;
    let error = push(&image(), &reference, Some(&credentials("secret"))).await.unwrap_err();
    assert!(matches!(error, PushError::Digest { .. }), "{error}");
}
