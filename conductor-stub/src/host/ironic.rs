//! Ironic's API as a client has it.

use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};

use super::wanted::Drivers;
use crate::http::{self, BodyError};
use crate::node::{MacAddress, Object};

/// What Metal3's operator asks for at least; everything used here is in it.
const VERSION: &str = "1.89";
/// One request.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer.
const LIMIT_BYTES: usize = 64 << 20;
/// Nodes in one answer.
const PAGE: usize = 500;

/// Where a conductor is, and who asks.
#[derive(Debug, Clone, clap::Args)]
pub struct Endpoint {
    /// URL of the conductor's API
    #[arg(long, value_name = "URL", env = "OS_ENDPOINT", default_value = "http://127.0.0.1:6385")]
    pub url: String,
    /// User, when the conductor wants to know; the password comes from OS_PASSWORD
    #[arg(long, value_name = "NAME", env = "OS_USERNAME")]
    pub user: Option<String>,
    /// Certificate of the authority that vouches for the conductor, PEM
    #[arg(long, value_name = "FILE", env = "OS_CACERT")]
    pub ca: Option<std::path::PathBuf>,
}

/// Why an answer is of no use.
#[derive(Debug, thiserror::Error)]
pub enum IronicError {
    /// No answer.
    #[error("{url}: {cause}")]
    Connection {
        /// What was asked.
        url: String,
        /// Why not.
        cause: String,
    },
    /// A refusal, in the conductor's words.
    #[error("{what}: {text} ({status})")]
    Refused {
        /// What was asked.
        what: String,
        /// Its answer.
        status: StatusCode,
        /// Its words.
        text: String,
    },
    /// Something else than Ironic.
    #[error("{url} is not Ironic's API: {cause}")]
    Nonsense {
        /// What was asked.
        url: String,
        /// What came.
        cause: String,
    },
    /// Whom to believe.
    #[error("{file}: {cause}")]
    Authority {
        /// The file.
        file: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A name without a password.
    #[error("the user {0} has no password: set OS_PASSWORD")]
    NoPassword(String),
}

impl IronicError {
    /// Something goes on that ends by itself: the same request may be taken later. Every other 409 is for good, and Ironic has
    /// nothing but words to tell them apart.
    pub fn is_busy(&self) -> bool {
        let Self::Refused { status, text, .. } = self else { return false };
        match *status {
            StatusCode::SERVICE_UNAVAILABLE => true,
            StatusCode::CONFLICT => BUSY.iter().any(|words| text.contains(words)),
            _ => false,
        }
    }

    /// There is no such thing, in Ironic's words: whatever else answers 404 is not Ironic.
    fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_FOUND, text, .. } if text.contains("could not be found"))
    }
}

/// What Ironic says when somebody else is at work: `NodeLocked`; `ParentNodeLocked` and `ChildNodeLocked`
/// (ironic/common/exception.py); a patch that came in the middle of a flow (ironic/api/controllers/v1/node.py).
const BUSY: [&str; 4] = [
    "is locked by host",
    "is presently locked",
    "while a state transition is in progress",
    "while it is in state \"inspecting\"",
];

/// A conductor.
#[derive(Debug, Clone)]
pub struct Ironic {
    client: Client,
    url: String,
    user: Option<(String, String)>,
}

