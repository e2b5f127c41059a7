//! TLS as a server: our self-signed certificate, and what is served.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ferric_steps::http::tls::{provider, versions};
use ferric_steps::options::Tls;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use tracing::warn;

use crate::config::settings::{Curve, Listen, SelfSigned};

/// How long a self-signed certificate is valid.
const VALIDITY: Duration = Duration::days(90);

/// Why there is no TLS. Fatal at start-up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file with a certificate or key is missing or holds none.
    #[error("cannot use {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// The cause.
        reason: String,
    },
    /// TLS is asked for without the options that name the files.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// The certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// Certificate, key, versions or cipher suites do not fit together.
    #[error("cannot set up TLS: {0}")]
    Setup(#[from] rustls::Error),
}

/// A certificate with its key, as PEM.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The certificate, as the conductor gets it.
    pub certificate_pem: String,
    key_pem: String,
    host: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Certificate {
    /// A self-signed certificate for `host` (an address, or a name when one is advertised).
    ///
    /// # Errors
    /// The host is no valid name.
    pub fn generate(wanted: &SelfSigned, hostname: &str, host: &str) -> Result<Self, TlsError> {
        let algorithm = match wanted.curve {
            Curve::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Curve::P521 => {
                warn!("P-521 is not available, taking P-384 for the certificate");
                &rcgen::PKCS_ECDSA_P384_SHA384
            }
            Curve::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        };
        let now = OffsetDateTime::now_utc();
        let skew = i64::try_from(wanted.clock_skew.as_secs()).unwrap_or(i64::MAX);
        let mut params = CertificateParams::default();
        params.not_before = now.checked_sub(Duration::seconds(skew)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        params.not_after = now + VALIDITY;
        params.subject_alt_names = vec![match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(host.try_into()?),
        }];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, hostname);
        let key = KeyPair::generate_for(algorithm)?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { certificate_pem: certificate.pem(), key_pem: key.serialize_pem(), host: host.to_string() })
    }

    /// Whether it was made for `host`.
    pub fn is_for(&self, host: &str) -> bool {
        self.host == host
    }

    /// What is needed to serve it.
    ///
    /// # Errors
    /// The options for TLS do not fit.
    pub fn server_config(&self, tls: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
        server_config(tls, self.certificate_pem.as_bytes(), self.key_pem.as_bytes(), "self-signed certificate")
    }
}

/// What is needed to serve the certificate of the options `tls_cert_file` and `tls_key_file`.
///
/// # Errors
/// A file that cannot be used, options that do not fit.
pub fn configured_server(listen: &Listen, tls: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let certificate = listen.certificate.as_deref().ok_or(TlsError::Missing("tls_cert_file"))?;
    let key = listen.key.as_deref().ok_or(TlsError::Missing("tls_key_file"))?;
    server_config(tls, &read(certificate)?, &read(key)?, &certificate.display().to_string())
}

fn server_config(tls: &Tls, certificates: &[u8], key: &[u8], path: &str) -> Result<Arc<ServerConfig>, TlsError> {
    let error = |reason: rustls_pki_types::pem::Error| TlsError::File { path: path.into(), reason: reason.to_string() };
    let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>().map_err(error)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(error)?;
    let server = ServerConfig::builder_with_provider(provider(tls))
        .with_protocol_versions(versions(tls))?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(server))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::File { path: path.display().to_string(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_certificate_is_made_for_an_address_and_can_be_served() {
        for curve in [Curve::P256, Curve::P384, Curve::P521] {
            let wanted = SelfSigned { curve, clock_skew: std::time::Duration::ZERO };
            let certificate = Certificate::generate(&wanted, "host", "192.0.2.1").unwrap();
            assert!(certificate.certificate_pem.starts_with("-----BEGIN CERTIFICATE-----"));
            assert!(certificate.is_for("192.0.2.1") && !certificate.is_for("192.0.2.2"));
            certificate.server_config(&Tls::default()).unwrap();
            assert!(!format!("{certificate:?}").contains("PRIVATE"));
        }
    }

    #[test]
    fn missing_files_are_named() {
        let mut listen = Config::with_defaults().settings().listen;
        let refusal = |listen: &Listen| configured_server(listen, &Tls::default()).unwrap_err().to_string();
        assert!(refusal(&listen).contains("tls_cert_file"));
        listen.certificate = Some("/nowhere/cert.pem".into());
        listen.key = Some("/nowhere/key.pem".into());
        assert!(refusal(&listen).contains("/nowhere/cert.pem"));
    }
}
