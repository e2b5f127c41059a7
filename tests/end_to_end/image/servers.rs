//! Images from servers that want something: passwords, certificates, proxies, tokens. The servers are nginx and the
//! registry of the distribution.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ferric_steps::options::{BasicLogin, Options, Retries};
use ferric_steps::step::Step;
use ferric_steps::{ErrorKind, StepError};
use ferric_tests::certificates::Certificates;
use ferric_tests::image::Packing;
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::network::{free_port, wait_for_port};
use ferric_tests::process::Process;
use ferric_tests::proxy::Proxy;
use serde_json::{Value, json};

use super::write_image::{Image, deploy_in, step, tool};

const LIMIT: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// An image, the disk it goes to, and what was deployed last.
pub(super) struct Target {
    pub(super) image: Image,
    disk: LoopDevice,
    step: Step,
}

impl Target {
    pub(super) fn new() -> Self {
        let disk = LoopDevice::new(32 * MIB).unwrap();
        let mut step = step(&disk);
        let options = Arc::make_mut(&mut step.site.options);
        options.download.retries = Retries { count: 1, interval: Duration::ZERO, ..Retries::default() };
        Self { image: Image::gpt(&["-n", "1:2048:0", "-c", "1:from a server"]), disk, step }
    }

    pub(super) fn options(&mut self) -> &mut Options {
        Arc::make_mut(&mut self.step.site.options)
    }

    /// Trusts the authority in this file.
    pub(super) fn trust(&mut self, authority: PathBuf) {
        self.options().tls.authorities = Some(authority);
    }

    /// Deploys what is at `url`; `more` overrides what is said of the image.
    pub(super) fn deploy(&self, url: &str, more: Value) -> Result<(), StepError> {
        let blank = vec![0; (32 * MIB) as usize];
        std::fs::write(self.disk.path(), blank).unwrap();
        let mut info = self.image.info();
        info["urls"] = json!([url]);
        info.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        deploy_in(&self.step, info, None)?;
        let listed = tool("sgdisk", &["-p", self.disk.path().to_str().unwrap()]);
        assert!(listed.contains("from a server"), "{listed}");
        Ok(())
    }

    /// Deploying fails, says this, and nothing was written.
    pub(super) fn refused(&self, url: &str, more: Value, expected: &str) {
        let error = self.deploy(url, more).unwrap_err().chain();
        assert!(error.contains(expected), "{expected:?} is not in {error}");
        assert!(self.disk.read().unwrap().iter().all(|byte| *byte == 0), "the disk was touched");
    }
}

/// nginx with the image behind every kind of door. The password of `user` is `secret`.
pub(super) struct Nginx {
    _process: Process,
    certificates: Certificates,
    pub(super) plain: u16,
    pub(super) tls: u16,
    pub(super) for_known_clients: u16,
}

impl Nginx {
    pub(super) fn start(image: &Image) -> Self {
        let certificates = Certificates::new().unwrap();
        let [plain, tls, for_known_clients] = [0; 3].map(|_| free_port().unwrap());
        std::fs::copy(image.path(), certificates.file("image.raw")).unwrap();
        let packed = Packing::Gzip.pack(&std::fs::read(image.path()).unwrap()).unwrap();
        std::fs::write(certificates.file("image.raw.gz"), packed).unwrap();
        std::fs::write(certificates.file("passwords"), "user:{PLAIN}secret\n").unwrap();
        let root = certificates.directory().display();
        let configuration = format!(
            "daemon off; master_process off; user root; pid {root}/pid; error_log stderr;
             events {{}}
             http {{
               access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/f;
               uwsgi_temp_path {root}/u; scgi_temp_path {root}/s; root {root}; default_type text/plain;
               gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;
               ssl_certificate server.pem; ssl_certificate_key server.key;
               server {{
                 listen 127.0.0.1:{plain};
                 location = /image.raw {{ }}
                 location = /stored {{ alias {root}/image.raw.gz; gzip off; add_header Content-Encoding gzip; }}
                 location = /mislabelled {{ alias {root}/image.raw; gzip off; add_header Content-Encoding gzip; }}
               }}
               server {{
                 listen 127.0.0.1:{tls} ssl;
                 location = /image.raw {{ }}
                 location = /secret {{ alias {root}/image.raw; auth_basic door; auth_basic_user_file passwords; }}
                 location = /token {{ alias {root}/token; auth_basic door; auth_basic_user_file passwords; }}
               }}
               server {{
                 listen 127.0.0.1:{for_known_clients} ssl; ssl_client_certificate ca.pem; ssl_verify_client on;
                 location = /image.raw {{ }}
               }}
             }}"
        );
        std::fs::write(certificates.file("nginx.conf"), configuration).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(certificates.directory()).arg("-c").arg(certificates.file("nginx.conf"));
        let process = Process::start(&mut command).unwrap();
        for port in [plain, tls, for_known_clients] {
            wait_for_port(port, LIMIT).unwrap();
        }
        Self { _process: process, certificates, plain, tls, for_known_clients }
    }

