//! Requests to the kernel's routing layer (rtnetlink(7)): one message, one acknowledgement.

use std::io;
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};

/// Bytes of `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;

/// The message that creates the VLAN `id` on the interface with the index `parent`, under this name and up.
pub(crate) fn new_vlan(parent: u32, name: &str, id: u16) -> Vec<u8> {
    let up = (libc::IFF_UP as u32).to_ne_bytes();
    // struct ifinfomsg: family and type unspecified, index chosen by the kernel, flags, which of them are meant
    let mut body = [[0; 8].as_slice(), &up, &up].concat();
    body.extend(attribute(libc::IFLA_LINK, &parent.to_ne_bytes()));
    body.extend(attribute(libc::IFLA_IFNAME, &[name.as_bytes(), b"\0"].concat()));
    let data = attribute(libc::IFLA_INFO_DATA, &attribute(IFLA_VLAN_ID, &id.to_ne_bytes()));
    body.extend(attribute(libc::IFLA_LINKINFO, &[attribute(libc::IFLA_INFO_KIND, b"vlan"), data].concat()));
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    message(libc::RTM_NEWLINK, flags as u16, &body)
}

/// From linux/if_link.h.
const IFLA_VLAN_ID: u16 = 1;

/// `struct nlmsghdr` in front of a body; sequence number and port are of no use to a single request.
fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = (HEADER_BYTES + body.len()) as u32;
    [&length.to_ne_bytes(), kind.to_ne_bytes().as_slice(), &flags.to_ne_bytes(), &[0; 8], body].concat()
}

/// `struct rtattr` and its payload, filled up to a multiple of four bytes.
fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = (4 + payload.len()) as u16;
    let mut bytes = [&length.to_ne_bytes(), kind.to_ne_bytes().as_slice(), payload].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Sends `message` and waits for the acknowledgement.
///
/// # Errors
/// The errno in it.
pub(crate) fn request(message: &[u8]) -> io::Result<()> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    sendto(socket.as_raw_fd(), message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0; 1024];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    // struct nlmsgerr: a negative errno, or zero
    match answer[..length].get(HEADER_BYTES..HEADER_BYTES + 4).and_then(|bytes| bytes.try_into().ok()) {
        Some(bytes) => match i32::from_ne_bytes(bytes) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(-errno)),
        },
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers_with_an_errno() {
        // A parent that cannot exist: whoever asks is refused, for one reason or the other, and nothing is created.
        let error = request(&new_vlan(u32::MAX, "vlan-of-nothing", 5)).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
    }

    #[test]
    fn messages_carry_their_length_and_are_aligned() {
        let message = new_vlan(3, "eth0.5", 5);
        assert_eq!(message[..4], (message.len() as u32).to_ne_bytes());
        assert_eq!(message.len() % 4, 0);
        assert_eq!(attribute(3, b"eth0\0"), [9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0]);
    }
}
