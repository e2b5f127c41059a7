//! Sockets that see the Ethernet frames of one protocol on one interface (packet(7)).
#![expect(unsafe_code, reason = "nix cannot bind a packet socket to a protocol of our choice")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Opens a non-blocking socket that receives whole frames of `ethertype` on the interface with this index, also
/// those sent to any group. The kernel undoes the latter when the socket is closed.
///
/// # Errors
/// What the kernel says: no right to do so, no such interface.
pub fn open(interface_index: u32, ethertype: u16) -> io::Result<File> {
    let protocol = ethertype.to_be();
    let index = libc::c_int::try_from(interface_index).map_err(|_| io::ErrorKind::InvalidInput)?;
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers; the result is checked.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, libc::c_int::from(protocol)) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and belongs to nobody else.
    let socket = File::from(unsafe { OwnedFd::from_raw_fd(fd) });

    // SAFETY: all zeroes is a valid address.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = protocol;
    address.sll_ifindex = index;
    // SAFETY: the pointer and the size are those of a live address.
    let bound = unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as libc::socklen_t)
    };
    if bound < 0 {
        return Err(io::Error::last_os_error());
    }

    let membership = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    // SAFETY: the pointer and the size are those of a live request.
    let joined = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const membership).cast(),
            size_of_val(&membership) as libc::socklen_t,
        )
    };
    if joined < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}
