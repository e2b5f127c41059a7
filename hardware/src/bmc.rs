//! The BMC's network addresses, asked over IPMI (specification 2.0, sections 22.24 and 23.2).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use crate::ipmi::Ipmi;
use crate::machine::Machine;

/// The addresses of the BMC. All are nothing on a machine without an IPMI device.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bmc {
    /// IPv4 address; `0.0.0.0` when the BMC has none.
    pub address: Option<String>,
    /// IPv6 address; `::/0` when the BMC has none.
    pub v6address: Option<String>,
    /// MAC address of the channel with an address.
    pub mac: Option<String>,
}

const CHANNELS: std::ops::RangeInclusive<u8> = 1..=11;

const NETFN_APP: u8 = 0x06;
const GET_CHANNEL_INFO: u8 = 0x42;
/// Media of a channel that have LAN parameters: 802.3 and other LAN.
const LAN_MEDIA: [u8; 2] = [4, 6];

const NETFN_TRANSPORT: u8 = 0x0c;
const GET_LAN_PARAMETER: u8 = 0x02;
const IPV4_ADDRESS: u8 = 3;
const MAC_ADDRESS: u8 = 5;
const IPV6_ENABLES: u8 = 51;
const IPV6_STATUS: u8 = 55;
const IPV6_STATIC: u8 = 56;
const IPV6_DYNAMIC: u8 = 59;

/// Asks the BMC of `machine`. Only the running machine has one that answers.
pub fn read(machine: &Machine) -> Bmc {
    let Some(device) = device(machine).filter(|_| machine.is_host()) else { return Bmc::default() };
    match Ipmi::open(&device) {
        Ok(mut ipmi) => {
            // A BMC that does not answer once is not asked again: every question would cost seconds.
            let mut silent = false;
            ask(&mut |netfn, command, data| {
                if silent {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                let answer = ipmi.request(netfn, command, data);
                silent = answer.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut);
                answer
            })
        }
        Err(error) => {
            tracing::warn!(device = %device.display(), %error, "cannot ask the BMC");
            Bmc::default()
        }
    }
}

/// The first character device of the names that IPMI drivers use.
fn device(machine: &Machine) -> Option<PathBuf> {
    let in_dev = machine.names("/dev").into_iter().filter(|name| name.starts_with("ipmi"));
    let candidates = in_dev
        .map(|name| format!("/dev/{name}"))
        .chain(machine.names("/dev/ipmi").into_iter().map(|name| format!("/dev/ipmi/{name}")))
        .chain(machine.names("/dev/ipmidev").into_iter().map(|name| format!("/dev/ipmidev/{name}")));
    let mut nodes = candidates.map(|path| machine.path(path));
    nodes.find(|path| std::fs::metadata(path).is_ok_and(|m| m.file_type().is_char_device()))
}

/// Sends one request: network function, command, data; the answer starts with the completion code.
type Send<'a> = dyn FnMut(u8, u8, &[u8]) -> io::Result<Vec<u8>> + 'a;

fn ask(send: &mut Send<'_>) -> Bmc {
    let mut bmc =
        Bmc { address: Some(Ipv4Addr::UNSPECIFIED.to_string()), v6address: Some("::/0".to_string()), mac: None };
    let (mut found_v4, mut found_v6) = (false, false);
    for channel in CHANNELS {
        if !is_lan(send, channel) {
            continue;
        }
        let v4 = parameter::<4>(send, channel, IPV4_ADDRESS, 0).map(Ipv4Addr::from);
        let v4 = v4.filter(|address| !address.is_unspecified());
        let v6 = ipv6(send, channel);
        let mac = parameter::<6>(send, channel, MAC_ADDRESS, 0).filter(|mac| *mac != [0; 6]);

        let routable_v6 = v6.is_some_and(|a| !a.is_unicast_link_local() && !a.to_string().starts_with("::"));
        if bmc.mac.is_none() && (v4.is_some() || routable_v6) {
            bmc.mac = mac.map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":"));
        }
        if let Some(address) = v4.filter(|_| !found_v4) {
            bmc.address = Some(address.to_string());
            found_v4 = true;
        }
        if let Some(address) = v6.filter(|_| !found_v6) {
            bmc.v6address = Some(address.to_string());
            found_v6 = true;
        }
    }
    bmc
}

/// The data of a successful answer.
fn answer(send: &mut Send<'_>, netfn: u8, command: u8, data: &[u8]) -> Option<Vec<u8>> {
    match send(netfn, command, data) {
        Ok(answer) if answer.first() == Some(&0) => Some(answer[1..].to_vec()),
        _ => None,
    }
}