impl Ironic {
    /// Gets ready to ask; nothing is sent yet. A password comes from `OS_PASSWORD`.
    ///
    /// # Errors
    /// When the certificate is none, or the password is missing.
    pub fn new(endpoint: &Endpoint) -> Result<Self, IronicError> {
        crate::tls::use_ring();
        let mut builder = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).referer(false);
        if let Some(file) = &endpoint.ca {
            builder = builder.tls_certs_only(authority(file)?);
        }
        let user = match &endpoint.user {
            Some(user) => {
                let password = std::env::var("OS_PASSWORD").map_err(|_| IronicError::NoPassword(user.clone()))?;
                Some((user.clone(), password))
            }
            None => None,
        };
        let url = endpoint.url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        let client = builder
            .build()
            .map_err(|error| IronicError::Connection { url: url.clone(), cause: http::words(&error) })?;
        Ok(Self { client, url, user })
    }

    /// A node by its name, as the conductor shows it.
    ///
    /// # Errors
    /// Any but that there is none.
    pub async fn node(&self, ident: &str) -> Result<Option<Value>, IronicError> {
        match self.ask(Method::GET, &format!("/v1/nodes/{ident}"), None).await {
            Err(error) if error.is_missing() => Ok(None),
            other => other.map(Some),
        }
    }

    /// All nodes.
    ///
    /// # Errors
    /// When the conductor does not answer as Ironic does.
    pub async fn nodes(&self) -> Result<Vec<Value>, IronicError> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let marker = all.last().and_then(|node| node["uuid"].as_str()).map(|uuid| format!("&marker={uuid}"));
            let path = format!("/v1/nodes/detail?limit={PAGE}{}", marker.unwrap_or_default());
            let Value::Array(page) = self.ask(Method::GET, &path, None).await?["nodes"].take() else {
                return Err(self.nonsense(&path, "no nodes"));
            };
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Makes a node.
    ///
    /// # Errors
    /// When the conductor refuses.
    pub async fn create_node(&self, node: Object) -> Result<Value, IronicError> {
        self.ask(Method::POST, "/v1/nodes", Some(&node.into())).await
    }

    /// Changes a node by a JSON patch.
    ///
    /// # Errors
    /// When the conductor refuses.
    pub async fn patch(&self, ident: &str, patch: &Value) -> Result<Value, IronicError> {
        self.ask(Method::PATCH, &format!("/v1/nodes/{ident}"), Some(patch)).await
    }

    /// `PUT …/states/{kind}`: a verb, power, RAID; `DELETE …/maintenance` is [`Ironic::end_maintenance`].
    ///
    /// # Errors
    /// When the conductor refuses.
    pub async fn put_state(&self, ident: &str, kind: &str, body: &Value) -> Result<(), IronicError> {
        self.ask(Method::PUT, &format!("/v1/nodes/{ident}/states/{kind}"), Some(body)).await.map(drop)
    }

    /// Takes a node out of maintenance.
    ///
    /// # Errors
    /// When the conductor refuses.
    pub async fn end_maintenance(&self, ident: &str) -> Result<(), IronicError> {
        self.ask(Method::DELETE, &format!("/v1/nodes/{ident}/maintenance"), None).await.map(drop)
    }

    /// Makes sure that the node boots from that address.
    ///
    /// # Errors
    /// When the conductor refuses: the address may be another node's.
    pub async fn ensure_port(&self, node: &str, address: &MacAddress) -> Result<(), IronicError> {
        let path = format!("/v1/ports?address={}&fields=uuid,node_uuid", address.as_str());
        let found = self.ask(Method::GET, &path, None).await?;
        let is_there =
            found["ports"].as_array().is_some_and(|ports| ports.iter().any(|port| port["node_uuid"] == node));
        if is_there {
            return Ok(());
        }
        let port = json!({"node_uuid": node, "address": address.as_str(), "pxe_enabled": true});
        self.ask(Method::POST, "/v1/ports", Some(&port)).await.map(drop)
    }

    /// The conductor's drivers with the boot interfaces that they may use.
    ///
    /// # Errors
    /// When the conductor does not answer as Ironic does.
    pub async fn drivers(&self) -> Result<Drivers, IronicError> {
        let path = "/v1/drivers?detail=True";
        let mut answer = self.ask(Method::GET, path, None).await?;
        let Value::Array(drivers) = answer["drivers"].take() else { return Err(self.nonsense(path, "no drivers")) };
        Ok(drivers
            .iter()
            .filter_map(|driver| {
                let interfaces = driver["enabled_boot_interfaces"].as_array().into_iter().flatten();
                let interfaces = interfaces.filter_map(|name| name.as_str().map(str::to_owned)).collect();
                Some((driver["name"].as_str()?.to_owned(), interfaces))
            })
            .collect())
    }

    /// What inspection found; none before it.
    ///
    /// # Errors
    /// Any but that there is none.
    pub async fn inventory(&self, ident: &str) -> Result<Option<Value>, IronicError> {
        match self.ask(Method::GET, &format!("/v1/nodes/{ident}/inventory"), None).await {
            Err(error) if error.is_missing() => Ok(None),
            other => other.map(|mut answer| Some(answer["inventory"].take())),
        }
    }

    fn nonsense(&self, path: &str, cause: &str) -> IronicError {
        IronicError::Nonsense { url: format!("{}{path}", self.url), cause: cause.to_owned() }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, IronicError> {
        let url = format!("{}{path}", self.url);
        let failed = |error: reqwest::Error| IronicError::Connection { url: url.clone(), cause: http::words(&error) };
        let what = format!("{method} {path}");
        let mut request = self.client.request(method, &url).header("X-OpenStack-Ironic-API-Version", VERSION);
        if let Some((user, password)) = &self.user {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let bytes = http::whole(response, LIMIT_BYTES).await.map_err(|error| match error {
            BodyError::Broken(error) => failed(error),
            BodyError::TooLarge(_) => self.nonsense(path, &error.to_string()),
        })?;
        if !status.is_success() {
            return Err(IronicError::Refused { what, status, text: fault_text(&bytes) });
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| self.nonsense(path, &error.to_string()))
    }
}

fn authority(file: &Path) -> Result<Vec<Certificate>, IronicError> {
    let failed = |cause: String| IronicError::Authority { file: file.display().to_string(), cause };
    let pem = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.to_string()))
}

