//! The certificate that the agent makes for itself.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::json;

use ferric_agent::config::settings::SelfSigned;
use ferric_agent::tls::Certificate;
use ferric_steps::options::Tls;

use crate::fixture::{Ironic, Setup, eventually, looked_up};

/// Connects as a conductor that trusts only the certificate of the heartbeat.
async fn connect(port: u16, pem: &str, version: &'static SupportedProtocolVersion) -> std::io::Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(())
}

#[tokio::test]
async fn the_conductor_gets_a_certificate_that_fits_and_survives_a_restart() {
    let ironic = Ironic::start().await;
    ironic.configure("tls_min_version", json!("1.3"));
    let mut setup = Setup::new();
    setup.flag("--api-url", &ironic.url);
    let mut agent = setup.start();
    let first = ironic.wait_for("/v1/heartbeat/", 1).await.body;
    assert_eq!(first["callback_url"], format!("https://127.0.0.1:{}", setup.port));
    let pem = first["agent_verify_ca"].as_str().unwrap().to_string();
    connect(setup.port, &pem, &rustls::version::TLS13).await.unwrap();
    assert!(connect(setup.port, &pem, &rustls::version::TLS12).await.is_err(), "look-up set the lowest version");

    agent.kill();
    let count = ironic.asked("/v1/heartbeat/").len();
    let _agent = setup.start();
    assert_eq!(ironic.wait_for("/v1/heartbeat/", count + 1).await.body["agent_verify_ca"], pem);
    connect(setup.port, &pem, &rustls::version::TLS13).await.unwrap();
}

#[tokio::test]
async fn a_system_without_authorities_is_good_enough_for_plain_http() {
    let ironic = Ironic::start().await;
    let mut setup = Setup::new();
    let _agent = looked_up(setup.without_authorities(), &ironic).await;
    ironic.wait_for("/v1/heartbeat/", 1).await;
}

#[tokio::test]
async fn https_says_that_authorities_are_missing_and_insecure_does_without() {
    let made = Certificate::generate(&SelfSigned::default(), "host", "127.0.0.1").unwrap();
    let certificate = made.server_config(&Tls::default()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let router = axum::Router::new();
    let service = ferric_agent::server::serve(listener, Some(certificate), router, std::future::pending::<()>());
    tokio::spawn(service);
    for (insecure, reason) in [(false, "no certificate authorities on this system"), (true, "error 404")] {
        let mut setup = Setup::new();
        setup.without_authorities().flag("--api-url", &url);
        if insecure {
            setup.switch("--insecure");
        }
        let agent = setup.start();
        let failed = async || agent.log().lines().find(|line| line.contains("look-up failed")).map(str::to_string);
        let line = eventually("a look-up", failed).await;
        assert!(line.contains(reason), "{line}");
    }
}
