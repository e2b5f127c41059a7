//! A small initramfs: a static busybox and an init that prints one line and switches off.

use std::io::{Result, Write};

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
    let mut archive = Archive { out: GzEncoder::new(Vec::new(), Compression::fast()), inode: 0, length: 0 };
    for directory in ["bin", "dev"] {
        archive.entry(directory, DIRECTORY, (0, 0), &[])?;
    }
    archive.entry("dev/console", CHARACTER_DEVICE, (5, 1), &[])?;
    archive.entry("bin/busybox", PROGRAM, (0, 0), busybox)?;
    archive.entry("init", PROGRAM, (0, 0), init.as_bytes())?;
    archive.entry("TRAILER!!!", 0, (0, 0), &[])?;
    archive.out.finish()
}

struct Archive {
    out: GzEncoder<Vec<u8>>,
    inode: u32,
    length: usize,
}

impl Archive {
    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Result<()> {
        self.inode += 1;
        let size = u32::try_from(content.len()).map_err(std::io::Error::other)?;
        let name_size = u32::try_from(name.len() + 1).map_err(std::io::Error::other)?;
        // inode, mode, uid, gid, links, mtime, size, device major and minor, rdev major and minor, name size, checksum
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0];
        let header: String = fields.iter().map(|field| format!("{field:08x}")).collect();
        self.write(format!("070701{header}{name}\0").as_bytes())?;
        self.pad()?;
        self.write(content)?;
        self.pad()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len();
        self.out.write_all(bytes)
    }

    fn pad(&mut self) -> Result<()> {
        self.write(&[0; 3][..self.length.wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
