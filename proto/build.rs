//! Compiles the messages with protox, a protobuf compiler in Rust, so that no `protoc` is needed.

use std::path::Path;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "tidegate/report/v1/report.proto";
    println!("cargo::rerun-if-changed={file}");
    let descriptors = protox::compile([file], ["."])?;
    let server = std::env::var_os("CARGO_FEATURE_SERVER").is_some();
    if let Some(out) = std::env::var_os("OUT_DIR") {
        std::fs::write(Path::new(&out).join("descriptors.bin"), descriptors.encode_to_vec())?;
    }
    tonic_prost_build::configure()
        .build_client(server)
        .build_server(server)
        .compile_fds(descriptors)?;
    if std::env::var_os("CARGO_FEATURE_TEST_ADAPTER").is_some() {
        let file = "adapter/adapter.proto";
        println!("cargo::rerun-if-changed={file}");
        tonic_prost_build::configure()
            .extern_path(".google.protobuf", "::envoy_types::pb::google::protobuf")
            .compile_well_known_types(true)
            .compile_fds(protox::compile([file], ["."])?)?;
    }
    Ok(())
}
