//! Requests to the kernel's routing layer (rtnetlink(7)): one message, one acknowledgement. What they say is in
//! [`crate::link`]; for half a dozen kinds of message a library of all of them is not worth its size.

use std::io;
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};

/// Bytes of `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;

/// `struct rtattr` and its payload, filled up to a multiple of four bytes.
pub(crate) fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = (4 + payload.len()) as u16;
    let mut bytes = [&length.to_ne_bytes(), kind.to_ne_bytes().as_slice(), payload].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Sends a message of this kind (`RTM_…`) with further flags (`NLM_F_…`) and waits for the acknowledgement.
///
/// # Errors
/// The errno in it.
pub(crate) fn request(kind: u16, flags: i32, body: &[u8]) -> io::Result<()> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    let message = message(kind, (libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags) as u16, body);
    sendto(socket.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
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

/// `struct nlmsghdr` in front of a body; sequence number and port are of no use to a single request.
fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = (HEADER_BYTES + body.len()) as u32;
    [&length.to_ne_bytes(), kind.to_ne_bytes().as_slice(), &flags.to_ne_bytes(), &[0; 8], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_carry_their_length_and_are_aligned() {
        let attribute = attribute(3, b"eth0\0");
        assert_eq!(attribute, [9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0]);
        let message = message(libc::RTM_NEWLINK, 5, &attribute);
        assert_eq!(message[..8], [28, 0, 0, 0, 16, 0, 5, 0]);
        assert_eq!(message.len(), 28);
    }
}
