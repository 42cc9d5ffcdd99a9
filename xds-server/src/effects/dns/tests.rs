//! The messages, without a server. What a real one makes of them is in the end-to-end tests.

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
fn an_update_replaces_all_that_is_ours_in_one_message() {
    let names = Names::of(&dns("127.0.0.1:53".parse().unwrap())).unwrap();
    let update = names.update(&addresses(&["192.0.2.1", "2001:db8::1"]), 30).unwrap();
    let read = Message::from_vec(&update.to_vec().unwrap()).unwrap();
    let (gone, come): (Vec<_>, Vec<_>) =
        read.authorities.iter().partition(|record| record.dns_class == DNSClass::ANY);
    let kinds: Vec<_> = gone.iter().map(|record| record.record_type()).collect();
    assert_eq!(kinds, [RecordType::A, RecordType::AAAA, RecordType::CNAME]);
    let kinds: Vec<_> = come.iter().map(|record| (record.record_type(), record.ttl)).collect();
    assert_eq!(kinds, [(RecordType::A, 30), (RecordType::AAAA, 30)]);
}

/// A server that answers each message with what `answer` makes of it.
async fn server(answer: fn(&[u8]) -> Vec<u8>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            while let Ok(length) = stream.read_u16().await {
                let mut question = vec![0; usize::from(length)];
                stream.read_exact(&mut question).await.unwrap();
                let answer = answer(&question);
                let length = u16::try_from(answer.len()).unwrap();
                stream.write_all(&length.to_be_bytes()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        }
    });
    address
}

fn said(question: &[u8], code: ResponseCode, authoritative: bool) -> Vec<u8> {
    let question = Message::from_vec(question).unwrap();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.response_code = code;
    answer.metadata.authoritative = authoritative;
    answer.to_vec().unwrap()
}

async fn failure(answer: fn(&[u8]) -> Vec<u8>, tsig: Option<Tsig>) -> DnsError {
    let dns = Dns { tsig, ..dns(server(answer).await) };
    let clock = Clock::new(|| Timestamp(1_700_000_000_000));
    follow(&dns, &addresses(&["192.0.2.1"]), &clock).await.unwrap_err()
}

#[tokio::test]
async fn an_answer_that_cannot_be_believed_is_none() {
    let fails = failure(|_| b"hello".to_vec(), None).await;
    assert!(matches!(fails, DnsError::Decode(_)), "{fails:?}");
    let fails = failure(|it| said(it, ResponseCode::ServFail, true), None).await;
    assert!(matches!(fails, DnsError::Refused(ResponseCode::ServFail)), "{fails:?}");
    let fails = failure(|it| said(it, ResponseCode::NoError, false), None).await;
    assert!(matches!(fails, DnsError::NotAuthoritative), "{fails:?}");
    let other = |it: &[u8]| {
        let mut answer = said(it, ResponseCode::NoError, true);
        answer[0] ^= 1;
        answer
    };
    let fails = failure(other, None).await;
    assert!(matches!(fails, DnsError::Unasked), "{fails:?}");
    let yes: fn(&[u8]) -> Vec<u8> = |it| said(it, ResponseCode::NoError, true);
    let fails = failure(yes, None).await;
    assert!(fails.to_string().contains("still answers with nothing"), "{fails}");

    let dir = tempfile::tempdir().unwrap();
    let key_file = dir.path().join("key");
    std::fs::write(&key_file, "aGVsbG8=").unwrap();
    let name = "tidegate.".to_owned();
    let tsig = Tsig { name, algorithm: TsigAlgorithm::HmacSha256, key_file };
    let fails = failure(yes, Some(tsig)).await;
    assert!(matches!(fails, DnsError::Unsigned(_)), "{fails:?}");
}
