//! Options about TLS.

use std::path::PathBuf;

/// Which servers are believed to be who they say, how we say who we are, and what is spoken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Do not verify certificates of servers (`insecure`).
    pub insecure: bool,
    /// PEM file of the authorities to trust instead of the system's (`cafile`).
    pub authorities: Option<PathBuf>,
    /// PEM files of our certificate and its key (`certfile`, `keyfile`).
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Nothing below TLS 1.3 (`tls_min_version`).
    pub only_1_3: bool,
    /// TLS 1.2 cipher suites by OpenSSL name, separated by colons or commas (`tls_cipher_suites`); all without it.
    pub cipher_suites: Option<String>,
}
