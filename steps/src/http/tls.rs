//! TLS as a client: whose certificates are believed, and what is spoken. Reading the authorities of the system costs time
//! and memory, and a small system has none, so it is put off until a server really shows a certificate: most agents only
//! ever see plain HTTP or have verification switched off.

mod protocol;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

pub use self::protocol::{provider, versions};
use crate::options::Tls;

/// Where systems keep their authorities.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Why connections cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file with certificates or a key is missing or holds none.
    #[error("cannot use {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// The cause.
        reason: String,
    },
    /// Certificates, key and protocol versions do not fit together.
    #[error("cannot set up TLS: {0}")]
    Setup(#[from] rustls::Error),
}

/// The configuration of connections to servers.
///
/// # Errors
/// A client certificate or authority file that cannot be used.
pub fn client_config(options: &Tls) -> Result<ClientConfig, TlsError> {
    let provider = provider(options);
    let believed = match options.insecure {
        true => Believed::Everybody,
        false => Believed::Authorities { file: options.authorities.clone(), verifier: OnceLock::new() },
    };
    let verifier = Verifier { provider: provider.clone(), believed };
    if let Believed::Authorities { file: Some(_), .. } = &verifier.believed {
        // A file that was asked for must be good; that is better known at once.
        verifier.authorities()?;
    }
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(options))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match &options.client_certificate {
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| TlsError::File { path: key.display().to_string(), reason: error.to_string() })?;
            Ok(builder.with_client_auth_cert(chain, key)?)
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |reason: String| TlsError::File { path: path.display().to_string(), reason };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|cause| error(cause.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|cause| error(cause.to_string()))?;
    if certificates.is_empty() { Err(error("no certificate in it".to_string())) } else { Ok(certificates) }
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    believed: Believed,
}

#[derive(Debug)]
enum Believed {
    /// Any certificate is good.
    Everybody,
    /// Certificates signed by these authorities, or by those of the system.
    Authorities { file: Option<PathBuf>, verifier: OnceLock<Arc<WebPkiServerVerifier>> },
}

impl Verifier {
    /// The verifier behind the authorities, read at first use; none when everybody is believed.
    fn authorities(&self) -> Result<Option<&Arc<WebPkiServerVerifier>>, rustls::Error> {
        let Believed::Authorities { file, verifier } = &self.believed else { return Ok(None) };
        if let Some(verifier) = verifier.get() {
            return Ok(Some(verifier));
        }
        let bundle = file.clone().or_else(system_bundle);
        let bundle =
            bundle.ok_or_else(|| rustls::Error::General("no certificate authorities on this system".into()))?;
        let mut roots = RootCertStore::empty();
        let read = certificates(&bundle).map_err(|error| rustls::Error::General(error.to_string()))?;
        roots.add_parsable_certificates(read);
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Some(verifier.get_or_init(|| built)))
    }
}

/// The file that `SSL_CERT_FILE` names, as with OpenSSL; without that variable the first there is.
fn system_bundle() -> Option<PathBuf> {
    match std::env::var_os("SSL_CERT_FILE") {
        Some(named) => Some(PathBuf::from(named)).filter(|path| path.is_file()),
        None => SYSTEM_BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file()),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.authorities()? {
            Some(verifier) => verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
