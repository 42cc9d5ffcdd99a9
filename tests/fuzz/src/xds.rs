//! xDS conversations: requests as the wire brings them, answers, and publications in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use prost::Message as _;
use tidegate::xds::serve::wire::Wire;
use tidegate_proto::envoy::envoy::service::discovery::v3::{
    DeltaDiscoveryResponse, DiscoveryResponse,
};
use tidegate_xds::kind::Kind;
use tidegate_xds::protocol::{
    Delta, DeltaNames, Request, Response, Scope, Session, Sotw, SotwNames,
};
use tidegate_xds::resources::{FleetSnapshot, SnapshotCache, SnapshotSet};

use crate::world;

/// Most responses that one request or publication may lead to: one a kind.
const MAX_RESPONSES: usize = Kind::ALL.len();

/// Two publications; the later has a cluster and a flag more.
static SETS: LazyLock<[Arc<SnapshotSet>; 2]> = LazyLock::new(|| {
    let mesh = world::config().mesh;
    let mut cache = SnapshotCache::new(&mesh, &world::BEGIN);
    let first = Arc::clone(cache.latest());
    cache.update(&mesh, &world::LATER);
    [first, Arc::clone(cache.latest())]
});

fn snapshot(index: usize) -> Arc<FleetSnapshot> {
    let set = SETS.get(index % SETS.len()).expect("within bounds");
    Arc::clone(set.fleet("demo").expect("the fleet is there"))
}

/// A state-of-the-world stream.
pub(crate) fn sotw(data: &[u8]) {
    converse::<Sotw>(data);
}

/// A delta stream.
pub(crate) fn delta(data: &[u8]) {
    converse::<Delta>(data);
}

/// What a client must know of its dialect.
trait Speaker: Wire {
    /// The names that an answer must repeat.
    fn to_repeat(names: &Self::Names) -> Vec<String>;
    /// The names of an answer.
    fn answering(repeated: Vec<String>) -> Self::Names;
    /// The nonce, and how many resources and removals there are, of a response as a client reads it.
    fn read(bytes: &[u8]) -> Option<(String, usize, usize)>;
}

impl Speaker for Sotw {
    fn to_repeat(names: &SotwNames) -> Vec<String> {
        names.names.clone()
    }

    fn answering(names: Vec<String>) -> SotwNames {
        SotwNames { names, accepted: true }
    }

    fn read(bytes: &[u8]) -> Option<(String, usize, usize)> {
        let response = DiscoveryResponse::decode(bytes).ok()?;
        Some((response.nonce, response.resources.len(), 0))
    }
}

impl Speaker for Delta {
    fn to_repeat(_: &DeltaNames) -> Vec<String> {
        Vec::new()
    }

    fn answering(_: Vec<String>) -> DeltaNames {
        DeltaNames::default()
    }

    fn read(bytes: &[u8]) -> Option<(String, usize, usize)> {
        let response = DeltaDiscoveryResponse::decode(bytes).ok()?;
        Some((response.nonce, response.resources.len(), response.removed_resources.len()))
    }
}

/// The first byte says what the stream is for; then steps, each begun by a byte that says which.
fn converse<W: Speaker>(data: &[u8]) {
    let Some((&scope, mut rest)) = data.split_first() else {
        return;
    };
    let kind = Kind::ALL.get(usize::from(scope >> 1) % Kind::ALL.len());
    let scope = match kind {
        Some(kind) if scope & 1 == 1 => Scope::Only(*kind),
        _ => Scope::Aggregated,
    };
    let mut stream = Stream::<W> {
        scope,
        session: Session::new(scope, snapshot(0)),
        in_flight: BTreeMap::new(),
        repeat: BTreeMap::new(),
        nonces: BTreeSet::new(),
    };
    let mut publications = 0;
    while let Some((&step, after)) = rest.split_first() {
        rest = after;
        match step {
            0x80 => {
                publications += 1;
                stream.session.on_snapshot(snapshot(publications));
            }
            0x81..=0xbf => stream.answer(None),
            0xc0..=0xff => stream.answer(Some("no".to_owned())),
            _ => {
                let Some((length, after)) = rest.split_at_checked(2) else {
                    return;
                };
                let length = length.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                let (message, after) = after.split_at(length.min(after.len()));
                rest = after;
                if !stream.request(message) {
                    return;
                }
            }
        }
        stream.settle();
    }
}

/// One stream, seen from both sides.
struct Stream<W: Speaker> {
    scope: Scope,
    session: Session<W>,
    in_flight: BTreeMap<Kind, String>,
    repeat: BTreeMap<Kind, Vec<String>>,
    nonces: BTreeSet<String>,
}

impl<W: Speaker> Stream<W> {
    /// Takes a request from the wire. Returns false if it ends the stream.
    fn request(&mut self, bytes: &[u8]) -> bool {
        let Ok(message) = W::Message::decode(bytes) else {
            return false;
        };
        let request = match W::request(message, self.scope) {
            Ok(request) => request,
            Err(refusal) => return refusal.to_string().is_empty(),
        };
        self.take(request)
    }

    fn take(&mut self, request: Request<W::Names>) -> bool {
        let kind = request.kind;
        if self.in_flight.get(&kind) == Some(&request.nonce) {
            self.in_flight.remove(&kind);
        }
        self.repeat.insert(kind, W::to_repeat(&request.names));
        self.session.on_request(request).is_ok()
    }

    /// Answers the first response that is under way.
    fn answer(&mut self, error: Option<String>) {
        let Some((kind, nonce)) = self.in_flight.pop_first() else {
            return;
        };
        let names = W::answering(self.repeat.get(&kind).cloned().unwrap_or_default());
        let request = Request { kind, nonce, error, names };
        assert!(self.take(request), "an answer ended the stream");
    }

    /// Takes all that there is to send, and looks at it as a client would.
    fn settle(&mut self) {
        for count in 0.. {
            let Some(response) = self.session.next_response() else {
                break;
            };
            assert!(count < MAX_RESPONSES, "it never ends");
            self.receive(&response);
        }
        self.session.drain_events().for_each(drop);
        let holdings = self.session.holdings();
        for (kind, holdings) in holdings {
            let names: BTreeSet<_> = holdings.iter().map(|holding| &holding.name).collect();
            assert_eq!(names.len(), holdings.len(), "{kind}: a name is held twice");
        }
    }

    fn receive(&mut self, response: &Response) {
        let mut bytes = Vec::new();
        W::write(response, &mut bytes);
        let read = W::read(&bytes).expect("a client can read it");
        assert_eq!(read.0, response.nonce);
        assert_eq!(read.1, response.resources.len());
        assert!(read.2 == 0 || read.2 == response.removed.len());
        let mut names: BTreeSet<_> = response.resources.iter().map(|it| it.name()).collect();
        names.extend(&response.removed);
        let said = response.resources.len() + response.removed.len();
        assert_eq!(names.len(), said, "a name is said twice");
        assert!(self.nonces.insert(response.nonce.clone()), "a nonce is used twice");
        let before = self.in_flight.insert(response.kind, response.nonce.clone());
        assert_eq!(before, None, "two responses of a kind are under way");
    }
}
