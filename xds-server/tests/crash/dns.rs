//! A primary DNS server for one name, which applies every update.

use std::net::IpAddr;
use std::sync::Weak;

use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::environment::Environment;

/// The TTL in the configurations of the scenarios, in seconds.
pub(crate) const TTL: u32 = 30;

pub(crate) async fn serve(listener: TcpListener, environment: Weak<Environment>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(handle(stream, Weak::clone(&environment)));
    }
}

/// Serves one connection until its end. An update at the point of a crash is not applied.
async fn handle(mut stream: TcpStream, environment: Weak<Environment>) {
    while let Ok(length) = stream.read_u16().await {
        let mut request = vec![0; usize::from(length)];
        if stream.read_exact(&mut request).await.is_err() {
            return;
        }
        let Some(environment) = environment.upgrade() else { return };
        let request = Message::from_vec(&request).unwrap();
        // Only updates are counted: the number of queries depends on timing.
        if request.metadata.op_code == OpCode::Update && !environment.crash_trigger.call() {
            return;
        }
        let answer = answer(&request, &environment.addresses);
        let length = u16::try_from(answer.len()).unwrap();
        // The client may have crashed.
        stream.write_u16(length).await.ok();
        stream.write_all(&answer).await.ok();
    }
}

fn answer(request: &Message, addresses: &Mutex<Vec<IpAddr>>) -> Vec<u8> {
    let mut answer = Message::response(request.metadata.id, request.metadata.op_code);
    answer.metadata.authoritative = true;
    let mut addresses = addresses.lock();
    if request.metadata.op_code == OpCode::Update {
        for record in &request.authorities {
            match &record.data {
                _ if record.dns_class == DNSClass::ANY => addresses.clear(),
                RData::A(A(address)) => addresses.push((*address).into()),
                other => panic!("unexpected record {other:?} in an update"),
            }
        }
    }
    for query in request.queries.iter().filter(|it| it.query_type() == RecordType::A) {
        for address in addresses.iter() {
            let IpAddr::V4(address) = address else { continue };
            let data = RData::A(A(*address));
            answer.add_answer(Record::from_rdata(query.name().clone(), TTL, data));
        }
    }
    answer.to_vec().unwrap()
}