/// Ironic's words: an object in a text in an object, or one less.
fn fault_text(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let fault = match &body["error_message"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| json!({ "faultstring": text })),
        other => other.clone(),
    };
    fault["faultstring"].as_str().unwrap_or("no reason given").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_in_two_shapes() {
        let nested = json!({"error_message": r#"{"faultcode": "Client", "faultstring": "Node 7 is locked."}"#});
        assert_eq!(fault_text(nested.to_string().as_bytes()), "Node 7 is locked.");
        let flat = json!({"error_message": {"faultstring": "no"}});
        assert_eq!(fault_text(flat.to_string().as_bytes()), "no");
        assert_eq!(fault_text(b"<html>"), "no reason given");
    }

    fn refused(status: StatusCode, text: &str) -> IronicError {
        IronicError::Refused { what: "PUT /v1/nodes/n".into(), status, text: text.into() }
    }

    /// Real Ironic's words, all with 409 and the fault code `Client`.
    #[test]
    fn a_conflict_that_ends_by_itself_is_told_from_one_that_does_not() {
        for text in [
            "Node 7 is locked by host conductor-2, please retry after the current operation is completed.",
            "Node 7 parent_node 8 is presently locked and we are unable to perform any action on it at this time. Please retry \
             after the current operation is completed.",
            "Node 7 can not be updated while a state transition is in progress.",
            "Cannot update node \"7\" while it is in state \"inspecting\".",
        ] {
            assert!(refused(StatusCode::CONFLICT, text).is_busy(), "{text}");
            assert!(!refused(StatusCode::BAD_REQUEST, text).is_busy(), "{text}");
        }
        for text in [
            "A node with name n already exists.",
            "A port with MAC address 52:54:00:aa:bb:01 already exists.",
            "Instance 9 is already associated with a node, it cannot be associated with this other node 7",
            "Cannot update owner of node \"7\" while it is in state \"active\".",
            "Node 7 can not have 'retired' set in provision state 'available', the current state is 'available'",
            "no reason given",
        ] {
            assert!(!refused(StatusCode::CONFLICT, text).is_busy(), "{text}");
        }
        assert!(refused(StatusCode::SERVICE_UNAVAILABLE, "lack of free conductor workers").is_busy());
    }

    #[test]
    fn a_404_of_somebody_else_is_no_missing_node() {
        assert!(refused(StatusCode::NOT_FOUND, "Node n could not be found.").is_missing());
        assert!(!refused(StatusCode::NOT_FOUND, "no reason given").is_missing());
    }
}
