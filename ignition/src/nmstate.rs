//! Network configuration in nmstate's notation, as keyfiles: what `nmstatectl gc` makes of it.

use nmstate::NetworkState;
use thiserror::Error;

use crate::keyfile::{Keyfile, KeyfileError};

/// The part of what nmstate makes that is for NetworkManager.
const NETWORK_MANAGER: &str = "NetworkManager";

/// Why a document is no network configuration.
#[derive(Debug, Error)]
pub enum NmstateError {
    /// nmstate says.
    #[error("not nmstate's notation: {0}")]
    Nmstate(#[from] nmstate::NmstateError),
    /// It would make no connection at all.
    #[error("the nmstate document configures nothing")]
    Empty,
    /// nmstate makes what NetworkManager would not read.
    #[error(transparent)]
    Keyfile(#[from] KeyfileError),
}

/// The keyfiles of a document (YAML or JSON), sorted by name.
///
/// # Errors
/// What nmstate refuses.
pub fn keyfiles(document: &str) -> Result<Vec<Keyfile>, NmstateError> {
    let mut made = NetworkState::new_from_yaml(document)?.gen_conf()?;
    let files = made.remove(NETWORK_MANAGER).unwrap_or_default();
    let mut keyfiles: Vec<Keyfile> =
        files.into_iter().map(|(name, contents)| Keyfile::new(name, contents)).collect::<Result<_, _>>()?;
    if keyfiles.is_empty() {
        return Err(NmstateError::Empty);
    }
    keyfiles.sort_by(|one, other| one.name().cmp(other.name()));
    Ok(keyfiles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_address_on_a_vlan_becomes_two_connections() {
        let document = "
interfaces:
- name: eth0
  type: ethernet
  state: up
- name: eth0.7
  type: vlan
  state: up
  vlan: {base-iface: eth0, id: 7}
  ipv4: {enabled: true, address: [{ip: 192.0.2.10, prefix-length: 24}]}
";
        let keyfiles = keyfiles(document).unwrap();
        assert_eq!(
            keyfiles.iter().map(Keyfile::name).collect::<Vec<_>>(),
            ["eth0.7.nmconnection", "eth0.nmconnection"]
        );
        let vlan = String::from_utf8_lossy(keyfiles[0].contents());
        assert!(vlan.contains("address0=192.0.2.10/24") && vlan.contains("parent=eth0"), "{vlan}");
    }

    #[test]
    fn what_is_no_network_configuration_is_refused() {
        assert!(matches!(keyfiles("interfaces: 7"), Err(NmstateError::Nmstate(_))));
        assert!(matches!(keyfiles("interfaces: []"), Err(NmstateError::Empty)));
    }
}
