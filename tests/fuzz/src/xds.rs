//! Fuzz targets of xDS streams: encoded requests, answers, and new snapshots.

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

/// Maximum number of responses to one request or snapshot: one per kind.
const MAX_RESPONSES: usize = Kind::ALL.len();

/// Two publications. The second has one more cluster and flag.
static SETS: LazyLock<[Arc<SnapshotSet>; 2]> = LazyLock::new(|| {
    let mesh = world::config().mesh;
    let mut cache = SnapshotCache::new(&mesh, &world::INITIAL);
    let first = Arc::clone(cache.latest());
    cache.update(&mesh, &world::RELEASING);
    [first, Arc::clone(cache.latest())]
});

fn snapshot(index: usize) -> Arc<FleetSnapshot> {
    let set = SETS.get(index % SETS.len()).expect("within bounds");
    Arc::clone(set.fleet("demo").expect("the fleet is there"))
}

/// A state-of-the-world stream.
pub(crate) fn sotw(data: &[u8]) {
    run_stream::<Sotw>(data);
}

/// A delta stream.
pub(crate) fn delta(data: &[u8]) {
    run_stream::<Delta>(data);
}

/// The client side of a variant.
trait ClientWire: Wire {
    /// The names of a request that its answers repeat.
    fn repeated_names(names: &Self::Names) -> Vec<String>;
    /// The names of an answer.
    fn answer_names(repeated: Vec<String>) -> Self::Names;
    /// Decodes a response. Returns its nonce and the numbers of resources and removals.
    fn read(bytes: &[u8]) -> Option<(String, usize, usize)>;
}

impl ClientWire for Sotw {
    fn repeated_names(names: &SotwNames) -> Vec<String> {
        names.names.clone()
    }

    fn answer_names(names: Vec<String>) -> SotwNames {
        SotwNames { names, has_version_info: true }
    }

    fn read(bytes: &[u8]) -> Option<(String, usize, usize)> {
        let response = DiscoveryResponse::decode(bytes).ok()?;
        Some((response.nonce, response.resources.len(), 0))
    }
}

impl ClientWire for Delta {
    fn repeated_names(_: &DeltaNames) -> Vec<String> {
        Vec::new()
    }

    fn answer_names(_: Vec<String>) -> DeltaNames {
        DeltaNames::default()
    }

    fn read(bytes: &[u8]) -> Option<(String, usize, usize)> {
        let response = DeltaDiscoveryResponse::decode(bytes).ok()?;
        Some((response.nonce, response.resources.len(), response.removed_resources.len()))
    }
}

/// The first byte selects the scope of the stream. Steps follow, each with a byte that selects its type.
fn run_stream<W: ClientWire>(data: &[u8]) {
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

/// Both sides of one stream.
struct Stream<W: ClientWire> {
    scope: Scope,
    session: Session<W>,
    in_flight: BTreeMap<Kind, String>,
    repeat: BTreeMap<Kind, Vec<String>>,
    nonces: BTreeSet<String>,
}

impl<W: ClientWire> Stream<W> {
    /// Decodes and applies a request. Returns false if it ends the stream.
    fn request(&mut self, bytes: &[u8]) -> bool {
        let Ok(message) = W::Message::decode(bytes) else {
            return false;
        };
        let request = match W::request(message, self.scope) {
            Ok(request) => request,
            Err(error) => return error.to_string().is_empty(),
        };
        self.apply(request)
    }

    fn apply(&mut self, request: Request<W::Names>) -> bool {
        let kind = request.kind;
        if self.in_flight.get(&kind) == Some(&request.nonce) {
            self.in_flight.remove(&kind);
        }
        self.repeat.insert(kind, W::repeated_names(&request.names));
        self.session.on_request(request).is_ok()
    }

    /// Answers the first response in flight.
    fn answer(&mut self, error: Option<String>) {
        let Some((kind, nonce)) = self.in_flight.pop_first() else {
            return;
        };
        let names = W::answer_names(self.repeat.get(&kind).cloned().unwrap_or_default());
        let request = Request { kind, nonce, error, names };
        assert!(self.apply(request), "an answer ended the stream");
    }

    /// Decodes and checks all responses that are due.
    fn settle(&mut self) {
        for count in 0.. {
            let Some(response) = self.session.next_response() else {
                break;
            };
            assert!(count < MAX_RESPONSES, "too many responses");
            self.receive(&response);
        }
        self.session.drain_events().for_each(drop);
        for (kind, statuses) in self.session.resource_statuses() {
            let names: BTreeSet<_> = statuses.iter().map(|status| &status.name).collect();
            assert_eq!(names.len(), statuses.len(), "{kind}: duplicate name");
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
        let count = response.resources.len() + response.removed.len();
        assert_eq!(names.len(), count, "duplicate name");
        assert!(self.nonces.insert(response.nonce.clone()), "duplicate nonce");
        let before = self.in_flight.insert(response.kind, response.nonce.clone());
        assert_eq!(before, None, "two responses of a kind in flight");
    }
}
