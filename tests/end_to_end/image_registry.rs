//! Images in registries whose tokens and signed URLs do not last as long as the transfer.

use ferric_steps::StepError;
use ferric_tests::certificates::Certificates;
use ferric_tests::fault_server::{Fault, FaultServer, Manners};
use ferric_tests::image::Packing;
use ferric_tests::token_registry::{Rules, TokenRegistry};
use serde_json::Value;

use super::image_servers::{Target, of_registry};

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
        target.option("cafile", certificates.file("ca.pem").display());
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
    assert!(matches!(&error, StepError::ImageDownloadFatal(text) if text.contains("401")), "{error:?}");
    assert_eq!((registry.tokens(), registry.ranges().len()), (2, 1));
}

#[test]
fn a_storage_behind_the_registry_sees_no_token_and_each_signature_once() {
    let lab = Lab::new();
    let blob = lab.packed(Packing::Raw);
    let half = blob.len() / 2;
    let storage = FaultServer::start(blob.clone(), Manners::default(), vec![Fault::Drop(half)]).unwrap();
    let rules = Rules { uses: 2, storage: Some(storage.url("/blob")), ..Rules::default() };
    let registry = lab.registry(blob.clone(), rules, Vec::new());
    lab.target.deploy(&registry.image(":one"), of_registry()).unwrap();
    let asked: Vec<_> = storage.journal().into_iter().map(|request| (request.path, request.range)).collect();
    let resumed = Some(format!("bytes={half}-"));
    assert_eq!(asked, [("/blob?signature=1".into(), None), ("/blob?signature=2".into(), resumed)]);
    assert!(storage.journal().iter().all(|request| request.authorization.is_none()), "{:?}", storage.journal());
    assert_eq!(registry.tokens(), 2);

    // That the storage does not let us in has nothing to do with the token.
    let closed = Manners { authorization: Some("another".into()), ..Manners::default() };
    let storage = FaultServer::start(blob.clone(), closed, Vec::new()).unwrap();
    let rules = Rules { storage: Some(storage.url("/blob")), ..Rules::default() };
    let registry = lab.registry(blob, rules, Vec::new());
    lab.target.refused(&registry.image(":one"), of_registry(), "status code 401");
    assert_eq!((registry.tokens(), storage.journal().len()), (1, 1));
}
