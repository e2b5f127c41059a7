//! Images in registries whose tokens and signed URLs do not last as long as the transfer.

use std::process::{Command, Output};

use ferric_steps::ErrorKind;
use ferric_tests::certificates::Certificates;
use ferric_tests::fault_server::{Behaviour, Fault, FaultServer};
use ferric_tests::image::{Packing, State, bootable, state, used_disk};
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::process::program;
use ferric_tests::token_registry::{Rules, TokenRegistry};
use serde_json::Value;

use super::command;
use super::servers::{Target, of_registry};

/// Basic authorization of `user` with the password `secret`.
const PASSWORD: &str = "Basic dXNlcjpzZWNyZXQ=";

struct Lab {
    target: Target,
    certificates: Certificates,
}

impl Lab {
    fn new() -> Self {
        let mut target = Target::new();
        let certificates = Certificates::new().unwrap();
        target.trust(certificates.file("ca.pem"));
        Self { target, certificates }
    }

    fn packed(&self, packing: Packing) -> Vec<u8> {
        packing.pack(&std::fs::read(self.target.image.path()).unwrap()).unwrap()
    }

    fn registry(&self, blob: Vec<u8>, rules: Rules, faults: Vec<Fault>) -> TokenRegistry {
        TokenRegistry::start(&self.certificates, blob, rules, faults).unwrap()
    }
}

fn with_password(password: &str) -> Value {
    let mut info = of_registry();
    info["image_server_auth_strategy"] = "http_basic".into();
    (info["image_server_user"], info["image_server_password"]) = ("user".into(), password.into());
    info
}

#[test]
fn a_token_that_has_expired_is_renewed_and_the_transfer_goes_on() {
    let lab = Lab::new();
    for packing in [Packing::Raw, Packing::Qcow2] {
        let blob = lab.packed(packing);
        let half = blob.len() / 2;
        let rules = Rules { uses: 1, password: Some(PASSWORD), ..Rules::default() };
        let registry = lab.registry(blob, rules, vec![Fault::Drop(half)]);
        lab.target.deploy(&registry.image(":one"), with_password("secret")).unwrap();
        let ranges = registry.ranges();
        assert_eq!(ranges.iter().filter(|range| range.is_none()).count(), 1, "{packing:?} began anew: {ranges:?}");
        assert!(ranges.contains(&Some(format!("bytes={half}-"))), "{packing:?}: {ranges:?}");
        // Every request needed one of its own, that for the manifest as well.
        assert_eq!(registry.tokens(), ranges.len() + 1, "{packing:?}");
        if packing == Packing::Qcow2 {
            assert!(ranges.len() > 2, "its tables were not read by ranges: {ranges:?}");
        }
    }
}

#[test]
fn a_registry_that_takes_no_token_is_not_asked_for_ever() {
    let lab = Lab::new();
    let blob = lab.packed(Packing::Raw);
    let registry = lab.registry(blob.clone(), Rules { uses: 0, ..Rules::default() }, Vec::new());
    lab.target.refused(&registry.image(":one"), of_registry(), "is not for us");
    assert!((1..5).contains(&registry.tokens()), "{} tokens", registry.tokens());

    let rules = Rules { password: Some(PASSWORD), ..Rules::default() };
    let registry = lab.registry(blob.clone(), rules, Vec::new());
    lab.target.refused(&registry.image(":one"), with_password("wrong"), "401");

    // It gives no more tokens when the connection breaks.
    let half = blob.len() / 2;
    let rules = Rules { uses: 1, tokens: 2, ..Rules::default() };
    let registry = lab.registry(blob, rules, vec![Fault::Drop(half)]);
    let error = lab.target.deploy(&registry.image(":one"), of_registry()).unwrap_err();
    assert!(error.kind == ErrorKind::ImageDownloadFatal && error.chain().contains("401"), "{error:?}");
    assert_eq!((registry.tokens(), registry.ranges().len()), (2, 1));
}

