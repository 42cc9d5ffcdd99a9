//! Resources from protojson, as messages.
//!
//! Their descriptors are those from which the crate envoy-types was generated. The crate has them among its files, but does
//! not export them.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;
use tidegate_proto::envoy::google::protobuf::Any;

/// A resource of a discovery response.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resource {
    pub(crate) name: String,
    pub(crate) message: Any,
}

impl Resource {
    /// From protojson whose `@type` is the type of the resource.
    pub(crate) fn parse(json: &Value) -> Result<Self> {
        let name = json.get("name").or_else(|| json.get("cluster_name"));
        let name = name.and_then(Value::as_str).context("a resource without a name")?.to_owned();
        let any = descriptors()?.get_message_by_name("google.protobuf.Any").context("no Any")?;
        let message = DynamicMessage::deserialize(any, json).with_context(|| name.clone())?;
        let message = Any::decode(&*message.encode_to_vec())?;
        Ok(Self { name, message })
    }
}

fn descriptors() -> Result<&'static DescriptorPool> {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    if let Some(pool) = POOL.get() {
        return Ok(pool);
    }
    // Without the packages of other platforms, which are perhaps not downloaded.
    let rustc = output("RUSTC", "rustc", &["-vV"])?;
    let rustc = String::from_utf8(rustc)?;
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).context("no host")?;
    let arguments = ["metadata", "--format-version=1", "--offline", "--filter-platform", host];
    let metadata = output("CARGO", "cargo", &arguments)?;
    let metadata: Value = serde_json::from_slice(&metadata)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let package = packages.iter().find(|it| it["name"] == "envoy-types").context("envoy-types")?;
    let manifest = package["manifest_path"].as_str().context("no manifest")?;
    let file = Path::new(manifest).with_file_name("src/generated/types.bin");
    let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
    let pool = DescriptorPool::decode(&*bytes)?;
    Ok(POOL.get_or_init(|| pool))
}

/// The output of a tool, which the environment may name.
fn output(variable: &str, name: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    let tool = std::env::var_os(variable).unwrap_or_else(|| name.into());
    let output = Command::new(tool).args(arguments).output()?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}
