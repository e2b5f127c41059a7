//! TLS towards an agent: the certificate of its heartbeat, byte for byte, valid for the address we call.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ParsedCertificate;
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use crate::tls::verification::{self, Presented, VerifyCertificate};

/// A client that trusts only `pem`, with TLS 1.3 (as Ironic's default demands).
pub(super) fn config(pem: &str) -> Result<ClientConfig, String> {
    let pinned =
        CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| format!("the agent's certificate: {error}"))?;
    verification::client(Pinned(pinned), &[&TLS13]).map_err(|error| error.to_string())
}

/// A client for agents without TLS: reading the host's authorities for each request takes longer than the request.
pub(super) fn nobody() -> Result<ClientConfig, String> {
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

#[derive(Debug)]
struct Pinned(CertificateDer<'static>);

impl VerifyCertificate for Pinned {
    fn verify(&self, presented: &Presented<'_>) -> Result<(), Error> {
        if presented.certificate.as_ref() != self.0.as_ref() {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        // The clock of a machine without an operating system may be wrong: dates are not looked at, the name is.
        verify_server_name(&ParsedCertificate::try_from(presented.certificate)?, presented.name)
    }
}