    pub(super) fn url(&self, port: u16, path: &str) -> String {
        let scheme = if port == self.plain { "http" } else { "https" };
        format!("{scheme}://127.0.0.1:{port}/{path}")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.certificates.file(name)
    }
}

#[test]
fn certificates_decide_whom_we_believe_and_who_believes_us() {
    let mut target = Target::new();
    let nginx = Nginx::start(&target.image);
    let image = nginx.url(nginx.tls, "image.raw");
    target.refused(&image, json!({}), "UnknownIssuer");
    target.options().tls.insecure = true;
    target.deploy(&image, json!({})).unwrap();
    target.options().tls.insecure = false;
    target.trust(nginx.file("ca.pem"));
    target.deploy(&image, json!({})).unwrap();

    let image = nginx.url(nginx.for_known_clients, "image.raw");
    target.refused(&image, json!({}), "400");
    target.options().tls.client_certificate = Some((nginx.file("client.pem"), nginx.file("client.key")));
    target.deploy(&image, json!({})).unwrap();
    target.options().tls.client_certificate = Some((nginx.file("client.pem"), nginx.file("server.key")));
    target.refused(&image, json!({}), "TLS");
}

#[test]
fn passwords_come_from_the_image_or_from_the_options() {
    let mut target = Target::new();
    let nginx = Nginx::start(&target.image);
    let image = nginx.url(nginx.tls, "secret");
    target.trust(nginx.file("ca.pem"));
    target.refused(&image, json!({}), "401");
    let with = |password: &str| json!({"image_server_auth_strategy": "http_basic", "image_server_user": "user", "image_server_password": password});
    target.refused(&image, with("wrong"), "401");
    target.deploy(&image, with("secret")).unwrap();
    let header = STANDARD.encode(format!("Basic {}", STANDARD.encode("user:secret")));
    target.deploy(&image, json!({"image_request_authorization": header})).unwrap();
    let login = BasicLogin { user: Some("user".to_string()), password: None };
    target.options().download.basic_login = Some(login.clone());
    target.refused(&image, json!({}), "Missing ['password'] fields");
    target.options().download.basic_login = Some(BasicLogin { password: Some("secret".to_string()), ..login });
    target.deploy(&image, json!({})).unwrap();
}

#[test]
fn proxies_are_asked_except_for_hosts_that_need_none() {
    let mut target = Target::new();
    let nginx = Nginx::start(&target.image);
    target.trust(nginx.file("ca.pem"));
    for (port, asked) in [
        (nginx.plain, format!("GET http://127.0.0.1:{}/image.raw", nginx.plain)),
        (nginx.tls, format!("CONNECT 127.0.0.1:{}", nginx.tls)),
    ] {
        let proxy = Proxy::start().unwrap();
        let image = nginx.url(port, "image.raw");
        let both = json!({"http": proxy.url(), "https": proxy.url()});
        target.deploy(&image, json!({"proxies": both})).unwrap();
        assert!(proxy.asked().contains(&asked), "{:?}", proxy.asked());
        let before = proxy.asked().len();
        target.deploy(&image, json!({"proxies": both, "no_proxy": "example.org,127.0.0.1"})).unwrap();
        assert_eq!(proxy.asked().len(), before, "the proxy was asked all the same");
        let other = if port == nginx.plain { "https" } else { "http" };
        target.deploy(&image, json!({"proxies": {other: proxy.url()}})).unwrap();
        assert_eq!(proxy.asked().len(), before, "the proxy of the other scheme was asked");
    }
    let gone = format!("http://127.0.0.1:{}", free_port().unwrap());
    target.refused(&nginx.url(nginx.plain, "image.raw"), json!({"proxies": {"http": gone}}), "Connection refused");
}

#[test]
fn no_coding_is_asked_for_and_what_was_stored_in_one_is_decoded() {
    let target = Target::new();
    let nginx = Nginx::start(&target.image);
    // This server would compress for everybody who takes that.
    target.deploy(&nginx.url(nginx.plain, "image.raw"), json!({})).unwrap();
    target.deploy(&nginx.url(nginx.plain, "stored"), json!({})).unwrap();
    target.deploy(&nginx.url(nginx.plain, "mislabelled"), json!({})).unwrap();
    let wrong = json!({"os_hash_value": "0".repeat(64)});
    let error = target.deploy(&nginx.url(nginx.plain, "stored"), wrong).unwrap_err();
    assert!(error.chain().contains("Content-Encoding gzip"), "{}", error.chain());
}

