//! TLS against a local server, redirects and timeouts.

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::effects::fakes::{Behavior, FakeReceiver};

/// A TLS server for `localhost` that responds with 204, and its certificate.
async fn server() -> (String, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust the certificate ends the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"{}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            stream.flush().await.unwrap();
        }
    });
    (url, roots)
}

fn request(url: &str) -> WebhookRequest<'_> {
    WebhookRequest {
        bearer: None,
        url,
        body: Bytes::from_static(b"{}"),
        content_type: JSON,
        idempotency_key: "k",
        secret: None,
        timeout: Duration::from_secs(30),
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_fails_the_request() {
    let (url, roots) = server().await;
    let trusting = WebhookClient::with_roots(roots, Clock::system()).unwrap();
    trusting.post(&request(&url)).await.unwrap();
    let untrusting = WebhookClient::with_roots(RootCertStore::empty(), Clock::system()).unwrap();
    let error = untrusting.post(&request(&url)).await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn a_token_is_sent_and_one_that_is_no_header_value_is_an_error() {
    let fake = FakeReceiver::start(&[Behavior::Respond(200)]).await;
    let webhooks = crate::effects::fakes::webhooks();
    let with = |bearer| WebhookRequest { bearer: Some(bearer), ..request(&fake.url) };
    webhooks.post(&with("t0ken")).await.unwrap();
    assert_eq!(fake.received()[0].header("authorization"), "Bearer t0ken");
    let error = webhooks.post(&with("t0\nken")).await.unwrap_err();
    assert!(matches!(error, RequestError::Request(_)), "{error}");
    assert!(!error.to_string().contains("t0"), "{error}");
}

#[tokio::test]
async fn redirects_are_not_followed_and_a_silent_receiver_times_out() {
    let fake = FakeReceiver::start(&[Behavior::Respond(307), Behavior::Hang]).await;
    let webhooks = crate::effects::fakes::webhooks();
    let error = webhooks.post(&request(&fake.url)).await.unwrap_err();
    assert!(matches!(error, RequestError::Status(StatusCode::TEMPORARY_REDIRECT)), "{error}");
    let short = WebhookRequest { timeout: Duration::from_millis(10), ..request(&fake.url) };
    let error = webhooks.post(&short).await.unwrap_err();
    assert!(matches!(error, RequestError::Timeout(_)), "{error}");
    assert!(fake.received().iter().all(|it| it.key() == "k"));
}
