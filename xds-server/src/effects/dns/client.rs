//! DNS over TCP: one connection, one message each way at a time.

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

/// Timeout of connecting, and of one response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a check or an update failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DnsError {
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The TCP connection failed.
    #[error("connection to the DNS server failed: {0}")]
    Io(#[from] io::Error),
    /// No connection or no response in time.
    #[error("no response from the DNS server within {} s", RESPONSE_TIMEOUT.as_secs())]
    Timeout,
    /// The request cannot be encoded, for example an invalid name.
    #[error("cannot encode the DNS request: {0}")]
    Encode(#[from] ProtoError),
    /// The response is no DNS message.
    #[error("cannot decode the response of the DNS server: {0}")]
    Decode(#[from] DecodeError),
    /// Id, type or operation of the response differ from the request.
    #[error("the response of the DNS server does not match the request")]
    Mismatch,
    /// An error code other than NXDOMAIN.
    #[error("the DNS server responded with {0}; check that it allows this key to update the zone")]
    Response(ResponseCode),
    /// The signature of the response is missing or wrong.
    #[error("the response of the DNS server is not signed with the TSIG key: {0}")]
    Unsigned(ProtoError),
    /// The server is not the primary of the zone.
    #[error("the DNS server is not authoritative for the name; set `server` to the zone's primary")]
    NotAuthoritative,
    /// The update succeeded, but the records did not change.
    #[error("the DNS server accepted the update, but still answers with {0}")]
    NotApplied(String),
}

/// A connection to a DNS server.
pub(super) struct DnsClient(TcpStream);

impl DnsClient {
    pub(super) async fn connect(server: SocketAddr) -> Result<Self, DnsError> {
        let connected = timeout(RESPONSE_TIMEOUT, TcpStream::connect(server)).await;
        Ok(Self(connected.map_err(|_| DnsError::Timeout)??))
    }

    /// Sends a request and returns the response, which may be NXDOMAIN.
    pub(super) async fn send(&mut self, request: &Message) -> Result<Message, DnsError> {
        let response = Message::from_vec(&self.exchange(request).await?)?;
        check(request, &response)?;
        Ok(response)
    }

    /// Sends a signed request and verifies the signature of the response.
    pub(super) async fn send_signed(
        &mut self,
        mut request: Message,
        signer: &TSigner,
        now: Timestamp,
    ) -> Result<Message, DnsError> {
        let verifier = request.finalize(signer, now.0 / 1000)?;
        let bytes = self.exchange(&request).await?;
        let response = Message::from_vec(&bytes)?;
        // Error responses first: a server that lacks the key cannot sign its error.
        check(&request, &response)?;
        if let Some(mut verifier) = verifier {
            verifier.verify(&bytes).map_err(DnsError::Unsigned)?;
        }
        Ok(response)
    }

    async fn exchange(&mut self, request: &Message) -> Result<Vec<u8>, DnsError> {
        let response = timeout(RESPONSE_TIMEOUT, exchange(&mut self.0, &request.to_vec()?)).await;
        Ok(response.map_err(|_| DnsError::Timeout)??)
    }
}

/// Each message follows its length in two bytes, which limits a response to 64 kB.
async fn exchange(server: &mut TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(request.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(request);
    server.write_all(&framed).await?;
    let mut response = vec![0; usize::from(server.read_u16().await?)];
    server.read_exact(&mut response).await?;
    Ok(response)
}

fn check(request: &Message, response: &Message) -> Result<(), DnsError> {
    let matches = response.metadata.id == request.metadata.id
        && response.metadata.message_type == MessageType::Response
        && response.metadata.op_code == request.metadata.op_code;
    if !matches {
        return Err(DnsError::Mismatch);
    }
    match response.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(()),
        code => Err(DnsError::Response(code)),
    }
}
