//! The service over a loopback socket.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

async fn start() -> Service {
    let name = ServiceVersion { service: "order".to_owned(), version: "v2".to_owned() };
    Service::start(name, "127.0.0.1:0".parse().unwrap(), Faults::default()).await.unwrap()
}

/// Sends one request on a new connection and returns the response as text.
async fn exchange(service: &Service, method: &str, path: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(service.address()).await?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}

#[tokio::test]
async fn any_path_names_service_and_version() {
    let service = start().await;
    let response = exchange(&service, "POST", "/a/b?c", "hello").await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(
        response.contains("x-service: order\r\n") && response.contains("x-version: v2\r\n"),
        "{response}"
    );
    assert!(
        response.ends_with(r#"{"path":"/a/b","service":"order","version":"v2"}"#),
        "{response}"
    );
    exchange(&service, "GET", "/healthz", "").await.unwrap();
    exchange(&service, "GET", "/faults", "").await.unwrap();
    assert_eq!(service.requests(), 1);
}

#[tokio::test]
async fn faults_change_at_run_time_and_apply_to_healthz_only_if_set() {
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
async fn invalid_faults_are_rejected_and_leave_the_old_ones() {
    let service = start().await;
    let long = format!(r#"{{"error_share": 1{}}}"#, " ".repeat(MAX_BYTES));
    for (body, reason) in
        [(r#"{"error_share": 2}"#, "between 0 and 1"), ("{", "EOF"), (&long, "length limit")]
    {
        let rejected = exchange(&service, "PUT", "/faults", body).await.unwrap();
        assert!(
            rejected.starts_with("HTTP/1.1 400 ") && rejected.contains("application/problem+json"),
            "{rejected}"
        );
        assert!(rejected.contains(reason), "{rejected}");
    }
    let rejected = exchange(&service, "DELETE", "/faults", "").await.unwrap();
    assert!(
        rejected.starts_with("HTTP/1.1 405 ") && rejected.contains("allow: GET, PUT\r\n"),
        "{rejected}"
    );
    assert!(exchange(&service, "GET", "/", "").await.unwrap().starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn an_injected_reset_sends_a_tcp_reset() {
    let service = start().await;
    service.set_faults(serde_json::from_str(r#"{"reset_share": 1}"#).unwrap());
    let error = exchange(&service, "GET", "/", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    service.set_faults(Faults::default());
    assert!(exchange(&service, "GET", "/", "").await.is_ok());
}

#[tokio::test]
async fn a_dropped_service_closes_its_listener_and_an_address_in_use_is_an_error() {
    let service = start().await;
    let (address, name) = (service.address(), service.state.name.clone());
    let error = Service::start(name.clone(), address, Faults::default()).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    let mut kept = TcpStream::connect(address).await.unwrap();
    drop(service);
    assert_eq!(kept.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(address).await.is_err());
    let invalid = ServiceVersion { version: "v\n2".to_owned(), ..name };
    assert!(matches!(
        Service::start(invalid, address, Faults::default()).await,
        Err(StartError::Name(_))
    ));
}
