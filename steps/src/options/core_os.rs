//! Settings of the CoreOS steps, which come with the environment of the agent's container.

/// What `install_coreos` does unless the config drive says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CoreOs {
    /// A kernel argument to add (`IPA_COREOS_IP_OPTIONS`).
    pub ip_options: Option<String>,
    /// Take the network configuration of the ramdisk along (`IPA_COREOS_COPY_NETWORK`).
    pub copy_network: bool,
    /// Install without coreos-installer where that is possible (`coreos_native_install`).
    pub native: bool,
}
