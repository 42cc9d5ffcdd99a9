//! Serves raw resources that a conformance harness sets by RPC, through the same protocol and streams as other resources. A
//! node of the harness is a fleet here.
//!
//! Resource versions are hashes of content. The version that the harness sets becomes part of the content, so that a
//! different version has different content.

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

/// The name field of any resource, and an additional field for the version of the harness.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Stamped {
    /// The name: the first field of every served type.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The version that the harness set.
    #[prost(string, tag = "50000")]
    pub version: String,
}

/// The resources of one node.
type Resources = BTreeMap<(Kind, String), Arc<Resource>>;

/// The resources that the harness set.
#[derive(Debug)]
pub struct RawResources {
    nodes: Mutex<BTreeMap<FleetName, Resources>>,
    sender: watch::Sender<Arc<SnapshotSet>>,
}

impl RawResources {
    /// No resources for these nodes. Other nodes do not exist.
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

    /// The newest snapshots, now and whenever they change.
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

    /// Changes the resources of one node, and publishes.
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

    /// Creates a resource, or changes the content of an existing one.
    fn put(&self, request: ResourceRequest, must_exist: bool) -> Result<(), Status> {
        let kind = kind(&request.type_url)?;
        self.change(&request.node, |resources| {
            let name = request.resource_name;
            let key = (kind, name.clone());
            let value = match (resources.get(&key), must_exist) {
                (Some(resource), true) => resource.value().to_vec(),
                (None, false) => {
                    Stamped { name: name.clone(), ..Stamped::default() }.encode_to_vec()
                }
                (Some(_), false) => {
                    return Err(failed_precondition(format!("{kind} `{name}` exists")));
                }
                (None, true) => {
                    return Err(failed_precondition(format!("there is no {kind} `{name}`")));
                }
            };
            let value = with_version(value, &request.version);
            resources.insert(key, Arc::new(Resource::raw(kind, &name, value)));
            Ok(())
        })
    }
}

fn kind(type_url: &str) -> Result<Kind, Status> {
    Kind::from_type_url(type_url)
        .ok_or_else(|| Status::invalid_argument(format!("no type `{type_url}`")))
}

fn failed_precondition(message: String) -> Status {
    Status::failed_precondition(message)
}

/// The bytes followed by the version: concatenated Protobuf messages are merged.
fn with_version(value: Vec<u8>, version: &str) -> Bytes {
    let suffix = Stamped { name: String::new(), version: version.to_owned() };
    let mut value = value;
    value.extend(suffix.encode_to_vec());
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
            let resource = Resource::raw(kind, &name, with_version(any.value, &version));
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
            let missing = || failed_precondition(format!("there is no {kind} `{name}`"));
            let gone = resources.remove(&(kind, name.clone()));
            gone.map(drop).ok_or_else(missing)
        })?;
        Ok(Response::new(RemoveResourceResponse { success: true }))
    }
}
