//! Messages and responses, without a real server. A real BIND is used by the end-to-end tests.

use std::net::IpAddr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use tidegate_delivery::model::dns::{Tsig, TsigAlgorithm};
use tidegate_delivery::units::Timestamp;

fn dns(server: std::net::SocketAddr) -> Dns {
    Dns {
        zone: "example.org.".to_owned(),
        name: "product.example.org.".to_owned(),
        server,
        ttl: Duration::from_secs(30),
        tsig: None,
        records: None,
    }
}

fn addresses(text: &[&str]) -> RecordSet {
    RecordSet::Addresses(text.iter().map(|it| it.parse::<IpAddr>().unwrap()).collect())
}

#[test]
fn an_update_replaces_all_managed_records_in_one_message() {
    let name = RecordName::of(&dns("127.0.0.1:53".parse().unwrap())).unwrap();
    let update = name.update(&addresses(&["192.0.2.1", "2001:db8::1"]), 30).unwrap();
    let read = Message::from_vec(&update.to_vec().unwrap()).unwrap();
    let (deleted, added): (Vec<_>, Vec<_>) =
        read.authorities.iter().partition(|record| record.dns_class == DNSClass::ANY);
    let kinds: Vec<_> = deleted.iter().map(|record| record.record_type()).collect();
    assert_eq!(kinds, [RecordType::A, RecordType::AAAA, RecordType::CNAME]);
    let kinds: Vec<_> = added.iter().map(|record| (record.record_type(), record.ttl)).collect();
    assert_eq!(kinds, [(RecordType::A, 30), (RecordType::AAAA, 30)]);
}

/// A server that responds to each message with the result of `respond`.
async fn server(respond: fn(&[u8]) -> Vec<u8>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            while let Ok(length) = stream.read_u16().await {
                let mut request = vec![0; usize::from(length)];
                stream.read_exact(&mut request).await.unwrap();
                let response = respond(&request);
                let length = u16::try_from(response.len()).unwrap();
                stream.write_all(&length.to_be_bytes()).await.unwrap();
                stream.write_all(&response).await.unwrap();
            }
        }
    });
    address
}

fn response(request: &[u8], code: ResponseCode, authoritative: bool) -> Vec<u8> {
    let request = Message::from_vec(request).unwrap();
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata.response_code = code;
    response.metadata.authoritative = authoritative;
    response.to_vec().unwrap()
}

async fn error_of(respond: fn(&[u8]) -> Vec<u8>, tsig: Option<Tsig>) -> DnsError {
    let dns = Dns { tsig, ..dns(server(respond).await) };
    let clock = Clock::new(|| Timestamp(1_700_000_000_000));
    check_and_update(&dns, &addresses(&["192.0.2.1"]), &clock).await.unwrap_err()
}

#[tokio::test]
async fn invalid_responses_are_errors() {
    let error = error_of(|_| b"hello".to_vec(), None).await;
    assert!(matches!(error, DnsError::Decode(_)), "{error:?}");
    let error = error_of(|it| response(it, ResponseCode::ServFail, true), None).await;
    assert!(matches!(error, DnsError::Response(ResponseCode::ServFail)), "{error:?}");
    let error = error_of(|it| response(it, ResponseCode::NoError, false), None).await;
    assert!(matches!(error, DnsError::NotAuthoritative), "{error:?}");
    let other = |it: &[u8]| {
        let mut response = response(it, ResponseCode::NoError, true);
        response[0] ^= 1;
        response
    };
    let error = error_of(other, None).await;
    assert!(matches!(error, DnsError::Mismatch), "{error:?}");
    let unchanged: fn(&[u8]) -> Vec<u8> = |it| response(it, ResponseCode::NoError, true);
    let error = error_of(unchanged, None).await;
    assert!(
        matches!(&error, DnsError::NotApplied(records) if records == "no records"),
        "{error:?}"
    );

    let dir = tempfile::tempdir().unwrap();
    let key_file = dir.path().join("key");
    std::fs::write(&key_file, "aGVsbG8=").unwrap();
    let name = "tidegate.".to_owned();
    let tsig = Tsig { name, algorithm: TsigAlgorithm::HmacSha256, key_file };
    let error = error_of(unchanged, Some(tsig)).await;
    assert!(matches!(error, DnsError::Unsigned(_)), "{error:?}");
}