/// The registry, with what was pushed to it.
struct Registry {
    port: u16,
    _process: Process,
}

impl Registry {
    /// Starts it on the storage beside the certificates; `auth` is that section of its configuration.
    fn start(nginx: &Nginx, auth: &str) -> Self {
        let port = free_port().unwrap();
        let root = nginx.certificates.directory().display();
        let configuration = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}/registry}}}}\n{auth}\
             http: {{addr: \"127.0.0.1:{port}\", tls: {{certificate: {root}/server.pem, key: {root}/server.key}}}}\n"
        );
        let file = nginx.certificates.file(&format!("registry-{port}.yml"));
        std::fs::write(&file, configuration).unwrap();
        let process = Process::start(Command::new("docker-registry").arg("serve").arg(file)).unwrap();
        wait_for_port(port, LIMIT).unwrap();
        Self { port, _process: process }
    }

    fn image(&self, version: &str) -> String {
        format!("oci://127.0.0.1:{}/images/os{version}", self.port)
    }

    /// Pushes a blob; returns its descriptor.
    fn push(&self, nginx: &Nginx, blob: &[u8], media_type: &str) -> Value {
        let digest = ferric_steps::image::Digest::of(ferric_steps::image::Algorithm::Sha256, blob).to_string();
        std::fs::write(nginx.certificates.file("blob"), blob).unwrap();
        let curl = "curl -sSf --cacert ca.pem";
        let upload = format!("https://127.0.0.1:{}/v2/images/os/blobs/uploads/", self.port);
        let script = format!(
            "url=$({curl} -o /dev/null -D - -X POST {upload} | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p')
             {curl} -X PUT -H 'Content-Type: application/octet-stream' --data-binary @blob \"$url&digest={digest}\""
        );
        nginx.certificates.shell(&script).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": blob.len()})
    }

    /// Pushes a manifest under its digest, or under a tag; returns its descriptor.
    fn tag(&self, nginx: &Nginx, manifest: &Value, tag: Option<&str>) -> Value {
        let text = manifest.to_string();
        let digest =
            ferric_steps::image::Digest::of(ferric_steps::image::Algorithm::Sha256, text.as_bytes()).to_string();
        std::fs::write(nginx.certificates.file("manifest"), &text).unwrap();
        let kind = manifest["mediaType"].as_str().unwrap();
        let url = format!("https://127.0.0.1:{}/v2/images/os/manifests/{}", self.port, tag.unwrap_or(&digest));
        let script =
            format!("curl -sSf --cacert ca.pem -X PUT -H 'Content-Type: {kind}' --data-binary @manifest {url}");
        nginx.certificates.shell(&script).unwrap();
        json!({"mediaType": kind, "digest": digest, "size": text.len()})
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Puts the image into the registry: `disks` is an index of kinds of disks, `one` a single artefact, `container` none.
/// Returns the digests of the manifest of `one` and of its blob.
fn publish(registry: &Registry, nginx: &Nginx, image: &Image) -> (String, String) {
    let content = std::fs::read(image.path()).unwrap();
    let empty = registry.push(nginx, b"{}", "application/vnd.oci.empty.v1+json");
    let config = registry.push(nginx, b"{}", "application/vnd.oci.image.config.v1+json");
    let artefact = |layer: Value, config: &Value| json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    let raw = registry.push(nginx, &Packing::Zstd.pack(&content).unwrap(), "application/zstd");
    let qcow2 = registry.push(nginx, b"this would be a qcow2 image", "application/octet-stream");
    let blob = raw.clone();
    let one = registry.tag(nginx, &artefact(raw.clone(), &empty), Some("one"));
    registry.tag(nginx, &artefact(raw.clone(), &config), Some("container"));
    let kinds = [("qcow2", qcow2, "x86_64"), ("raw", raw, "x86_64")].map(|(kind, layer, architecture)| {
        let mut descriptor = registry.tag(nginx, &artefact(layer, &empty), None);
        descriptor["platform"] = json!({"architecture": architecture, "os": "linux"});
        descriptor["annotations"] = json!({"disktype": kind});
        descriptor
    });
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": kinds});
    registry.tag(nginx, &index, Some("disks"));
    [&one, &blob].map(|descriptor| descriptor["digest"].as_str().unwrap().to_string()).into()
}

/// What Ironic could say of an image in a registry: nothing about its digest, and no format.
pub(super) fn of_registry() -> Value {
    json!({"os_hash_algo": null, "os_hash_value": null, "disk_format": "unknown"})
}

#[test]
fn registries_give_disk_images_and_their_digests() {
    let mut target = Target::new();
    let nginx = Nginx::start(&target.image);
    target.trust(nginx.file("ca.pem"));
    let registry = Registry::start(&nginx, "");
    let (manifest, blob) = publish(&registry, &nginx, &target.image);
    for version in [":one", ":disks", &format!("@{manifest}")] {
        target.deploy(&registry.image(version), of_registry()).unwrap();
    }
    target.refused(&registry.image(":container"), of_registry(), "holds no disk image");
    target.refused(&registry.image(":none"), of_registry(), "404");
    target.refused("oci://127.0.0.1/", of_registry(), "oci://registry/name:tag");
    // What the conductor says counts, and may not differ from what the registry says.
    let mut wrong = of_registry();
    (wrong["os_hash_algo"], wrong["os_hash_value"]) = ("sha256".into(), "0".repeat(64).into());
    target.refused(&registry.image(":one"), wrong, "Image failed to verify against checksum");

    // A manifest, and then a blob, that is not what its digest says.
    let data = |digest: &str| {
        let hex = digest.trim_start_matches("sha256:");
        nginx.certificates.file(&format!("registry/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    };
    let good = std::fs::read_to_string(data(&manifest)).unwrap();
    std::fs::write(data(&manifest), good.replacen('{', "{ ", 1)).unwrap();
    target.refused(&registry.image(&format!("@{manifest}")), of_registry(), "Image failed to verify against checksum");
    std::fs::write(data(&manifest), good).unwrap();
    let mut bytes = std::fs::read(data(&blob)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(data(&blob), bytes).unwrap();
    let error = target.deploy(&registry.image(":one"), of_registry()).unwrap_err();
    assert!(error.kind == ErrorKind::ImageChecksum, "{error:?}");
}

#[test]
fn registries_may_want_a_password_or_a_token() {
    let mut target = Target::new();
    let nginx = Nginx::start(&target.image);
    target.trust(nginx.file("ca.pem"));
    publish(&Registry::start(&nginx, ""), &nginx, &target.image);

    // bcrypt of "secret".
    let password = "user:$2b$04$AyPdp.ytAJfaBDyBPnplPu1VUCK2moG5S6Uj4sjPa8lbg47e0KG7O\n";
    std::fs::write(nginx.certificates.file("htpasswd"), password).unwrap();
    let by_password = format!("auth: {{htpasswd: {{realm: door, path: {}}}}}\n", nginx.file("htpasswd").display());
    let by_token = format!(
        "auth: {{token: {{realm: \"{}\", service: lab, issuer: ferric, rootcertbundle: {}}}}}\n",
        nginx.url(nginx.tls, "token"),
        nginx.file("ca.pem").display()
    );
    nginx.certificates.shell(&make_token()).unwrap();
    let token = std::fs::read_to_string(nginx.certificates.file("token")).unwrap();
    let token: Value = serde_json::from_str(&token).unwrap();
    let header = STANDARD.encode(format!("Bearer {}", token["token"].as_str().unwrap()));
    for (auth, nobody, stranger, with_header) in
        [(by_password, "wants a user and a password", "is not for us", false), (by_token, "401", "401", true)]
    {
        let registry = Registry::start(&nginx, &auth);
        let mut info = of_registry();
        target.refused(&registry.image(":one"), info.clone(), nobody);
        info["image_server_auth_strategy"] = "http_basic".into();
        (info["image_server_user"], info["image_server_password"]) = ("user".into(), "wrong".into());
        target.refused(&registry.image(":one"), info.clone(), stranger);
        info["image_server_password"] = "secret".into();
        target.deploy(&registry.image(":one"), info).unwrap();
        if with_header {
            // As Ironic does: it has found the blob, and sends the token along.
            let mut info = of_registry();
            info["image_request_authorization"] = header.clone().into();
            target.deploy(&registry.image(":disks"), info).unwrap();
        }
    }
}

/// A script that writes `token`: JSON Web Token (RFC 7519) that lets everybody read the repository.
fn make_token() -> String {
    let claims = r#"{"iss":"ferric","sub":"user","aud":"lab","exp":4102444800,"nbf":1,"iat":1,"jti":"1","access":[{"type":"repository","name":"images/os","actions":["pull"]}]}"#;
    format!(
        "encode() {{ openssl base64 -A | tr '+/' '-_' | tr -d '='; }}
         chain=$(openssl x509 -in server.pem -outform DER | openssl base64 -A)
         head=$(printf '{{\"typ\":\"JWT\",\"alg\":\"RS256\",\"x5c\":[\"%s\"]}}' \"$chain\" | encode)
         claims=$(printf '%s' '{claims}' | encode)
         sign=$(printf '%s' \"$head.$claims\" | openssl dgst -sha256 -sign server.key -binary | encode)
         printf '{{\"token\":\"%s\"}}' \"$head.$claims.$sign\" > token"
    )
}
