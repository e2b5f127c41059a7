//! Why there is no DHCP server.

use std::path::PathBuf;

/// Why there is no DHCP server.
#[derive(Debug, thiserror::Error)]
pub enum DhcpError {
    /// Its folder, program or files.
    #[error("DHCP server: {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// The configuration makes no sense.
    #[error("DHCP server: {0}")]
    Settings(&'static str),
    /// There is no boot loader to offer.
    #[error("DHCP server: there is no {}: install the package ipxe, or name a folder that has it (`dhcp.ipxe_folder`)", path.display())]
    NoLoader {
        /// The file.
        path: PathBuf,
    },
    /// Nobody is called so.
    #[error("DHCP server: there is no user {name} to run dnsmasq as")]
    User {
        /// The name.
        name: String,
    },
    /// dnsmasq does not take its configuration.
    #[error("dnsmasq ended at once: {0}")]
    Refused(String),
    /// It says nothing.
    #[error("dnsmasq was not ready after {seconds} s: {last_words}")]
    Silent {
        /// How long was waited.
        seconds: u64,
        /// Its last line.
        last_words: String,
    },
}
