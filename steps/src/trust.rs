//! Whom we trust as a client. Reading the authorities of the system costs time and memory, and a small system has none,
//! so it is put off until a server really asks for trust: most agents only ever see plain HTTP or have verification
//! switched off.

mod permitted;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::image::HttpOptions;
pub use permitted::Permitted;

/// Where systems keep their authorities.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Why connections cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
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

/// The configuration of connections to servers, after `insecure`, `ca_file`, `client_certificate` and `tls` of `options`.
///
/// # Errors
/// A client certificate or authority file that cannot be used.
pub fn client_config(options: &HttpOptions) -> Result<ClientConfig, TrustError> {
    let provider = options.tls.provider();
    let trust = match options.insecure {
        true => Trust::Anybody,
        false => Trust::Authorities { file: options.ca_file.clone(), verifier: OnceLock::new() },
    };
    let verifier = Verifier { provider: provider.clone(), trust };
    if let Trust::Authorities { file: Some(_), .. } = &verifier.trust {
        // A file that was asked for must be good; that is better known at once.
        verifier.authorities()?;
    }
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(options.tls.versions())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match &options.client_certificate {
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| TrustError::File { path: key.display().to_string(), reason: error.to_string() })?;
            Ok(builder.with_client_auth_cert(chain, key)?)
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let error = |reason: String| TrustError::File { path: path.display().to_string(), reason };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|cause| error(cause.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|cause| error(cause.to_string()))?;
    if certificates.is_empty() { Err(error("no certificate in it".to_string())) } else { Ok(certificates) }
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    trust: Trust,
}

#[derive(Debug)]
enum Trust {
    /// Any certificate is good.
    Anybody,
    /// Certificates signed by these authorities, or by those of the system.
    Authorities { file: Option<PathBuf>, verifier: OnceLock<Arc<WebPkiServerVerifier>> },
}

impl Verifier {
    /// The verifier behind the authorities, read at first use; none when anybody is trusted.
    fn authorities(&self) -> Result<Option<&Arc<WebPkiServerVerifier>>, rustls::Error> {
        let Trust::Authorities { file, verifier } = &self.trust else { return Ok(None) };
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::image::http::{Http, Refusal};

    /// Serves one empty answer to whoever gets through a TLS 1.2 handshake. Returns the URL.
    fn old_server() -> url::Url {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_string()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Permitted::default().provider())
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream);
            if tls.read(&mut [0; 4096]).is_ok() {
                tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            }
        });
        url
    }

    async fn ask(tls: Permitted) -> Result<u16, Refusal> {
        let options = HttpOptions { insecure: true, tls, ..HttpOptions::default() };
        let url = old_server();
        let client = Http::new(&options, Duration::from_secs(30)).unwrap();
        client.send(client.get(&url), "the server").await.map(|answer| answer.status().as_u16())
    }

    #[tokio::test]
    async fn servers_of_images_must_speak_a_permitted_version() {
        assert_eq!(ask(Permitted::default()).await.unwrap(), 200);
        let suites = Some("ECDHE-ECDSA-AES128-GCM-SHA256".to_string());
        assert_eq!(ask(Permitted { only_1_3: false, cipher_suites: suites }).await.unwrap(), 200);
        assert!(ask(Permitted { only_1_3: true, cipher_suites: None }).await.is_err());
        // The server's certificate has an ECDSA key, so no suite is left in common.
        let suites = Some("ECDHE-RSA-AES128-GCM-SHA256".to_string());
        assert!(ask(Permitted { only_1_3: false, cipher_suites: suites }).await.is_err());
    }
}
