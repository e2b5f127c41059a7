//! A registry of one image whose tokens do not last, with TLS by nginx.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use ferric_steps::image::{Algorithm, Digest};
use serde_json::json;

use crate::certificates::Certificates;
use crate::fault_server::{Behaviour, Fault, FaultServer, Handler, Reply, Request};
use crate::network::{free_port, wait_for_port};
use crate::process::Process;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// How the registry gives tokens and the blob.
#[derive(Debug, Clone)]
pub struct Rules {
    /// So many requests are answered for one token.
    pub uses: usize,
    /// So many tokens are given.
    pub tokens: usize,
    /// The `Authorization` header without which no token is given.
    pub password: Option<&'static str>,
    /// Where requests for the blob are sent on to, each with a signature of its own.
    pub storage: Option<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { uses: usize::MAX, tokens: usize::MAX, password: None, storage: None }
    }
}

/// A running registry; it is gone when this is dropped.
#[derive(Debug)]
pub struct TokenRegistry {
    _front: Process,
    _server: FaultServer,
    port: u16,
    digest: Digest,
    door: Arc<Door>,
}

impl TokenRegistry {
    /// Serves `blob` as `images/os:one`; the first requests for it that are let in meet `faults`.
    ///
    /// # Errors
    /// When nginx does not start.
    pub fn start(certificates: &Certificates, blob: Vec<u8>, rules: Rules, faults: Vec<Fault>) -> Result<Self> {
        let port = free_port()?;
        let digest = Digest::of(Algorithm::Sha256, &blob);
        let layer = json!({"mediaType": "application/octet-stream", "digest": digest.to_string(), "size": blob.len()});
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x-disk", "layers": [layer]});
        let challenge = format!("Bearer realm=\"https://127.0.0.1:{port}/token\",service=\"lab\"");
        let manifest = manifest.to_string().into_bytes();
        let door = Arc::new(Door { rules, challenge, manifest, inside: Mutex::default() });
        let asked = Arc::clone(&door);
        let handler = Handler::new(move |request| asked.answer(request));
        let server = FaultServer::start(blob, Behaviour { handler: Some(handler), ..Behaviour::default() }, faults)?;
        let front = front(certificates.directory(), port, &server.url(""))?;
        Ok(Self { _front: front, _server: server, port, digest, door })
    }

    /// `oci://127.0.0.1:PORT/images/os` and `version`.
    pub fn image(&self, version: &str) -> String {
        format!("oci://127.0.0.1:{}/images/os{version}", self.port)
    }

    /// The digest of the manifest.
    pub fn manifest(&self) -> Digest {
        Digest::of(Algorithm::Sha256, &self.door.manifest)
    }

    /// The digest of the blob.
    pub fn blob(&self) -> &Digest {
        &self.digest
    }

    /// How many tokens were given.
    pub fn tokens(&self) -> usize {
        self.door.inside().tokens.len()
    }

    /// The ranges of the requests for the blob that were let in.
    pub fn ranges(&self) -> Vec<Option<String>> {
        self.door.inside().ranges.clone()
    }
}

/// Speaks TLS on `port` for the server at `url`.
fn front(directory: &Path, port: u16, url: &str) -> Result<Process> {
    let root = directory.display();
    let configuration = format!(
        "daemon off; master_process off; user root; pid {root}/front-{port}.pid; error_log stderr; events {{}}
         http {{
           access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/f;
           uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
           ssl_certificate {root}/server.pem; ssl_certificate_key {root}/server.key;
           server {{
             listen 127.0.0.1:{port} ssl;
             location / {{ proxy_pass {url}; proxy_http_version 1.1; proxy_buffering off; proxy_redirect off; }}
           }}
         }}"
    );
    let file = directory.join(format!("front-{port}.conf"));
    std::fs::write(&file, configuration)?;
    let process = Process::start(Command::new("nginx").arg("-p").arg(directory).arg("-c").arg(file))?;
    wait_for_port(port, Duration::from_secs(60))?;
    Ok(process)
}

#[derive(Debug)]
struct Door {
    rules: Rules,
    challenge: String,
    manifest: Vec<u8>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    /// How often each token was shown.
    tokens: HashMap<String, usize>,
    ranges: Vec<Option<String>>,
}

impl Door {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request) -> Option<Reply> {
        let mut inside = self.inside();
        if request.path.starts_with("/token?") {
            return Some(self.token(request, &mut inside));
        }
        let shown = request.authorization.as_deref().and_then(|header| header.strip_prefix("Bearer "));
        let count = shown.and_then(|token| inside.tokens.get_mut(token)).filter(|count| **count < self.rules.uses);
        let Some(count) = count else {
            let header = Some(("WWW-Authenticate", self.challenge.clone()));
            return Some(Reply { status: 401, header, ..Reply::default() });
        };
        *count += 1;
        if request.path.contains("/manifests/") {
            let header = Some(("Content-Type", MANIFEST.to_string()));
            return Some(Reply { status: 200, header, body: self.manifest.clone() });
        }
        inside.ranges.push(request.range.clone());
        let storage = self.rules.storage.as_ref()?;
        let location = format!("{storage}?signature={}", inside.ranges.len());
        Some(Reply { status: 307, header: Some(("Location", location)), ..Reply::default() })
    }

    fn token(&self, request: &Request, inside: &mut Inside) -> Reply {
        let known = self.rules.password.is_none_or(|password| request.authorization.as_deref() == Some(password));
        let scope = "service=lab&scope=repository%3Aimages%2Fos%3Apull";
        if !known || !request.path.ends_with(scope) || inside.tokens.len() >= self.rules.tokens {
            return Reply { status: 401, ..Reply::default() };
        }
        let token = format!("token-{}", inside.tokens.len());
        inside.tokens.insert(token.clone(), 0);
        Reply { status: 200, header: None, body: json!({"token": token}).to_string().into_bytes() }
    }
}
