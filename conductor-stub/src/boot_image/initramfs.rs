//! A small initramfs: a static busybox and an init that prints one line and switches off.

use std::io::{Cursor, Result};

use cpio::newc::Builder;
use flate2::Compression;
use flate2::write::GzEncoder;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// A gzip-compressed cpio archive in the `newc` format (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
pub(super) fn build(busybox: &[u8], line: &str) -> Result<Vec<u8>> {
    let init = format!(
        "#!/bin/busybox sh\n/bin/busybox mount -t devtmpfs none /dev\necho\necho \"{line}\" > /dev/ttyS0\n/bin/busybox sleep 1\n/bin/busybox poweroff -f\n"
    );
    let console = Builder::new("dev/console").mode(CHARACTER_DEVICE).rdev_major(5).rdev_minor(1);
    let members = [
        (Builder::new("bin").mode(DIRECTORY), &[][..]),
        (Builder::new("dev").mode(DIRECTORY), &[]),
        (console, &[]),
        (Builder::new("bin/busybox").mode(PROGRAM), busybox),
        (Builder::new("init").mode(PROGRAM), init.as_bytes()),
    ];
    // Files of the same number would be one file to the kernel.
    let members = (1..).zip(members).map(|(number, (member, content))| (member.ino(number), Cursor::new(content)));
    cpio::write_cpio(members, GzEncoder::new(Vec::new(), Compression::fast()))?.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn cpio_reads_it() {
        let archive = build(b"not a busybox", "HELLO").unwrap();
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&archive[..]), &mut plain).unwrap();
        let mut cpio =
            Command::new("cpio").args(["-it", "--quiet"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        cpio.stdin.take().unwrap().write_all(&plain).unwrap();
        let output = cpio.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "bin\ndev\ndev/console\nbin/busybox\ninit\n");
    }
}