fn is_lan(send: &mut Send<'_>, channel: u8) -> bool {
    let info = answer(send, NETFN_APP, GET_CHANNEL_INFO, &[channel]);
    info.and_then(|info| info.get(1).copied()).is_some_and(|medium| LAN_MEDIA.contains(&(medium & 0x7f)))
}

/// The first `N` bytes of a LAN parameter, after its revision.
fn parameter<const N: usize>(send: &mut Send<'_>, channel: u8, parameter: u8, set: u8) -> Option<[u8; N]> {
    let data = answer(send, NETFN_TRANSPORT, GET_LAN_PARAMETER, &[channel, parameter, set, 0])?;
    data.get(1..1 + N)?.try_into().ok()
}

/// The first active dynamic address, else the first active and enabled static one.
fn ipv6(send: &mut Send<'_>, channel: u8) -> Option<Ipv6Addr> {
    const ACTIVE: u8 = 0;
    const SOURCES: [u8; 2] = [1, 2]; // SLAAC, DHCPv6
    let [enables] = parameter(send, channel, IPV6_ENABLES, 0)?;
    if !(1..=2).contains(&enables) {
        return None;
    }
    let [statics, dynamics] = parameter(send, channel, IPV6_STATUS, 0)?;
    for set in 0..dynamics {
        let Some(entry) = parameter::<20>(send, channel, IPV6_DYNAMIC, set) else { continue };
        if SOURCES.contains(&(entry[1] & 0x0f))
            && entry[19] == ACTIVE
            && let Some(address) = usable(&entry[2..18])
        {
            return Some(address);
        }
    }
    for set in 0..statics {
        let Some(entry) = parameter::<20>(send, channel, IPV6_STATIC, set) else { continue };
        if entry[1] & 0x80 != 0
            && entry[19] == ACTIVE
            && let Some(address) = usable(&entry[2..18])
        {
            return Some(address);
        }
    }
    None
}

fn usable(bytes: &[u8]) -> Option<Ipv6Addr> {
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
    (!address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A BMC with LAN channels 2 and 8: the first without an IPv4 address, the second with both.
    fn bmc(netfn: u8, command: u8, data: &[u8]) -> Vec<u8> {
        let address = |flags: u8, last: u8, status: u8| {
            let mut entry = vec![0, 0x11, 0, flags, 0x20, 0x01, 0x0d, 0xb8];
            entry.extend([0; 11]);
            entry.extend([last, 64, status]);
            entry
        };
        match (netfn, command, data) {
            (NETFN_APP, GET_CHANNEL_INFO, [2 | 8]) => vec![0, 2, 4, 1],
            (NETFN_APP, GET_CHANNEL_INFO, [1]) => vec![0, 1, 1, 1],
            (NETFN_TRANSPORT, GET_LAN_PARAMETER, [channel, parameter, set, 0]) => match (channel, *parameter, set) {
                (2, IPV4_ADDRESS, _) => vec![0, 0x11, 0, 0, 0, 0],
                (8, IPV4_ADDRESS, _) => vec![0, 0x11, 192, 0, 2, 17],
                (2 | 8, MAC_ADDRESS, _) => vec![0, 0x11, 0x52, 0x54, 0, 0, 0xbb, *channel],
                (8, IPV6_ENABLES, _) => vec![0, 0x11, 2],
                (8, IPV6_STATUS, _) => vec![0, 0x11, 1, 2, 0],
                (8, IPV6_DYNAMIC, 0) => address(2, 1, 1),
                (8, IPV6_DYNAMIC, 1) => address(1, 2, 0),
                (8, IPV6_STATIC, 0) => address(0x80, 3, 0),
                _ => vec![0x80],
            },
            _ => vec![0xc1],
        }
    }

    #[test]
    fn the_first_channel_with_an_address_counts() {
        let found = ask(&mut |netfn, command, data| Ok(bmc(netfn, command, data)));
        assert_eq!(found.address.as_deref(), Some("192.0.2.17"));
        // The first dynamic address is not active.
        assert_eq!(found.v6address.as_deref(), Some("2001:db8::2"));
        assert_eq!(found.mac.as_deref(), Some("52:54:00:00:bb:08"));
    }

    #[test]
    fn a_bmc_without_a_network_has_dummy_addresses() {
        let found = ask(&mut |_, _, _| Ok(vec![0xc1]));
        assert_eq!(
            (found.address.as_deref(), found.v6address.as_deref(), found.mac),
            (Some("0.0.0.0"), Some("::/0"), None)
        );
        let silent = ask(&mut |_, _, _| Err(io::ErrorKind::TimedOut.into()));
        assert_eq!(silent.address.as_deref(), Some("0.0.0.0"));
    }
}
