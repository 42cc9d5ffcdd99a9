//! A primary DNS server for one name, of which it believes every update.

use std::net::IpAddr;
use std::sync::Weak;

use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::outside::Outside;

/// What the stories want it to be.
pub(crate) const TTL: u32 = 30;

pub(crate) async fn serve(listener: TcpListener, outside: Weak<Outside>) {
    let mut talks = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        talks.spawn(talk(stream, Weak::clone(&outside)));
    }
}

/// Until the other side has enough. A message that kills it has no effect: it was not read.
async fn talk(mut stream: TcpStream, outside: Weak<Outside>) {
    while let Ok(length) = stream.read_u16().await {
        let mut asked = vec![0; usize::from(length)];
        if stream.read_exact(&mut asked).await.is_err() {
            return;
        }
        let Some(outside) = outside.upgrade() else { return };
        let asked = Message::from_vec(&asked).unwrap();
        // How often it is asked how things are depends on who is quicker; an update is needed or not.
        if asked.metadata.op_code == OpCode::Update && !outside.fuse.call() {
            return;
        }
        let answer = answer(&asked, &outside.addresses);
        let length = u16::try_from(answer.len()).unwrap();
        // Who asked may be dead.
        stream.write_u16(length).await.ok();
        stream.write_all(&answer).await.ok();
    }
}

fn answer(asked: &Message, addresses: &Mutex<Vec<IpAddr>>) -> Vec<u8> {
    let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
    answer.metadata.authoritative = true;
    let mut addresses = addresses.lock();
    if asked.metadata.op_code == OpCode::Update {
        for record in &asked.authorities {
            match &record.data {
                _ if record.dns_class == DNSClass::ANY => addresses.clear(),
                RData::A(A(address)) => addresses.push((*address).into()),
                other => panic!("nobody asked for {other:?}"),
            }
        }
    }
    for query in asked.queries.iter().filter(|it| it.query_type() == RecordType::A) {
        for address in addresses.iter() {
            let IpAddr::V4(address) = address else { continue };
            let data = RData::A(A(*address));
            answer.add_answer(Record::from_rdata(query.name().clone(), TTL, data));
        }
    }
    answer.to_vec().unwrap()
}
