//! Manifests and indexes (OCI image specification 1.1, and Docker's older names of the same).

use serde::Deserialize;

/// What we understand.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                                   application/vnd.docker.distribution.manifest.list.v2+json, \
                                   application/vnd.docker.distribution.manifest.v2+json";
/// Kinds of disk images by the annotation `disktype`, the best to stream first.
const DISK_TYPES: [&str; 4] = ["raw", "applehv", "qcow2", "qemu"];
/// Configurations of container images, whose blobs are archives of files.
const CONTAINER: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// A manifest, or an index of manifests.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    artifact_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    digest: String,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<Annotations>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
}

#[derive(Debug, Deserialize)]
struct Annotations {
    #[serde(default)]
    disktype: Option<String>,
}

impl Manifest {
    pub(super) fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// The digests of the manifests of an index that may hold our image, the best first; nothing when this is no index.
    pub(super) fn candidates(&self) -> Option<Vec<String>> {
        let ours = match std::env::consts::ARCH {
            "x86_64" => ["amd64", "x86_64"],
            "aarch64" => ["arm64", "aarch64"],
            other => [other, other],
        };
        let rank = |descriptor: &Descriptor| {
            let architecture = descriptor.platform.as_ref().map_or("", |platform| platform.architecture.as_str());
            if !architecture.is_empty() && !ours.contains(&architecture) {
                return None;
            }
            match descriptor.annotations.as_ref().and_then(|annotations| annotations.disktype.as_deref()) {
                None | Some("") => Some(DISK_TYPES.len()),
                Some(kind) => DISK_TYPES.iter().position(|known| *known == kind),
            }
        };
        let manifests = self.manifests.as_ref()?;
        let mut ranked: Vec<(usize, &Descriptor)> =
            manifests.iter().filter_map(|descriptor| Some((rank(descriptor)?, descriptor))).collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        Some(ranked.into_iter().map(|(_, descriptor)| descriptor.digest.clone()).collect())
    }

    /// The digest of the only blob of an artefact; nothing for a container image.
    pub(super) fn disk_image(&self) -> Option<String> {
        let configuration = self.config.as_ref().map_or("", |config| config.media_type.as_str());
        let is_container = self.artifact_type.is_none() && CONTAINER.contains(&configuration);
        match self.layers.as_slice() {
            [only] if !is_container => Some(only.digest.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn manifest(value: Value) -> Manifest {
        Manifest::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_best_disk_of_an_index_is_the_one_that_can_be_streamed_on_this_machine() {
        let one = |digest: &str, architecture: &str, kind: Value| json!({"digest": digest, "platform": {"architecture": architecture, "os": "linux"}, "annotations": {"disktype": kind}});
        let ours = if cfg!(target_arch = "x86_64") { "x86_64" } else { std::env::consts::ARCH };
        let index = manifest(json!({"manifests": [
            one("qcow2", ours, "qcow2".into()), one("other", "s390x", "raw".into()), {"digest": "plain"},
            one("raw", ours, "raw".into()), one("hyperv", ours, "hyperv".into()), one("apple", "", "applehv".into()),
        ]}));
        assert_eq!(index.candidates().unwrap(), ["raw", "apple", "qcow2", "plain"]);
        assert_eq!(manifest(json!({"layers": []})).candidates(), None);
    }

    #[test]
    fn a_container_image_is_no_disk() {
        let layer = json!({"digest": "sha256:1", "mediaType": "application/zstd"});
        let container = json!({"digest": "sha256:0", "mediaType": "application/vnd.oci.image.config.v1+json"});
        assert_eq!(manifest(json!({"layers": [layer]})).disk_image().as_deref(), Some("sha256:1"));
        assert_eq!(manifest(json!({"layers": [layer], "config": container})).disk_image(), None);
        assert_eq!(manifest(json!({"layers": [layer, layer]})).disk_image(), None);
        let artefact = json!({"layers": [layer], "config": container, "artifactType": "application/x-disk"});
        assert!(manifest(artefact).disk_image().is_some());
    }
}
