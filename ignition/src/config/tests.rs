use super::*;

fn setup() -> Setup {
    Setup {
        api_urls: vec!["https://192.0.2.1:6385/".to_owned()],
        agent: Agent::Image {
            reference: "registry.example:5000/ferric/agent:1".to_owned(),
            insecure_registry: false,
            pull_secret: None,
            mirrors: Vec::new(),
        },
        inspect: false,
        options: Vec::new(),
        ssh_keys: Vec::new(),
        hostname: None,
        network: Vec::new(),
        proxy: Proxy::default(),
        certificates: None,
        further: Further::default(),
        ip_options: None,
    }
}

fn conf(setup: &Setup) -> String {
    setup.agent_conf().unwrap().to_string()
}

#[test]
fn options_given_win_over_derived_ones() {
    let mut setup = setup();
    setup.inspect = true;
    let derived = "[DEFAULT]\napi_url = https://192.0.2.1:6385\n\
                   inspection_callback_url = https://192.0.2.1:6385/v1/continue_inspection\n";
    assert_eq!(conf(&setup), derived);
    setup.options.push("inspection_callback_url=http://other/v1/continue".parse().unwrap());
    assert!(conf(&setup).ends_with("inspection_callback_url = http://other/v1/continue\n"));
}

#[test]
fn a_registry_is_verified_unless_told_otherwise() {
    let mut setup = setup();
    let pull = |setup: &Setup| setup.units().unwrap()[1].contents.clone().unwrap();
    assert!(!pull(&setup).contains("tls-verify"));
    let Agent::Image { insecure_registry, .. } = &mut setup.agent else { unreachable!() };
    *insecure_registry = true;
    assert!(pull(&setup).contains(" --tls-verify=false "));
}

#[test]
fn the_binary_is_pinned_by_its_digest_and_needs_no_podman() {
    let mut setup = setup();
    let sha512 = "AB".repeat(64);
    setup.agent = Agent::Binary { url: "http://192.0.2.1/ferric-agent".to_owned(), sha512: sha512.clone() };
    let document = setup.document().unwrap();
    let program = document.storage.files.iter().find(|file| file.path == unit::BINARY).unwrap();
    assert_eq!(program.mode, 0o755);
    let expected = format!("sha512-{}", sha512.to_lowercase());
    assert_eq!(program.contents.verification.as_ref().unwrap().hash, expected);
    assert!(!document.systemd.units[0].contents.as_ref().unwrap().contains("podman"));
}

#[test]
fn what_could_break_out_of_its_place_is_refused() {
    let breaks = |change: &dyn Fn(&mut Setup)| {
        let mut setup = setup();
        change(&mut setup);
        assert!(setup.document().is_err(), "{setup:?}");
    };
    let image = |reference: &str| Agent::Image {
        reference: reference.to_owned(),
        insecure_registry: false,
        pull_secret: None,
        mirrors: Vec::new(),
    };
    breaks(&|setup| setup.api_urls = vec!["http://a/\nevil = 1".to_owned()]);
    breaks(&|setup| setup.api_urls = vec!["file:///etc/passwd".to_owned()]);
    breaks(&|setup| setup.api_urls.clear());
    breaks(&|setup| setup.agent = image("--privileged"));
    breaks(&|setup| setup.agent = image("a b"));
    breaks(&|setup| setup.hostname = Some("a\nb".to_owned()));
    breaks(&|setup| setup.hostname = Some("-a".to_owned()));
    breaks(&|setup| setup.ssh_keys = vec!["not a key".to_owned()]);
    breaks(&|setup| setup.proxy.http_proxy = Some("http://a\nExecStart=/bin/sh".to_owned()));
    breaks(&|setup| setup.certificates = Some("no certificate".to_owned()));
}

#[test]
fn authorities_reach_everybody_who_asks_a_registry() {
    let mut setup = setup();
    setup.certificates = Some("-----BEGIN CERTIFICATE-----\n".to_owned());
    let Agent::Image { mirrors, .. } = &mut setup.agent else { unreachable!() };
    *mirrors = vec!["mirror.example/ferric".to_owned(), "[fd00::1]:5000".to_owned()];
    let document = setup.document().unwrap();
    let links: Vec<_> = document.storage.links.iter().map(|link| link.path.as_str()).collect();
    let expected = [
        "/etc/pki/ca-trust/source/anchors/ferric.crt",
        "/etc/containers/certs.d/[fd00::1]:5000/ca.crt",
        "/etc/containers/certs.d/mirror.example/ca.crt",
        "/etc/containers/certs.d/registry.example:5000/ca.crt",
    ];
    assert_eq!(links, expected);
    assert!(document.storage.links.iter().all(|link| link.target == unit::CERTIFICATES));
    let conf = document.storage.files.iter().find(|file| file.path == REGISTRIES_CONF).unwrap();
    let conf = String::from_utf8(specification::data_url::decode(&conf.contents.source).unwrap()).unwrap();
    let expected = "[[registry]]\nlocation = \"registry.example:5000\"\ninsecure = false\n\n\
                    [[registry.mirror]]\nlocation = \"mirror.example/ferric\"\ninsecure = false\n\n\
                    [[registry.mirror]]\nlocation = \"[fd00::1]:5000\"\ninsecure = false\n";
    assert_eq!(conf, expected);
}

#[test]
fn what_is_added_must_not_stand_where_something_is() {
    for path in [unit::AGENT_CONF, unit::REPORT, "/etc/systemd/system/ferric-agent.service"] {
        let mut setup = setup();
        setup.further.files.push(File::inline(path, 0o644, "x"));
        let error = setup.document().unwrap_err();
        assert!(matches!(error, ConfigError::Specification(_)), "{path}: {error}");
    }
    let mut setup = setup();
    setup.further.links.push(Link { path: "/etc/ferric".to_owned(), overwrite: false, target: "/var".to_owned() });
    assert!(setup.document().unwrap_err().to_string().contains("leads through a link"));
}
