//! Whose certificates a BMC may show.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use super::error::RedfishError;
use super::settings::{Tls, Verify};
use crate::tls::verification::{self, Presented, VerifyCertificate};

/// Of a file of certificates.
const FILE_LIMIT: u64 = 1 << 20;
/// In a folder of them.
const FILES: usize = 256;

/// What TLS is to be like; none where the system's authorities and the usual versions do.
pub(super) fn config(verify: &Verify, minimum: Tls) -> Result<Option<ClientConfig>, RedfishError> {
    let wrong = |problem: String| RedfishError::Setting { key: "redfish_verify_ca", problem };
    let policy = match verify {
        Verify::System if minimum == Tls::V1_2 => return Ok(None),
        Verify::System => Policy::Chain(system_authorities().map_err(wrong)?, Vec::new()),
        Verify::File(path) => {
            let pinned = read(Path::new(path)).map_err(|problem| wrong(format!("{path}: {problem}")))?;
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(pinned.iter().cloned());
            if roots.is_empty() {
                return Err(wrong(format!("{path}: no certificate in it")));
            }
            Policy::Chain(verifier(roots).map_err(wrong)?, pinned)
        }
        Verify::No => Policy::Anybody,
    };
    let versions: &[_] = match minimum {
        Tls::V1_2 => &[&rustls::version::TLS12, &rustls::version::TLS13],
        Tls::V1_3 => &[&rustls::version::TLS13],
    };
    verification::client(policy, versions).map(Some).map_err(|error| wrong(error.to_string()))
}

fn verifier(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    builder.build().map_err(|error| error.to_string())
}

fn system_authorities() -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    let bundle = Path::new("/etc/ssl/certs/ca-certificates.crt");
    roots.add_parsable_certificates(read(bundle).map_err(|problem| format!("{}: {problem}", bundle.display()))?);
    verifier(roots)
}

/// The certificates in a PEM file, or in the files of a folder.
fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(text)?;
        files =
            entries.take(FILES).filter_map(|entry| Some(entry.ok()?.path())).filter(|file| file.is_file()).collect();
        files.sort();
    }
    let mut all = Vec::new();
    for file in files {
        if std::fs::metadata(&file).map_err(text)?.len() > FILE_LIMIT {
            return Err(format!("larger than {} MiB", FILE_LIMIT >> 20));
        }
        let pem = std::fs::read(&file).map_err(text)?;
        all.extend(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
    }
    Ok(all)
}

#[derive(Debug)]
enum Policy {
    /// What these authorities have signed for the name that is called, or one of these certificates itself.
    Chain(Arc<WebPkiServerVerifier>, Vec<CertificateDer<'static>>),
    Anybody,
}

impl VerifyCertificate for Policy {
    fn verify(&self, presented: &Presented<'_>) -> Result<(), Error> {
        let Self::Chain(chain, pinned) = self else { return Ok(()) };
        let judged = chain.verify_server_cert(
            presented.certificate,
            presented.intermediates,
            presented.name,
            presented.ocsp,
            presented.now,
        );
        // A BMC's self-signed certificate that was given byte for byte is trusted for what it is, though it calls itself an
        // authority or names another host, as factory certificates do; a date that has passed stays a reason.
        let dated = |error: &Error| {
            use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
            let Error::InvalidCertificate(reason) = error else { return false };
            matches!(reason, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
        };
        let is_pinned = || pinned.iter().any(|known| known.as_ref() == presented.certificate.as_ref());
        match judged {
            Err(error) if dated(&error) || !is_pinned() => Err(error),
            _ => Ok(()),
        }
    }
}