#[test]
fn a_storage_behind_the_registry_sees_no_token_and_each_signature_once() {
    let lab = Lab::new();
    let blob = lab.packed(Packing::Raw);
    let half = blob.len() / 2;
    let storage = FaultServer::start(blob.clone(), Behaviour::default(), vec![Fault::Drop(half)]).unwrap();
    let rules = Rules { uses: 2, storage: Some(storage.url("/blob")), ..Rules::default() };
    let registry = lab.registry(blob.clone(), rules, Vec::new());
    lab.target.deploy(&registry.image(":one"), of_registry()).unwrap();
    let asked: Vec<_> = storage.journal().into_iter().map(|request| (request.path, request.range)).collect();
    let resumed = Some(format!("bytes={half}-"));
    assert_eq!(asked, [("/blob?signature=1".into(), None), ("/blob?signature=2".into(), resumed)]);
    assert!(storage.journal().iter().all(|request| request.authorization.is_none()), "{:?}", storage.journal());
    assert_eq!(registry.tokens(), 2);

    // That the storage does not let us in has nothing to do with the token.
    let closed = Behaviour { authorization: Some("another".into()), ..Behaviour::default() };
    let storage = FaultServer::start(blob.clone(), closed, Vec::new()).unwrap();
    let rules = Rules { storage: Some(storage.url("/blob")), ..Rules::default() };
    let registry = lab.registry(blob, rules, Vec::new());
    lab.target.refused(&registry.image(":one"), of_registry(), "status code 401");
    assert_eq!((registry.tokens(), storage.journal().len()), (1, 1));
}

/// `ferric-agent write-image --url URL` and more, by somebody who believes the authority of `certificates`.
fn write_image(certificates: &Certificates, disk: &LoopDevice, url: &str, more: &[&str]) -> Output {
    let mut command = Command::new(program("ferric-agent"));
    command.env("SSL_CERT_FILE", certificates.file("ca.pem"));
    command::run(&mut command, disk, &[&["--url", url], more].concat())
}

#[test]
fn the_command_line_takes_images_from_registries_too() {
    const IMAGE_BYTES: usize = 5 << 20;
    let image = bootable(IMAGE_BYTES);
    let certificates = Certificates::new().unwrap();
    let rules = || Rules { uses: 1, password: Some(PASSWORD), ..Rules::default() };
    let start = |faults| TokenRegistry::start(&certificates, image.clone(), rules(), faults).unwrap();
    let known = |url: String| url.replace("oci://", "oci://user:secret@");
    let disk = used_disk(8 << 20).unwrap();

    let registry = start(vec![Fault::Drop(3 << 20)]);
    for version in [":one".to_string(), format!("@{}", registry.manifest())] {
        let output = write_image(&certificates, &disk, &known(registry.image(&version)), &[]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{message}");
        assert_eq!(state(&disk, &image).unwrap(), State::Written);
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["digest"], registry.blob().to_string());
        assert_eq!(summary["resumes"], if version == ":one" { 1 } else { 0 });
    }

    let other = format!("sha256:{}", "0".repeat(64));
    let (pinned, said) = (format!("@{other}"), ["--checksum", &other]);
    for (version, user, more, text, after) in [
        (":one", "", &[][..], "401", State::Untouched),
        (":one", "user:wrong@", &[], "401", State::Untouched),
        (&pinned, "user:secret@", &[], "verification checksum", State::Untouched),
        (":one", "user:secret@", &said, "verification checksum", State::Untouched),
        // The bytes are damaged on their way.
        (":one", "user:secret@", &[], "verification checksum", State::Wiped),
    ] {
        let registry = start(vec![Fault::Flip(IMAGE_BYTES / 2)]);
        let url = registry.image(version).replace("oci://", &format!("oci://{user}"));
        let disk = used_disk(8 << 20).unwrap();
        let output = write_image(&certificates, &disk, &url, more);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{url} {more:?}: {message}");
        assert!(message.lines().next().unwrap_or_default().contains(text), "{url} {more:?}: {message}");
        assert!(["secret", "wrong"].iter().all(|password| !message.contains(password)), "{message}");
        assert_eq!(state(&disk, &image).unwrap(), after, "{url} {more:?}");
    }
}
