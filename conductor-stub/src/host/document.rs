//! What a file says: BareMetalHosts with the Secrets and HostFirmwareSettings that belong to them, YAML or JSON, one
//! document or many, a `List` of them as well.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::spec::HostSpec;

/// Everything that belongs together, by kind.
#[derive(Debug, Default)]
pub struct Documents {
    /// The machines.
    pub hosts: Vec<BareMetalHost>,
    /// Secrets by namespace and name, decoded.
    pub secrets: BTreeMap<Name, BTreeMap<String, String>>,
    /// BIOS attributes that are wanted, by namespace and name of their machine.
    pub firmware_settings: BTreeMap<Name, BTreeMap<String, Value>>,
    /// Fields that nobody knows, each with its place.
    pub warnings: Vec<String>,
}

/// Namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// `default` where none is given.
    pub namespace: String,
    /// Unique in it.
    pub name: String,
}

/// Why a file says nothing that could be applied.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Neither YAML nor JSON.
    #[error("{file}: {cause}")]
    Syntax {
        /// The file.
        file: String,
        /// Where and why.
        cause: String,
    },
    /// A document that is not what its kind says.
    #[error("{place}: {cause}")]
    Schema {
        /// File, document and kind.
        place: String,
        /// The field and what is wrong with it.
        cause: String,
    },
    /// Something that nobody here makes use of.
    #[error("{place}: {kind} is not known here, only BareMetalHost, HostFirmwareSettings, Secret and List")]
    Kind {
        /// File and document.
        place: String,
        /// `kind`, with `apiVersion`.
        kind: String,
    },
    /// Two of one name.
    #[error("{place}: there is another {kind} {name}")]
    Twice {
        /// File and document.
        place: String,
        /// `kind`.
        kind: &'static str,
        /// Namespace and name.
        name: Name,
    },
}

/// `metadata` of a document, as far as it is used.
#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// A machine.
#[derive(Debug, Clone)]
pub struct BareMetalHost {
    /// Namespace and name.
    pub name: Name,
    /// Annotations: `inspect.metal3.io: disabled` and `baremetalhost.metal3.io/paused` mean something.
    pub annotations: BTreeMap<String, String>,
    /// What is wanted.
    pub spec: HostSpec,
}

