//! TLS against a server of our own, and answers that are none.

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::effects::fakes::{Fake, Mood};

/// A server for `localhost` that answers 204 to whoever trusts it, and its certificate.
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
            // Who does not trust it hangs up.
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

fn post(url: &str) -> Post<'_> {
    let patience = Duration::from_secs(30);
    Post { url, body: Bytes::from_static(b"{}"), key: "k", secret: None, patience }
}

#[tokio::test]
async fn https_is_spoken_with_whom_we_trust_and_nobody_else() {
    let (url, roots) = server().await;
    let trusting = Outbound::trusting(roots, Clock::system()).unwrap();
    trusting.post(&post(&url)).await.unwrap();
    let strangers = Outbound::trusting(RootCertStore::empty(), Clock::system()).unwrap();
    let error = strangers.post(&post(&url)).await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn no_redirect_is_followed_and_silence_ends() {
    let fake = Fake::start(&[Mood::Answer(307), Mood::Hang]).await;
    let outbound = crate::effects::fakes::outbound();
    let error = outbound.post(&post(&fake.url)).await.unwrap_err();
    assert!(matches!(error, PostError::Status(StatusCode::TEMPORARY_REDIRECT)), "{error}");
    let hasty = Post { patience: Duration::from_millis(10), ..post(&fake.url) };
    let error = outbound.post(&hasty).await.unwrap_err();
    assert!(matches!(error, PostError::Late(_)), "{error}");
    assert!(fake.got().iter().all(|got| got.key() == "k"));
}
