//! dnsmasq's configuration: who is answered, and what each is told to boot.
//!
//! Options: RFC 2132 (60 vendor class, 67 boot file), RFC 5970 (DHCPv6: 59 boot file URL, 61 architecture), RFC 8415 (16
//! vendor class); UEFI specification 24.7 (HTTP boot: the class `HTTPClient` is given back; in DHCPv6 machines name it with
//! Intel's enterprise number, 343).

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use url::Host;
use uuid::Uuid;

use super::loader::Loader;
use super::settings::Settings;
use crate::boot_url::{BootUrl, Family};
use crate::node::Port;

/// dnsmasq writes the length of the text where the enterprise would begin; EDK2 looks for `HTTPClient` behind six bytes, and at
/// nothing before it.
const HTTP_CLASS_V6: &str = "----HTTPClient";

/// What the machine of a node is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offer {
    /// Firmware fetches this (UEFI HTTP boot).
    Http(BootUrl),
    /// Firmware loads iPXE, which fetches a script.
    Ipxe {
        /// The script.
        script: BootUrl,
        /// Where UEFI HTTP boot finds iPXE; PXE has it by TFTP.
        loader: Option<BootUrl>,
    },
}

impl Offer {
    /// Whether the machine loads something by TFTP.
    pub(super) fn needs_tftp(&self) -> bool {
        matches!(self, Self::Ipxe { loader: None, .. })
    }
}

/// Offers by node.
pub(super) type Offers = BTreeMap<Uuid, Offer>;

/// The DHCP server's.
pub(super) fn dhcp(settings: &Settings, ports: &[Port], offers: &Offers) -> String {
    let mut text = format!(
        "# No name service.
port=0
interface={}
bind-interfaces
pid-file=
log-facility=-
log-dhcp
dhcp-leasefile=leases
# Only we give out these addresses: nobody has to be asked first.
dhcp-authoritative
no-ping
dhcp-ignore=tag:!known
dhcp-vendorclass=set:httpclient,HTTPClient
dhcp-match=set:ipxe,175
",
        settings.interface
    );
    let mut line = |line: String| writeln!(text, "{line}").expect("a string takes all text");
    if let Some((first, last)) = settings.range {
        line(format!("dhcp-range={first},{last},12h"));
    }
    if let Some(network) = settings.proxy {
        line(format!("dhcp-range={network},proxy"));
    }
    if let Some((first, last)) = settings.ipv6_range {
        line("enable-ra".into());
        line(format!("dhcp-range={first},{last},64,12h"));
        line("dhcp-vendorclass=set:httpclient,enterprise:343,HTTPClient".into());
        line("dhcp-userclass=set:ipxe,iPXE".into());
    }
    for loader in Loader::ALL {
        for number in loader.pxe {
            line(format!("dhcp-match=set:{},option:client-arch,{number}", loader.tag));
            // Both bytes: a number alone is found anywhere in them. BIOS knows no IPv6.
            if settings.ipv6_range.is_some() && *number != 0 {
                line(format!("dhcp-match=set:{},option6:61,00:{number:02x}", loader.tag));
            }
        }
    }
    for port in ports {
        line(format!("dhcp-host={},set:{}", port.address, tag(port.node_uuid)));
    }
    for (node, offer) in offers {
        let node = format!("tag:{}", tag(*node));
        match offer {
            Offer::Http(url) => http(settings, &format!("{node},tag:httpclient"), url, &mut line),
            Offer::Ipxe { script, loader } => {
                if script.is_for(Family::V4) {
                    line(format!("dhcp-boot={node},tag:ipxe,{script}"));
                }
                // iPXE for BIOS asks a proxy as network cards do.
                if settings.proxy.is_some() {
                    line(format!("pxe-service={node},tag:ipxe,x86PC,iPXE,{script}"));
                }
                if settings.ipv6_range.is_some() && script.is_for(Family::V6) {
                    line(format!("dhcp-option-force={node},tag:ipxe,option6:bootfile-url,{script}"));
                }
                let firmware = format!("{node},tag:!ipxe");
                if let Some(url) = loader {
                    http(settings, &format!("{firmware},tag:httpclient"), url, &mut line);
                }
                let firmware = format!("{firmware},tag:!httpclient");
                for Loader { file, tag, services, .. } in Loader::ALL {
                    line(format!("dhcp-boot={firmware},tag:{tag},{file}"));
                    if settings.proxy.is_some() {
                        for service in services {
                            line(format!("pxe-service={firmware},{service},iPXE,{file}"));
                        }
                    }
                    // Only we know an address of ours: where the script is, TFTP is, too.
                    if let (Some(_), Some(Host::Ipv6(host))) = (settings.ipv6_range, script.host()) {
                        let url = format!("tftp://[{host}]/{file}");
                        line(format!("dhcp-option-force={firmware},tag:{tag},option6:bootfile-url,{url}"));
                    }
                }
            }
        }
    }
    text
}

fn http(settings: &Settings, firmware: &str, url: &BootUrl, line: &mut impl FnMut(String)) {
    if url.is_for(Family::V4) {
        line(format!("dhcp-option-force={firmware},option:vendor-class,HTTPClient"));
        line(format!("dhcp-option-force={firmware},option:bootfile-name,{url}"));
    }
    if settings.ipv6_range.is_some() && url.is_for(Family::V6) {
        line(format!("dhcp-option-force={firmware},option6:16,{HTTP_CLASS_V6}"));
        line(format!("dhcp-option-force={firmware},option6:bootfile-url,{url}"));
    }
}

/// The TFTP server's. It is a process of its own, which goes on when the other's configuration changes: machines may be in the
/// middle of a file.
pub(super) fn tftp(settings: &Settings) -> String {
    format!(
        "port=0
interface={}
bind-interfaces
pid-file=
log-facility=-
enable-tftp
tftp-root={}
",
        settings.interface,
        settings.ipxe_folder.display()
    )
}

fn tag(node: Uuid) -> String {
    format!("node-{}", node.simple())
}
