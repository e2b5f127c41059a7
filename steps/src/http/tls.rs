//! TLS as a client: whose certificates are believed, and what is spoken. Reading the authorities of the system costs time
//! and memory, and a small system has none, so it is put off until a server really shows a certificate: most agents only
//! ever see plain HTTP or have verification switched off.

mod protocol;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

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
        false => Believed::Authorities { file: options.authorities.clone(), read: OnceLock::new() },
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
    Authorities { file: Option<PathBuf>, read: OnceLock<Authorities> },
}

#[derive(Debug)]
struct Authorities {
    verifier: Arc<WebPkiServerVerifier>,
    /// What was given in a file, to be believed for what it is: the certificate of a server that signed itself calls itself
    /// an authority, as `openssl req -x509` makes it, and is then no server's by the rules. OpenSSL and IPA take it.
    given: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Whether `certificate` was given itself, for a server of this name. To be asked about one that was refused neither for
    /// its dates nor for its name.
    fn gave(&self, certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
        let names_it = || ParsedCertificate::try_from(certificate).and_then(|parsed| verify_server_name(&parsed, name));
        self.given.iter().any(|given| given.as_ref() == certificate.as_ref()) && names_it().is_ok()
    }
}

impl Verifier {
    /// The authorities, read at first use; none when everybody is believed.
    fn authorities(&self) -> Result<Option<&Authorities>, rustls::Error> {
        let Believed::Authorities { file, read } = &self.believed else { return Ok(None) };
        if let Some(authorities) = read.get() {
            return Ok(Some(authorities));
        }
        let bundle = file.clone().or_else(system_bundle);
        let bundle =
            bundle.ok_or_else(|| rustls::Error::General("no certificate authorities on this system".into()))?;
        let mut roots = RootCertStore::empty();
        let found = certificates(&bundle).map_err(|error| rustls::Error::General(error.to_string()))?;
        let given = if file.is_some() { found.clone() } else { Vec::new() };
        roots.add_parsable_certificates(found);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Some(read.get_or_init(|| Authorities { verifier, given })))
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
        let Some(authorities) = self.authorities()? else { return Ok(ServerCertVerified::assertion()) };
        let verifier = &authorities.verifier;
        match verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // What it is used for: dates and names have errors of their own, and dates come first.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if authorities.gave(end_entity, server_name) =>
            {
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate that signed itself and calls itself an authority, good until this year.
    fn signed_by_itself(until: i32) -> Certificate {
        let mut made = CertificateParams::new(["192.0.2.1".to_string()]).unwrap();
        made.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        made.not_after = date_time_ymd(until, 1, 1);
        made.self_signed(&KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_server_that_signed_itself_is_believed_when_its_certificate_was_given() {
        let verdict = |given: &Certificate, shown: &Certificate, name: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), given.pem()).unwrap();
            let believed = Believed::Authorities { file: Some(file.path().to_path_buf()), read: OnceLock::new() };
            let verifier = Verifier { provider: provider(&Tls::default()), believed };
            let name = ServerName::try_from(name).unwrap();
            verifier.verify_server_cert(shown.der(), &[], &name, &[], UnixTime::now()).map(drop)
        };
        let (one, other) = (signed_by_itself(3000), signed_by_itself(3000));
        assert_eq!(verdict(&one, &one, "192.0.2.1"), Ok(()));
        assert!(verdict(&one, &one, "192.0.2.2").is_err(), "of another server");
        assert!(verdict(&one, &other, "192.0.2.1").is_err(), "another one of the same name");
        let old = signed_by_itself(2000);
        assert!(verdict(&old, &old, "192.0.2.1").is_err(), "out of date");
    }
}
