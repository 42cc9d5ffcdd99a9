//! Serves raw resources that a conformance harness sets by five RPCs, through the same protocol and
//! the same streams as everything else. A node of the harness is a fleet here.
//!
//! Our versions are hashes of content, so a version that the harness names is made a part of the
//! content: another version is another content, and the same version is the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use tidegate_proto::adapter::adapter_server::Adapter;
use tidegate_proto::adapter::{
    AddResourceResponse, ClearStateRequest, ClearStateResponse, RemoveResourceResponse,
    ResourceRequest, SetStateRequest, SetStateResponse, UpdateResourceResponse,
};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use tidegate_delivery::names::FleetName;
use tidegate_xds::kind::Kind;
use tidegate_xds::resources::{FleetSnapshot, Resource, SnapshotSet};

/// What any resource begins with, and where the harness's version is put.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Stamped {
    /// The resource's own name: the first field of every type that is served.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The version, as the harness calls it.
    #[prost(string, tag = "50000")]
    pub version: String,
}

/// The resources of one node.
type Resources = BTreeMap<(Kind, String), Arc<Resource>>;

/// The harness's side of the server.
#[derive(Debug)]
pub struct RawResources {
    nodes: Mutex<BTreeMap<FleetName, Resources>>,
    sender: watch::Sender<Arc<SnapshotSet>>,
}

impl RawResources {
    /// Serves nothing to these nodes, until it is told what. Others are not known.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = FleetName>) -> Self {
        let nodes = nodes.into_iter().map(|node| (node, Resources::new()));
        let raw = Self {
            nodes: Mutex::new(nodes.collect()),
            sender: watch::Sender::new(Arc::new(SnapshotSet::new(0, []))),
        };
        raw.publish(&raw.nodes.lock());
        raw
    }

    /// What is served, now and whenever it changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<SnapshotSet>> {
        self.sender.subscribe()
    }

    fn publish(&self, nodes: &BTreeMap<FleetName, Resources>) {
        let before = Arc::clone(&self.sender.borrow());
        let serial = before.serial() + 1;
        let snapshots = nodes.iter().map(|(node, resources)| {
            let resources: Vec<_> = resources.values().cloned().collect();
            let before = before.fleet(node.as_str()).map(|before| &**before);
            FleetSnapshot::new(node.clone(), serial, &resources, before)
        });
        self.sender.send_replace(Arc::new(SnapshotSet::new(serial, snapshots)));
    }

    /// Changes what one node is served.
    fn change(
        &self,
        node: &str,
        change: impl FnOnce(&mut Resources) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let mut nodes = self.nodes.lock();
        let resources =
            nodes.get_mut(node).ok_or_else(|| Status::not_found(format!("no node `{node}`")))?;
        change(resources)?;
        self.publish(&nodes);
        Ok(())
    }

    /// Makes a resource, or another content of one that is there.
    fn put(&self, request: ResourceRequest, there: bool) -> Result<(), Status> {
        let kind = kind(&request.type_url)?;
        self.change(&request.node, |resources| {
            let name = request.resource_name;
            let key = (kind, name.clone());
            let value = match (resources.get(&key), there) {
                (Some(resource), true) => resource.value().to_vec(),
                (None, false) => {
                    Stamped { name: name.clone(), ..Stamped::default() }.encode_to_vec()
                }
                (Some(_), false) => return Err(refuse(format!("there is a {kind} `{name}`"))),
                (None, true) => return Err(refuse(format!("there is no {kind} `{name}`"))),
            };
            let value = stamped(value, &request.version);
            resources.insert(key, Arc::new(Resource::raw(kind, &name, value)));
            Ok(())
        })
    }
}

fn kind(type_url: &str) -> Result<Kind, Status> {
    Kind::from_type_url(type_url)
        .ok_or_else(|| Status::invalid_argument(format!("no type `{type_url}`")))
}

fn refuse(why: String) -> Status {
    Status::failed_precondition(why)
}

/// The bytes with a stamp behind them: joined messages are one message.
fn stamped(value: Vec<u8>, version: &str) -> Bytes {
    let stamp = Stamped { name: String::new(), version: version.to_owned() };
    let mut value = value;
    value.extend(stamp.encode_to_vec());
    value.into()
}

#[tonic::async_trait]
impl Adapter for RawResources {
    async fn set_state(
        &self,
        request: Request<SetStateRequest>,
    ) -> Result<Response<SetStateResponse>, Status> {
        let SetStateRequest { node, version, resources } = request.into_inner();
        let mut state = Resources::new();
        for any in resources {
            let kind = kind(&any.type_url)?;
            let name = Stamped::decode(&*any.value)
                .map_err(|error| Status::invalid_argument(format!("a {kind}: {error}")))?
                .name;
            let resource = Resource::raw(kind, &name, stamped(any.value, &version));
            state.insert((kind, name), Arc::new(resource));
        }
        self.change(&node, |resources| {
            *resources = state;
            Ok(())
        })?;
        Ok(Response::new(SetStateResponse { success: true }))
    }

    async fn clear_state(
        &self,
        request: Request<ClearStateRequest>,
    ) -> Result<Response<ClearStateResponse>, Status> {
        self.change(&request.into_inner().node, |resources| {
            resources.clear();
            Ok(())
        })?;
        Ok(Response::new(ClearStateResponse { response: "cleared".to_owned() }))
    }

    async fn update_resource(
        &self,
        request: Request<ResourceRequest>,
    ) -> Result<Response<UpdateResourceResponse>, Status> {
        self.put(request.into_inner(), true)?;
        Ok(Response::new(UpdateResourceResponse { success: true }))
    }

    async fn add_resource(
        &self,
        request: Request<ResourceRequest>,
    ) -> Result<Response<AddResourceResponse>, Status> {
        self.put(request.into_inner(), false)?;
        Ok(Response::new(AddResourceResponse { success: true }))
    }

    async fn remove_resource(
        &self,
        request: Request<ResourceRequest>,
    ) -> Result<Response<RemoveResourceResponse>, Status> {
        let request = request.into_inner();
        let kind = kind(&request.type_url)?;
        self.change(&request.node, |resources| {
            let name = request.resource_name;
            let missing = || refuse(format!("there is no {kind} `{name}`"));
            let gone = resources.remove(&(kind, name.clone()));
            gone.map(drop).ok_or_else(missing)
        })?;
        Ok(Response::new(RemoveResourceResponse { success: true }))
    }
}
