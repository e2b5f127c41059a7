//! Ports on loopback.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The first port that is given out, and how many there are. They end below those that the kernel gives to outgoing
/// connections (from 32768 on), which could take a port away while the program that is to listen on it starts.
const PORTS: (u32, u32) = (10_000, 22_000);

/// A TCP port on 127.0.0.1 that was free a moment ago; a test program gets no port twice.
///
/// # Errors
/// When no port can be bound.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (first, count) = PORTS;
    // Test programs that run at the same time start at different places.
    let start = std::process::id().wrapping_mul(7919) % count;
    for _ in 0..count {
        let port = first + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % count;
        let port = u16::try_from(port)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {first} on is free")
}

/// Waits until something accepts connections on `port` of 127.0.0.1.
///
/// # Errors
/// When nothing does within `limit`.
pub fn wait_for_port(port: u16, limit: Duration) -> Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let start = Instant::now();
    while start.elapsed() < limit {
        if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("nothing listens on {address} after {limit:?}")
}
