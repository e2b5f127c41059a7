//! How a machine comes to what it boots, by the node's `boot_interface`.

use crate::driver::DriverError;
use crate::node::Node;

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BootInterface {
    /// UEFI HTTP boot of a URL that the BMC names.
    Https,
    /// A virtual CD.
    VirtualMedia,
    /// UEFI HTTP boot of a URL that DHCP names.
    Http,
    /// Network boot of iPXE, by TFTP.
    Ipxe,
    /// UEFI HTTP boot of iPXE.
    HttpIpxe,
}

impl BootInterface {
    /// A node's.
    ///
    /// # Errors
    /// When there is none of that name.
    pub(super) fn of(node: &Node) -> Result<Self, DriverError> {
        match node.spec.boot_interface.as_deref().unwrap_or("redfish-https") {
            "redfish-https" => Ok(Self::Https),
            "redfish-virtual-media" => Ok(Self::VirtualMedia),
            "http" => Ok(Self::Http),
            "ipxe" | "pxe" => Ok(Self::Ipxe),
            "http-ipxe" => Ok(Self::HttpIpxe),
            other => Err(DriverError(format!("boot interface {other} is not supported by driver redfish"))),
        }
    }

    /// Whether iPXE is on the way.
    pub(super) fn is_ipxe(self) -> bool {
        matches!(self, Self::Ipxe | Self::HttpIpxe)
    }

    /// Whether UEFI firmware fetches something over HTTP.
    pub(super) fn is_uefi_http(self) -> bool {
        matches!(self, Self::Https | Self::Http | Self::HttpIpxe)
    }
}

/// Whether the machine boots with Secure Boot.
pub(super) fn needs_signature(node: &Node) -> bool {
    node.capability("secure_boot").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// There is no DHCP server to name what it boots.
pub(super) fn no_dhcp(node: &Node) -> DriverError {
    let interface = node.spec.boot_interface.as_deref().unwrap_or_default();
    DriverError(format!("boot interface {interface} needs `dhcp` in the conductor's configuration"))
}
