//! Which TLS versions and cipher suites are permitted, as client and as server.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SupportedProtocolVersion};
use tracing::warn;

use crate::options::Tls;

/// Names that OpenSSL gives the TLS 1.2 cipher suites there are.
const CIPHER_SUITES: [(&str, CipherSuite); 6] = [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// The versions that the options permit.
pub fn versions(options: &Tls) -> &'static [&'static SupportedProtocolVersion] {
    const NEW: &[&SupportedProtocolVersion] = &[&TLS13];
    const ALL: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    if options.only_1_3 { NEW } else { ALL }
}

/// The cryptography, with no other cipher suites than those that the options permit.
pub fn provider(options: &Tls) -> Arc<CryptoProvider> {
    let mut provider = default_provider();
    if let Some(wanted) = &options.cipher_suites {
        let wanted: Vec<CipherSuite> = wanted
            .split([':', ','])
            .filter_map(|name| CIPHER_SUITES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim())))
            .map(|(_, suite)| *suite)
            .collect();
        if wanted.is_empty() {
            warn!("none of tls_cipher_suites is available, the default ones are used");
        } else {
            provider.cipher_suites.retain(|suite| suite.tls13().is_some() || wanted.contains(&suite.suite()));
        }
    }
    Arc::new(provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_suites_follow_the_options() {
        let everything = Tls::default();
        assert_eq!(versions(&everything).len(), 2);
        let suites = provider(&everything).cipher_suites.len();
        let suite = "ECDHE-RSA-AES128-GCM-SHA256:UNKNOWN".to_string();
        let little = Tls { only_1_3: true, cipher_suites: Some(suite), ..Tls::default() };
        assert_eq!(versions(&little).len(), 1);
        let old = provider(&little).cipher_suites.iter().filter(|suite| suite.tls13().is_none()).count();
        assert_eq!(old, 1);
        let unknown = Tls { cipher_suites: Some("UNKNOWN".into()), ..Tls::default() };
        assert_eq!(provider(&unknown).cipher_suites.len(), suites);
    }
}
