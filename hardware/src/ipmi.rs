//! Talking to the BMC through the kernel's IPMI device (`include/uapi/linux/ipmi.h`).
#![expect(unsafe_code, reason = "the IPMI ioctls pass structs with pointers in them")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// How long a BMC may take to answer one request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// `struct ipmi_system_interface_addr`.
#[repr(C)]
#[derive(Default)]
struct Address {
    kind: i32,
    channel: i16,
    lun: u8,
}

/// `struct ipmi_msg`.
#[repr(C)]
struct Message {
    netfn: u8,
    command: u8,
    data_len: u16,
    data: *mut u8,
}

/// `struct ipmi_req`.
#[repr(C)]
pub(crate) struct Request {
    address: *mut Address,
    address_len: u32,
    id: libc::c_long,
    message: Message,
}

/// `struct ipmi_recv`.
#[repr(C)]
pub(crate) struct Received {
    kind: i32,
    address: *mut Address,
    address_len: u32,
    id: libc::c_long,
    message: Message,
}

mod raw {
    nix::ioctl_readwrite!(receive_truncated, b'i', 11, super::Received);
    nix::ioctl_read!(send, b'i', 13, super::Request);
}

/// An open IPMI device.
#[derive(Debug)]
pub struct Ipmi {
    device: File,
    epoll: Epoll,
    last_id: libc::c_long,
}

impl Ipmi {
    /// Opens the device node.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let device = OpenOptions::new().read(true).write(true).open(path)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(device.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        Ok(Self { device, epoll, last_id: 0 })
    }

    /// Sends a request to the BMC itself and returns its answer, completion code first.
    ///
    /// # Errors
    /// When the kernel refuses, or the BMC is silent for five seconds.
    pub fn request(&mut self, netfn: u8, command: u8, data: &[u8]) -> io::Result<Vec<u8>> {
        let mut data = data.to_vec();
        let data_len = u16::try_from(data.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        // The system interface: the BMC on this board.
        let mut address = Address { kind: 0x0c, channel: 0x0f, lun: 0 };
        self.last_id += 1;
        let mut request = Request {
            address: &raw mut address,
            address_len: size_of::<Address>() as u32,
            id: self.last_id,
            message: Message { netfn, command, data_len, data: data.as_mut_ptr() },
        };
        // SAFETY: all pointers in the request are to objects that live until the call returns; the kernel copies.
        unsafe { raw::send(self.device.as_raw_fd(), &raw mut request) }?;
        loop {
            let mut events = [EpollEvent::empty()];
            let timeout = EpollTimeout::try_from(TIMEOUT).unwrap_or(EpollTimeout::MAX);
            if self.epoll.wait(&mut events, timeout)? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // An answer to an earlier request that was given up is passed over.
            if let Some(answer) = self.receive()? {
                return Ok(answer);
            }
        }
    }

    fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut answer = vec![0; 256];
        let mut address = Address::default();
        let mut received = Received {
            kind: 0,
            address: &raw mut address,
            address_len: size_of::<Address>() as u32,
            id: 0,
            message: Message { netfn: 0, command: 0, data_len: 256, data: answer.as_mut_ptr() },
        };
        // SAFETY: the pointers are to live objects of the sizes given; longer messages are cut by the kernel.
        unsafe { raw::receive_truncated(self.device.as_raw_fd(), &raw mut received) }?;
        answer.truncate(usize::from(received.message.data_len));
        Ok((received.id == self.last_id).then_some(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_kernel_s_sizes() {
        assert_eq!((size_of::<Address>(), size_of::<Request>(), size_of::<Received>()), (8, 40, 48));
    }
}