/// A document before its kind is looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: String,
    kind: String,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct HostBody {
    metadata: Metadata,
    spec: HostSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretBody {
    metadata: Metadata,
    #[serde(default)]
    data: BTreeMap<String, String>,
    #[serde(default)]
    string_data: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct FirmwareBody {
    metadata: Metadata,
    spec: FirmwareSpec,
}

#[derive(Debug, Deserialize)]
struct FirmwareSpec {
    settings: BTreeMap<String, Value>,
}

impl Documents {
    /// Reads one file more; `file` is what it is called in messages.
    ///
    /// # Errors
    /// The first thing that is wrong with it, and where.
    pub fn read(&mut self, file: &str, text: &str) -> Result<(), DocumentError> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text)
            .map_err(|error| DocumentError::Syntax { file: file.to_owned(), cause: error.to_string() })?;
        for (index, document) in documents.into_iter().enumerate() {
            if !document.is_null() {
                self.add(&format!("{file}, document {}", index + 1), document)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, place: &str, document: Value) -> Result<(), DocumentError> {
        let head: Head = typed(place, document.clone(), &mut Vec::new())?;
        let mut warnings = Vec::new();
        match (head.api_version.as_str(), head.kind.as_str()) {
            ("v1", "List") => {
                let Some(Value::Array(items)) = head.rest.get("items") else {
                    return Err(DocumentError::Schema { place: place.to_owned(), cause: "items is no list".into() });
                };
                for (index, item) in items.iter().enumerate() {
                    self.add(&format!("{place}, item {}", index + 1), item.clone())?;
                }
            }
            ("metal3.io/v1alpha1", "BareMetalHost") => {
                let body: HostBody = typed(place, document, &mut warnings)?;
                let name = name(&body.metadata);
                if self.hosts.iter().any(|host| host.name == name) {
                    return Err(DocumentError::Twice { place: place.to_owned(), kind: "BareMetalHost", name });
                }
                self.hosts.push(BareMetalHost { name, annotations: body.metadata.annotations, spec: body.spec });
            }
            ("v1", "Secret") => {
                let body: SecretBody = typed(place, document, &mut warnings)?;
                let name = name(&body.metadata);
                let mut data = BTreeMap::new();
                for (key, value) in body.data {
                    let decoded = decode(&value).ok_or_else(|| DocumentError::Schema {
                        place: place.to_owned(),
                        cause: format!("data.{key} of Secret {name} is not the base64 of a text"),
                    })?;
                    data.insert(key, decoded);
                }
                data.extend(body.string_data);
                if self.secrets.insert(name.clone(), data).is_some() {
                    return Err(DocumentError::Twice { place: place.to_owned(), kind: "Secret", name });
                }
            }
            ("metal3.io/v1alpha1", "HostFirmwareSettings") => {
                let body: FirmwareBody = typed(place, document, &mut warnings)?;
                let name = name(&body.metadata);
                if self.firmware_settings.insert(name.clone(), body.spec.settings).is_some() {
                    return Err(DocumentError::Twice { place: place.to_owned(), kind: "HostFirmwareSettings", name });
                }
            }
            (version, kind) => {
                return Err(DocumentError::Kind { place: place.to_owned(), kind: format!("{kind} ({version})") });
            }
        }
        // What the cluster writes is no business of whoever applies it.
        let own = |path: &String| path.starts_with("spec.");
        self.warnings.extend(warnings.into_iter().filter(own).map(|path| format!("{place}: unknown field {path}")));
        Ok(())
    }
}

/// A document as its kind has it; the places of fields that the kind does not know are added to `unknown`.
fn typed<T: DeserializeOwned>(place: &str, document: Value, unknown: &mut Vec<String>) -> Result<T, DocumentError> {
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(document, &mut track);
    serde_ignored::deserialize(deserializer, |path| unknown.push(path.to_string().replace(".?", ""))).map_err(|error| {
        let path = track.path().to_string();
        let cause = if path == "." { error.to_string() } else { format!("{path}: {error}") };
        DocumentError::Schema { place: place.to_owned(), cause }
    })
}

fn name(metadata: &Metadata) -> Name {
    let namespace = metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
    Name { namespace, name: metadata.name.clone() }
}

fn decode(value: &str) -> Option<String> {
    let joined: String = value.split_whitespace().collect();
    String::from_utf8(STANDARD.decode(joined).ok()?).ok()
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Name {
    /// The name of the node, as Metal3 gives it.
    pub fn of_node(&self) -> String {
        format!("{}~{}", self.namespace, self.name)
    }

    /// Namespace and name of the machine that a node of this name is.
    pub fn from_node(node: &str) -> Self {
        let (namespace, name) = node.split_once('~').unwrap_or(("default", node));
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Documents, String> {
        let mut documents = Documents::default();
        documents.read("host.yaml", text).map_err(|error| error.to_string())?;
        Ok(documents)
    }

    const HOST: &str = "\
apiVersion: metal3.io/v1alpha1
kind: BareMetalHost
metadata: {name: worker-0, namespace: lab, uid: 1, labels: {rack: a}}
spec:
  online: true
  bmc: {address: 'redfish://192.0.2.1', credentialsName: worker-0-bmc}
  bootMACAddress: 52:54:00:12:34:56
  bootmode: UEFI
  image: {url: http://192.0.2.9/disk.raw, checksum: abc, frmat: raw}
status: {provisioning: {state: available}}
";

    #[test]
    fn a_machine_with_its_secret_in_one_file() {
        let documents = read(&format!(
            "---\n{HOST}---\napiVersion: v1\nkind: Secret\ntype: Opaque\nmetadata: {{name: worker-0-bmc, namespace: lab}}\n\
             data: {{username: YWRtaW4=}}\nstringData: {{password: secret}}\n"
        ))
        .unwrap();
        let host = &documents.hosts[0];
        assert_eq!(host.name.of_node(), "lab~worker-0");
        assert_eq!(host.spec.boot_mac_address.as_ref().unwrap().as_str(), "52:54:00:12:34:56");
        let secret = &documents.secrets[&Name { namespace: "lab".into(), name: "worker-0-bmc".into() }];
        assert_eq!((secret["username"].as_str(), secret["password"].as_str()), ("admin", "secret"));
        assert_eq!(
            documents.warnings,
            [
                "host.yaml, document 1: unknown field spec.bootmode",
                "host.yaml, document 1: unknown field spec.image.frmat"
            ]
        );
    }

    #[test]
    fn json_and_lists_are_read_too() {
        let host: Value = serde_saphyr::from_str(HOST).unwrap();
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [host]});
        assert_eq!(read(&list.to_string()).unwrap().hosts.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (from, to, words) in [
            (
                "kind: BareMetalHost",
                "kind: Machine",
                "host.yaml, document 1: Machine (metal3.io/v1alpha1) is not known",
            ),
            ("frmat: raw", "format: rwa", "spec.image.format: unknown variant `rwa`"),
            ("52:54:00:12:34:56", "52:54", "spec.bootMACAddress: Expected a MAC address"),
            ("online: true", "online: perhaps", "spec.online: invalid type"),
            ("metadata: {", "metadata: [", "host.yaml: "),
        ] {
            let error = read(&HOST.replace(from, to)).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let twice = read(&format!("{HOST}---\n{HOST}")).unwrap_err();
        assert!(twice.contains("document 2: there is another BareMetalHost lab/worker-0"), "{twice}");
    }
}
