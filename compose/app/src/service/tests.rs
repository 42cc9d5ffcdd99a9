//! The service as its callers see it: over a socket.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

async fn start() -> Service {
    let identity = Identity { service: "order".to_owned(), version: "v2".to_owned() };
    Service::start(identity, "127.0.0.1:0".parse().unwrap(), Faults::default()).await.unwrap()
}

/// One exchange on a connection of its own, as text.
async fn exchange(service: &Service, method: &str, path: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(service.address()).await?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn any_path_says_who_answered() {
    let service = start().await;
    let answer = exchange(&service, "POST", "/a/b?c", "hello").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer.contains("x-service: order\r\n") && answer.contains("x-version: v2\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with(r#"{"path":"/a/b","service":"order","version":"v2"}"#), "{answer}");
    exchange(&service, "GET", "/healthz", "").await.unwrap();
    exchange(&service, "GET", "/faults", "").await.unwrap();
    assert_eq!(service.requests(), 1);
}

#[tokio::test]
async fn faults_are_set_while_it_runs_and_spare_healthz_unless_told() {
    let service = start().await;
    let set = exchange(&service, "PUT", "/faults", r#"{"error_share": 1, "error_status": 500}"#)
        .await
        .unwrap();
    assert!(set.contains(r#""error_share":1.0"#), "{set}");
    let failed = exchange(&service, "GET", "/", "").await.unwrap();
    assert!(
        failed.starts_with("HTTP/1.1 500 ") && failed.contains("x-version: v2\r\n"),
        "{failed}"
    );
    assert!(exchange(&service, "GET", "/healthz", "").await.unwrap().starts_with("HTTP/1.1 200 "));
    exchange(&service, "PUT", "/faults", r#"{"error_share": 1, "healthz": true}"#).await.unwrap();
    assert!(exchange(&service, "GET", "/healthz", "").await.unwrap().starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn nonsense_changes_nothing() {
    let service = start().await;
    let long = format!(r#"{{"error_share": 1{}}}"#, " ".repeat(MAX_BYTES));
    for (body, says) in
        [(r#"{"error_share": 2}"#, "between 0 and 1"), ("{", "EOF"), (&long, "length limit")]
    {
        let refusal = exchange(&service, "PUT", "/faults", body).await.unwrap();
        assert!(
            refusal.starts_with("HTTP/1.1 400 ") && refusal.contains("application/problem+json"),
            "{refusal}"
        );
        assert!(refusal.contains(says), "{refusal}");
    }
    let refusal = exchange(&service, "DELETE", "/faults", "").await.unwrap();
    assert!(
        refusal.starts_with("HTTP/1.1 405 ") && refusal.contains("allow: GET, PUT\r\n"),
        "{refusal}"
    );
    assert!(exchange(&service, "GET", "/", "").await.unwrap().starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_reset_reaches_the_peer_as_a_reset() {
    let service = start().await;
    service.set_faults(serde_json::from_str(r#"{"reset_share": 1}"#).unwrap());
    let error = exchange(&service, "GET", "/", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    service.set_faults(Faults::default());
    assert!(exchange(&service, "GET", "/", "").await.is_ok());
}

#[tokio::test]
async fn a_dropped_service_is_gone_and_a_taken_address_is_refused() {
    let service = start().await;
    let (address, identity) = (service.address(), service.shared.identity.clone());
    let refusal = Service::start(identity.clone(), address, Faults::default()).await.unwrap_err();
    assert!(refusal.to_string().contains(&address.to_string()), "{refusal}");
    let mut kept = TcpStream::connect(address).await.unwrap();
    drop(service);
    assert_eq!(kept.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(address).await.is_err());
    let nameless = Identity { version: "v\n2".to_owned(), ..identity };
    assert!(matches!(
        Service::start(nameless, address, Faults::default()).await,
        Err(StartError::Name(_))
    ));
}
