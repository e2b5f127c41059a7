//! Whom a client believes. Who decides that says so about one certificate; the rest is the same for all. The agent has its
//! own of this (`steps/src/http/tls.rs`): the two share no code, they meet on the wire only.

use std::fmt::Debug;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion};

/// What a server shows, and what it was called.
#[derive(Debug)]
pub struct Presented<'a> {
    /// Its certificate.
    pub certificate: &'a CertificateDer<'a>,
    /// What comes with it.
    pub intermediates: &'a [CertificateDer<'a>],
    /// The name or address that was called.
    pub name: &'a ServerName<'a>,
    /// A stapled OCSP response.
    pub ocsp: &'a [u8],
    /// The time by this host's clock.
    pub now: UnixTime,
}

/// Who decides whether a server is the one that was meant.
pub trait VerifyCertificate: Debug + Send + Sync + 'static {
    /// Whether it is.
    ///
    /// # Errors
    /// Why not.
    fn verify(&self, presented: &Presented<'_>) -> Result<(), Error>;
}

/// A client that believes whom `verify` does, and speaks these versions.
///
/// # Errors
/// When there are no such versions.
pub fn client(
    verify: impl VerifyCertificate,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Verifier { inner: verify, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

#[derive(Debug)]
struct Verifier<J> {
    inner: J,
    provider: Arc<CryptoProvider>,
}

impl<J: VerifyCertificate> ServerCertVerifier for Verifier<J> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented =
            Presented { certificate: end_entity, intermediates, name: server_name, ocsp: ocsp_response, now };
        self.inner.verify(&presented).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
