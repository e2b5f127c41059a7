//! Stream metadata of Fedora CoreOS and RHEL CoreOS: which files a release has, and their digests
//! (<https://github.com/coreos/stream-metadata-go>).

use serde::Deserialize;
use std::collections::HashMap;
use thiserror::Error;
use url::Url;

/// A stream without a place is one of Fedora's.
const FEDORA: &str = "https://builds.coreos.fedoraproject.org/streams";

/// Why metadata are of no use.
#[derive(Debug, Error)]
pub enum StreamError {
    /// Not JSON, or not of this kind.
    #[error("the stream metadata cannot be read")]
    Json(#[from] serde_json::Error),
    /// Nothing for machines of this kind.
    #[error("the stream has nothing for {architecture} on metal; it has {known}")]
    Architecture {
        /// That was asked for.
        architecture: String,
        /// That there are.
        known: String,
    },
    /// No such file.
    #[error("the stream has no {0}")]
    Missing(&'static str),
    /// A value that cannot be what it should be.
    #[error("{name} of the stream is {value:?}")]
    Value {
        /// Which.
        name: String,
        /// What it is.
        value: String,
    },
}

/// Something that a machine boots or gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// What it is called here.
    pub name: &'static str,
    format: &'static str,
    artefact: &'static str,
}

/// What there is.
pub const KINDS: [Kind; 6] = [
    Kind { name: "kernel", format: "pxe", artefact: "kernel" },
    Kind { name: "initramfs", format: "pxe", artefact: "initramfs" },
    Kind { name: "rootfs", format: "pxe", artefact: "rootfs" },
    Kind { name: "iso", format: "iso", artefact: "disk" },
    Kind { name: "metal", format: "raw.xz", artefact: "disk" },
    Kind { name: "metal4k", format: "4k.raw.xz", artefact: "disk" },
];

/// The files of one release for one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its version.
    pub version: String,
    /// For which machines, as the stream has it: `x86_64`.
    pub architecture: String,
    /// Its files.
    pub files: Vec<RemoteFile>,
}

/// A file on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// What it is: `kernel`.
    pub kind: &'static str,
    /// Its name, without folder.
    pub name: String,
    /// Where it is.
    pub url: Url,
    /// Where its signature is, if it is signed.
    pub signature: Option<Url>,
    /// Its digest.
    pub sha256: [u8; 32],
}

#[derive(Deserialize)]
struct Stream {
    architectures: HashMap<String, Architecture>,
}

#[derive(Deserialize)]
struct Architecture {
    artifacts: HashMap<String, Platform>,
}

#[derive(Deserialize)]
struct Platform {
    release: String,
    formats: HashMap<String, HashMap<String, Artefact>>,
}

#[derive(Deserialize)]
struct Artefact {
    location: String,
    #[serde(default)]
    signature: String,
    sha256: String,
}

/// Where the metadata of a stream are: a URL, or a name of Fedora's (`stable`). What is a path is no stream.
#[must_use]
pub fn location(stream: &str) -> Option<Url> {
    if stream.starts_with("http://") || stream.starts_with("https://") {
        return Url::parse(stream).ok();
    }
    let is_name = !stream.is_empty() && stream.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_name { Url::parse(&format!("{FEDORA}/{stream}.json")).ok() } else { None }
}

