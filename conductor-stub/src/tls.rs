//! TLS, the same for everything in this process: one provider.
//!
//! - [`identity`]: what a server shows; [`verification`]: whom a client believes

pub mod identity;
pub mod verification;

/// Makes ring the provider; must come before the first HTTP client. Further calls do nothing.
pub fn use_ring() {
    // The only error is that one is set already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
