//! The filter as an OCI image: one layer, a `tar+gzip` archive of `plugin.wasm`, as istio-agent accepts it.
//!
//! The same module gives the same bytes: archives contain neither times nor owners. The digest of a module that is
//! built again can therefore be compared with the one that proxies run.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The file that istio-agent looks for in the last layer.
const MODULE: &str = "plugin.wasm";
/// Istio's limit (`ISTIO_WASM_MAX_BINARY_SIZE_BYTES`).
const MAX_MODULE: usize = 256 << 20;
/// The first bytes of a WebAssembly module.
const MAGIC: &[u8] = b"\0asm";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Not a module.
    #[error("not a WebAssembly module of at most {} MiB", MAX_MODULE >> 20)]
    NotAModule,
    /// Compression failed.
    #[error("cannot build the layer: {0}")]
    Layer(#[source] io::Error),
    /// The files cannot be written.
    #[error("cannot write {path}: {error}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
}

/// Content of a registry, with its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// `sha256:` and hexadecimal digits.
    pub digest: String,
    /// The content.
    pub bytes: Bytes,
}

/// An image: its manifest names the two blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest of it identifies the image.
    pub manifest: Blob,
    /// Its configuration.
    pub config: Blob,
    /// Its layer.
    pub layer: Blob,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'static str,
    config: Descriptor<'a>,
    layers: [Descriptor<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u32,
    media_type: &'static str,
    manifests: [Descriptor<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'static str,
    digest: &'a str,
    size: usize,
}

#[derive(Serialize)]
struct Config {
    architecture: &'static str,
    os: &'static str,
    rootfs: RootFs,
}

#[derive(Serialize)]
struct RootFs {
    r#type: &'static str,
    diff_ids: [String; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: &'static str,
}

impl Blob {
    fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { digest: digest(&bytes), bytes }
    }

    fn json(value: &impl Serialize) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "all keys are strings, and no field fails to serialise"
        )]
        Self::new(serde_json::to_vec(value).expect("JSON"))
    }

    fn descriptor(&self, media_type: &'static str) -> Descriptor<'_> {
        Descriptor { media_type, digest: &self.digest, size: self.bytes.len() }
    }
}

impl Image {
    /// The media type of the manifest.
    pub const MEDIA_TYPE: &'static str = MANIFEST;

    /// The image of a module.
    ///
    /// # Errors
    /// When these bytes are not a module.
    pub fn new(module: &[u8]) -> Result<Self, ImageError> {
        if !module.starts_with(MAGIC) || module.len() > MAX_MODULE {
            return Err(ImageError::NotAModule);
        }
        let archive = archive(&[(MODULE.to_owned(), module)]).map_err(ImageError::Layer)?;
        let layer = Blob::new(compressed(&archive).map_err(ImageError::Layer)?);
        let diff_ids = [Blob::new(archive).digest];
        let config = Blob::json(&Config {
            architecture: "wasm",
            os: "wasi",
            rootfs: RootFs { r#type: "layers", diff_ids },
        });
        let manifest = Blob::json(&Manifest {
            schema_version: 2,
            media_type: MANIFEST,
            config: config.descriptor(CONFIG),
            layers: [layer.descriptor(LAYER)],
        });
        Ok(Self { manifest, config, layer })
    }

    /// Writes an OCI image layout: an archive if the name ends with `.tar`, else a directory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ImageError> {
        let files = self.layout();
        let error = |error| ImageError::Write { path: path.to_owned(), error };
        if path.extension().is_some_and(|extension| extension == "tar") {
            let files: Vec<_> =
                files.iter().map(|(name, bytes)| (name.clone(), &bytes[..])).collect();
            let write = || File::create(path)?.write_all(&archive(&files)?);
            return write().map_err(error);
        }
        for (name, bytes) in files {
            let file = path.join(name);
            let write = || {
                file.parent().map_or(Ok(()), fs::create_dir_all)?;
                fs::write(&file, &bytes)
            };
            write().map_err(error)?;
        }
        Ok(())
    }

    /// The files of the layout.
    fn layout(&self) -> Vec<(String, Bytes)> {
        let index = Index {
            schema_version: 2,
            media_type: INDEX,
            manifests: [self.manifest.descriptor(MANIFEST)],
        };
        let blob =
            |blob: &Blob| (format!("blobs/{}", blob.digest.replace(':', "/")), blob.bytes.clone());
        vec![
            ("oci-layout".to_owned(), Blob::json(&Layout { image_layout_version: "1.0.0" }).bytes),
            ("index.json".to_owned(), Blob::json(&index).bytes),
            blob(&self.manifest),
            blob(&self.config),
            blob(&self.layer),
        ]
    }
}

/// `sha256:` and hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// A tar archive of files without times and owners.
fn archive(files: &[(String, &[u8])]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, name, *bytes)?;
    }
    archive.into_inner()
}

/// gzip without name, and with time 0.
fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use serde_json::Value;

    use super::*;

    const MODULE_BYTES: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn an_image_is_the_same_each_time_and_has_no_times() {
        let image = Image::new(MODULE_BYTES).unwrap();
        assert_eq!(Image::new(MODULE_BYTES).unwrap(), image);
        assert_ne!(Image::new(b"\0asm\x01\0\0\0\0").unwrap().manifest, image.manifest);
        // Magic, method, no flags (so no name), time 0.
        assert_eq!(image.layer.bytes[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&image.layer.bytes[..]));
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("plugin.wasm"));
        assert_eq!((entry.header().mtime().unwrap(), entry.header().uid().unwrap()), (0, 0));
        let mut module = Vec::new();
        entry.read_to_end(&mut module).unwrap();
        assert_eq!(module, MODULE_BYTES);
        assert!(entries.next().is_none());
    }

    /// The types and the number of layers that istio-agent accepts.
    #[test]
    fn the_manifest_names_one_layer_and_the_configuration() {
        let image = Image::new(MODULE_BYTES).unwrap();
        let manifest: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
        assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        let [layer] = manifest["layers"].as_array().unwrap().as_slice() else {
            panic!("one layer")
        };
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
        assert_eq!(layer["digest"], image.layer.digest);
        assert_eq!(layer["size"], image.layer.bytes.len());
        assert_eq!(manifest["config"]["digest"], image.config.digest);
        let config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
        let mut archive = Vec::new();
        flate2::read::GzDecoder::new(&image.layer.bytes[..]).read_to_end(&mut archive).unwrap();
        let uncompressed = Blob::new(archive).digest;
        assert_eq!(config["rootfs"]["diff_ids"][0], uncompressed);
    }

    #[test]
    fn a_layout_is_a_directory_or_an_archive_with_the_same_files() {
        let dir = tempfile::tempdir().unwrap();
        let image = Image::new(MODULE_BYTES).unwrap();
        image.write(&dir.path().join("image")).unwrap();
        let tar = dir.path().join("image.tar");
        image.write(&tar).unwrap();
        let mut archive = tar::Archive::new(File::open(&tar).unwrap());
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            assert_eq!(fs::read(dir.path().join("image").join(&name)).unwrap(), bytes, "{name}");
            names.push(name);
        }
        assert_eq!(names.len(), 5, "{names:?}");
        let again = dir.path().join("again.tar");
        image.write(&again).unwrap();
        assert_eq!(fs::read(&again).unwrap(), fs::read(&tar).unwrap());
    }

    #[test]
    fn only_modules_are_packed() {
        for bytes in [&b""[..], b"\0as", b"\x7fELF"] {
            assert!(matches!(Image::new(bytes), Err(ImageError::NotAModule)));
        }
    }
}