impl Release {
    /// The files of these kinds for an architecture (`amd64` and `arm64` are understood, too).
    ///
    /// # Errors
    /// When one of them is not there, or something is not what it should be.
    pub fn parse(metadata: &[u8], architecture: &str, kinds: &[Kind]) -> Result<Self, StreamError> {
        let architecture = match architecture {
            "amd64" => "x86_64",
            "arm64" => "aarch64",
            other => other,
        };
        let mut stream: Stream = serde_json::from_slice(metadata)?;
        let platform = stream
            .architectures
            .get_mut(architecture)
            .and_then(|of_architecture| of_architecture.artifacts.remove("metal"));
        let Some(platform) = platform else {
            let mut known: Vec<String> = stream.architectures.into_keys().collect();
            known.sort();
            return Err(StreamError::Architecture { architecture: architecture.to_owned(), known: known.join(", ") });
        };
        let file = |kind: &Kind| {
            let artefact = platform.formats.get(kind.format).and_then(|format| format.get(kind.artefact));
            RemoteFile::new(kind.name, artefact.ok_or(StreamError::Missing(kind.name))?)
        };
        let files = kinds.iter().map(file).collect::<Result<_, _>>()?;
        if !is_plain(&platform.release) {
            return Err(StreamError::Value { name: "release".to_owned(), value: platform.release });
        }
        Ok(Self { version: platform.release, architecture: architecture.to_owned(), files })
    }
}

impl RemoteFile {
    fn new(kind: &'static str, artefact: &Artefact) -> Result<Self, StreamError> {
        let wrong =
            |name: &str, value: &str| StreamError::Value { name: format!("{name} of {kind}"), value: value.to_owned() };
        let url = |name: &str, text: &str| {
            let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
            url.ok_or_else(|| wrong(name, text))
        };
        let location = url("location", &artefact.location)?;
        let name =
            location.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default().to_owned();
        if !is_plain(&name) {
            return Err(wrong("location", &artefact.location));
        }
        let signature = Some(artefact.signature.as_str()).filter(|text| !text.is_empty());
        let mut sha256 = [0; 32];
        hex::decode_to_slice(&artefact.sha256, &mut sha256).map_err(|_| wrong("sha256", &artefact.sha256))?;
        Ok(Self {
            kind,
            name,
            url: location,
            signature: signature.map(|text| url("signature", text)).transpose()?,
            sha256,
        })
    }
}

/// Can it be the name of a file?
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(location: &str, sha256: &str) -> Vec<u8> {
        let file = json!({"location": location, "signature": "", "sha256": sha256});
        let formats = json!({"pxe": {"kernel": file}, "iso": {"disk": file}});
        json!({"stream": "stable", "architectures": {"x86_64": {"artifacts": {
            "metal": {"release": "41.20250101.3.0", "formats": formats}, "qemu": {"release": "x", "formats": {}}}}}})
        .to_string()
        .into_bytes()
    }

    #[test]
    fn files_are_found_by_kind() {
        let text = metadata("https://host/prod/fcos-kernel-x86_64", &"ab".repeat(32));
        let release = Release::parse(&text, "amd64", &KINDS[..1]).unwrap();
        assert_eq!((release.version.as_str(), release.architecture.as_str()), ("41.20250101.3.0", "x86_64"));
        assert_eq!((release.files[0].kind, release.files[0].name.as_str()), ("kernel", "fcos-kernel-x86_64"));
        assert_eq!(release.files[0].sha256, [0xab; 32]);
        let error =
            |architecture: &str, kinds: &[Kind]| Release::parse(&text, architecture, kinds).unwrap_err().to_string();
        assert_eq!(error("riscv64", &KINDS), "the stream has nothing for riscv64 on metal; it has x86_64");
        assert_eq!(error("x86_64", &KINDS[..2]), "the stream has no initramfs");
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for (location, sha256) in [
            ("file:///etc/passwd", "ab".repeat(32)),
            ("https://host/..", "ab".repeat(32)),
            ("https://host/a%2fb", "ab".repeat(32)),
            ("https://host/kernel", "ab".repeat(31)),
        ] {
            assert!(Release::parse(&metadata(location, &sha256), "x86_64", &KINDS[..1]).is_err(), "{location}");
        }
    }

    #[test]
    fn a_stream_is_a_name_or_a_url() {
        assert_eq!(location("stable").unwrap().as_str(), "https://builds.coreos.fedoraproject.org/streams/stable.json");
        assert_eq!(location("http://h/s.json").unwrap().as_str(), "http://h/s.json");
        assert_eq!(location("./stable.json"), None);
    }
}
