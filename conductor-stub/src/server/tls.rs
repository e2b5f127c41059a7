//! The conductor's certificate: its owner's, or one of an authority that is made once and kept in the state directory.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

use crate::state_dir::{private_file, private_folder};
use crate::tls::identity::{self, TlsError};

/// What connections are made with, and the authority that clients need to know.
pub struct Tls {
    /// For connections that come in.
    pub acceptor: TlsAcceptor,
    /// The authority's certificate in base64, when it is our own: agents get it with their ramdisk.
    pub authority: Option<String>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Tls {
    /// With the certificates and the key of these PEM files.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn of_files(certificates: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self { acceptor: acceptor(identity::of_files(certificates, key)?), authority: None })
    }

    /// With a certificate for `hosts` of the authority in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be used, or a host cannot stand in a certificate.
    pub fn self_made(folder: &Path, hosts: impl IntoIterator<Item = String>) -> Result<Self, TlsError> {
        let authority_key = kept_key(folder)?;
        let params = authority_params(&authority_key);
        let file = folder.join("ca.pem");
        if !file.exists() {
            let pem = params.self_signed(&authority_key)?.pem();
            let written = private_file(&file).and_then(|mut out| out.write_all(pem.as_bytes()));
            written.map_err(|cause| TlsError::File { path: file.clone(), cause })?;
        }
        let authority = CertificateDer::from_pem_file(&file).map_err(|cause| TlsError::Pem { path: file, cause })?;

        let issuer = Issuer::new(params, &authority_key);
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut leaf = CertificateParams::new(hosts.into_iter().collect::<Vec<_>>())?;
        leaf.distinguished_name = named("conductor-stub");
        leaf.use_authority_key_identifier_extension = true;
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (leaf.not_before, leaf.not_after) = always();
        let leaf = leaf.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|text| rustls::Error::General(text.into()))?;
        let acceptor = acceptor(identity::server(vec![leaf.der().clone()], key)?);
        Ok(Self { acceptor, authority: Some(STANDARD.encode(authority)) })
    }
}

fn acceptor(config: ServerConfig) -> TlsAcceptor {
    TlsAcceptor::from(Arc::new(config))
}

/// The authority's key; everything else about it follows from that.
fn kept_key(folder: &Path) -> Result<KeyPair, TlsError> {
    let path = folder.join("ca.key");
    let failed = |cause| TlsError::File { path: path.clone(), cause };
    private_folder(folder).map_err(failed)?;
    match fs::read_to_string(&path) {
        Ok(pem) => Ok(KeyPair::from_pem(&pem)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
            private_file(&path).and_then(|mut file| file.write_all(key.serialize_pem().as_bytes())).map_err(failed)?;
            Ok(key)
        }
        Err(error) => Err(failed(error)),
    }
}

fn authority_params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let digest = hex::encode(&Sha256::digest(key.der_bytes())[..4]);
    params.distinguished_name = named(&format!("conductor-stub authority {digest}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = always();
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// The clock of a machine without an operating system may be wrong.
fn always() -> (time::OffsetDateTime, time::OffsetDateTime) {
    (date_time_ymd(2000, 1, 1), date_time_ymd(2049, 12, 31))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_stays_the_same() {
        crate::tls::use_ring();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tls");
        let made = || Tls::self_made(&path, ["192.0.2.1".to_owned(), "lab.example".into()]).unwrap();
        let first = made().authority.unwrap();
        let kept = fs::read_to_string(path.join("ca.pem")).unwrap();
        assert!(kept.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(STANDARD.decode(&first).unwrap().len() < 500, "it is to fit onto a kernel command line");
        assert_eq!(made().authority.unwrap(), first);
        assert_eq!(fs::read_to_string(path.join("ca.pem")).unwrap(), kept);
    }

    #[test]
    fn files_that_do_not_fit_are_named() {
        crate::tls::use_ring();
        let error = Tls::of_files(Path::new("/nowhere/cert.pem"), Path::new("/nowhere/key.pem")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/cert.pem"), "{error}");
    }
}
