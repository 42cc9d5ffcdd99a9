//! Question and answer over TCP: whole messages of any size, from the server that was asked.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::ProtoError;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::TSigner;
use hickory_proto::serialize::binary::DecodeError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::key::KeyError;
use tidegate_delivery::units::Timestamp;

/// How long the server is given for one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why DNS does not follow.
#[derive(Debug, thiserror::Error)]
pub(super) enum DnsError {
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Nobody there.
    #[error("no connection to the server: {0}")]
    Io(#[from] io::Error),
    /// Somebody there, and silent.
    #[error("the server does not answer within {} s", PATIENCE.as_secs())]
    Late,
    /// A message that cannot be written.
    #[error("no message can be made of it: {0}")]
    Encode(#[from] ProtoError),
    /// An answer that is no message.
    #[error("the server's answer cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// An answer to something else.
    #[error("the server answers to what was not asked")]
    Unasked,
    /// The server would not.
    #[error("the server refuses: {0}; does it allow updates of the zone by this key?")]
    Refused(ResponseCode),
    /// An answer that anybody could have sent.
    #[error("the server's answer is not signed with the key: {0}")]
    Unsigned(ProtoError),
    /// It repeats what others say.
    #[error("the server is not authoritative for the name: is it the zone's primary?")]
    NotAuthoritative,
    /// It said yes, and does not do it.
    #[error("the server took the update, and still answers with {0}")]
    NotTaken(String),
}

/// A server that is asked one thing after another.
pub(super) struct Connection(TcpStream);

impl Connection {
    pub(super) async fn open(server: SocketAddr) -> Result<Self, DnsError> {
        let connected = timeout(PATIENCE, TcpStream::connect(server)).await;
        Ok(Self(connected.map_err(|_| DnsError::Late)??))
    }

    /// Asks, and returns the answer, which may be that there is no such name.
    pub(super) async fn ask(&mut self, question: &Message) -> Result<Message, DnsError> {
        let answer = self.exchange(question).await?;
        let answer = Message::from_vec(&answer)?;
        check(question, &answer)?;
        Ok(answer)
    }

    /// Asks with a signature, and believes only an answer with one.
    pub(super) async fn ask_signed(
        &mut self,
        mut question: Message,
        signer: &TSigner,
        now: Timestamp,
    ) -> Result<Message, DnsError> {
        let verifier = question.finalize(signer, now.0 / 1000)?;
        let bytes = self.exchange(&question).await?;
        let answer = Message::from_vec(&bytes)?;
        // A server that does not know the key cannot sign that it says so.
        check(&question, &answer)?;
        if let Some(mut verifier) = verifier {
            verifier.verify(&bytes).map_err(DnsError::Unsigned)?;
        }
        Ok(answer)
    }

    async fn exchange(&mut self, question: &Message) -> Result<Vec<u8>, DnsError> {
        let answer = timeout(PATIENCE, exchange(&mut self.0, &question.to_vec()?)).await;
        Ok(answer.map_err(|_| DnsError::Late)??)
    }
}

/// One message each way, each with its length before it; that bounds what is read to 64 kB.
async fn exchange(server: &mut TcpStream, question: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(question.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(question);
    server.write_all(&framed).await?;
    let mut answer = vec![0; usize::from(server.read_u16().await?)];
    server.read_exact(&mut answer).await?;
    Ok(answer)
}

fn check(question: &Message, answer: &Message) -> Result<(), DnsError> {
    let answers = answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.metadata.op_code == question.metadata.op_code;
    if !answers {
        return Err(DnsError::Unasked);
    }
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(()),
        refused => Err(DnsError::Refused(refused)),
    }
}
