//! Files that are no disk image, by their first bytes: archives, packages, documents, programs. People give the wrong URL,
//! and servers answer with pages; better that is said before the disk is touched.

/// Where a sign is, what it is, and what has it. The magic numbers are those of file(1) and of the formats' own
/// documents. The order counts where one sign is the beginning of another.
const SIGNS: &[(usize, &[u8], &str)] = &[
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"PK\x07\x08", "a zip archive in parts"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a rar archive"),
    (0, b"xar!\0", "a xar archive"),
    (0, b"MSCF\0\0\0\0", "a cabinet archive"),
    (0, b"\x04\x22\x4d\x18", "compressed with lz4"),
    (0, b"\x02\x21\x4c\x18", "compressed with lz4"),
    (0, b"LZIP", "compressed with lzip"),
    (0, b"\x89LZO\0\r\n\x1a\n", "compressed with lzop"),
    (0, b"LRZI", "compressed with lrzip"),
    (0, b"\x1f\x9d", "compressed with compress"),
    (0, b"\x1f\xa0", "compressed with compress"),
    (0, b"\x1f\x1e", "compressed with pack"),
    (0, b"\xff\x06\0\0sNaPpY", "compressed with snappy"),
    (0, b"\x5d\0\0", "compressed with lzma"),
    (257, b"ustar", "a tar archive"),
    (0, b"070701", "a cpio archive"),
    (0, b"070702", "a cpio archive"),
    (0, b"070707", "a cpio archive"),
    (0, b"\xc7\x71", "a cpio archive"),
    (0, b"!<arch>\ndebian-binary", "a deb package"),
    (0, b"!<arch>\n", "an ar archive"),
    (0, b"\xed\xab\xee\xdb", "an rpm package"),
    (0, b"ADB.", "an apk package"),
    (0, b"hsqs", "a squashfs file system"),
    (0, b"sqsh", "a squashfs file system"),
    (0, b"MSWIM\0\0\0", "a Windows image archive (WIM)"),
    (0, b"\x3a\xff\x26\xed", "an Android sparse image"),
    (0, b"CrAU", "an Android update"),
    (0, b"\x7fELF", "a program (ELF)"),
    (0, b"\xca\xfe\xba\xbe", "a program (Mach-O or Java)"),
    (0, b"\xcf\xfa\xed\xfe", "a program (Mach-O)"),
    (0, b"\0asm", "a program (WebAssembly)"),
    (0x202, b"HdrS", "a Linux kernel"),
    (0x38, b"ARMd", "a Linux kernel"),
    (0x30, b"RISCV\0\0\0", "a Linux kernel"),
    (0, b"\x27\x05\x19\x56", "a U-Boot image"),
    (0, b"\xd0\x0d\xfe\xed", "a device tree or U-Boot image"),
    (0, b"UF2\nWQ]\x9e", "a UF2 firmware image"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document or Windows installer"),
    (0, b"\x89PNG\r\n\x1a\n", "a picture (PNG)"),
    (0, b"\xff\xd8\xff", "a picture (JPEG)"),
    (0, b"GIF8", "a picture (GIF)"),
    (0, b"OggS\0", "a sound or film"),
    (4, b"ftyp", "a film"),
    (0, b"SQLite format 3\0", "a database (SQLite)"),
    (0, b"REGISTRY\0", "a database"),
    (0, b"WithoutFreeSpace", "a Parallels disk"),
    (0, b"WithouFreSpacExt", "a Parallels disk"),
    (0, b"Bochs Virtual HD Image", "a Bochs disk"),
    (0, b"OOOM", "a disk of User-mode Linux"),
    (0, b"VMDKsp", "a VMware disk"),
    (0, b"COWD", "a VMware disk"),
    // What one layer of compression leaves to see.
    (0, b"\x1f\x8b\x08", "compressed twice, with gzip inside"),
    (0, b"\x28\xb5\x2f\xfd", "compressed twice, with zstd inside"),
    (0, b"\xfd7zXZ\0", "compressed twice, with xz inside"),
    (4, b"1AY&SY", "compressed twice, with bzip2 inside"),
];

/// Of a text, this much is looked at.
const TEXT_BYTES: usize = 4096;
/// A text that is shorter proves nothing: empty images are somebody else's business.
const SHORTEST_TEXT: usize = 4;
/// Starts of texts, in lower case, behind white space.
const TEXTS: &[(&str, &str)] = &[
    ("<!doctype html", "a web page (HTML)"),
    ("<html", "a web page (HTML)"),
    ("<head", "a web page (HTML)"),
    ("<body", "a web page (HTML)"),
    ("<", "an XML document"),
    ("#!", "a script"),
    ("#cloud-config", "a cloud-init configuration"),
    ("#ignition", "an Ignition configuration"),
    ("-----begin pgp", "a PGP signature or message"),
    ("-----begin", "a certificate or key (PEM)"),
    ("version https://git-lfs", "a Git LFS pointer and not the file behind it"),
    ("variant: ", "a Butane configuration"),
    ("d8:announce", "a torrent"),
];

/// What a file that starts with `head` is, when it is surely no disk; as one says "it is …".
pub(super) fn name(head: &[u8]) -> Option<&'static str> {
    let sign = SIGNS.iter().find(|(at, sign, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(sign)));
    sign.map(|(_, _, name)| *name).or_else(|| text(head))
}

/// What kind of text it is. A disk begins with no text: not even one without partition table has a whole sector of it.
fn text(head: &[u8]) -> Option<&'static str> {
    let head = &head[..head.len().min(TEXT_BYTES)];
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let is_whole = head.len() < TEXT_BYTES - 3;
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut.
        Err(error) if !is_whole && error.valid_up_to() + 4 > head.len() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return None,
    };
    let is_text = |c: char| !c.is_control() || c.is_ascii_whitespace() || c == '\x1b';
    if text.trim().len() < SHORTEST_TEXT || !text.chars().all(is_text) {
        return None;
    }
    let start = text.trim_start().to_ascii_lowercase();
    if let Some((_, name)) = TEXTS.iter().find(|(sign, _)| start.starts_with(sign)) {
        return Some(name);
    }
    if start.starts_with(['{', '[']) {
        return Some(if start.contains("\"ignition\"") { "an Ignition configuration" } else { "a JSON document" });
    }
    Some(if start.lines().next().is_some_and(is_checksum) { "a checksum file" } else { "a text" })
}

/// `DIGEST`, `DIGEST  name` or `SHA256 (name) = DIGEST`.
fn is_checksum(line: &str) -> bool {
    let is_digest = |word: &str| word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut words = line.split_whitespace();
    words.next().is_some_and(is_digest) || words.next_back().is_some_and(is_digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(start: &[u8]) -> Vec<u8> {
        let mut head = vec![0; 8192];
        head[..start.len()].copy_from_slice(start);
        head
    }

    #[test]
    fn every_sign_is_found_at_its_place_and_only_there() {
        for (at, sign, expected) in SIGNS {
            let mut head = vec![0; 8192];
            head[*at..at + sign.len()].copy_from_slice(sign);
            let found = name(&head).unwrap();
            assert!(found == *expected || expected.starts_with("an ar"), "{expected}: {found}");
            head.insert(0, 0);
            assert_eq!(name(&head), None, "{expected}, one byte later");
        }
        assert_eq!(name(&padded(b"!<arch>\ndebian-binary   ")), Some("a deb package"));
        assert_eq!(name(&padded(b"!<arch>\n/               ")), Some("an ar archive"));
    }

    #[test]
    fn texts_are_told_apart() {
        let digest = "0".repeat(64);
        for (text, expected) in [
            ("\n  <!DOCTYPE HTML PUBLIC>", "a web page (HTML)"),
            ("<html><body>404</body></html>", "a web page (HTML)"),
            ("\u{feff}<?xml version=\"1.0\"?><bmap/>", "an XML document"),
            ("{\"ignition\":{\"version\":\"3.4.0\"}}", "an Ignition configuration"),
            ("{\"error\": \"not found\"}", "a JSON document"),
            ("[1, 2]\n", "a JSON document"),
            ("#!/bin/sh\n", "a script"),
            ("-----BEGIN PGP SIGNATURE-----\n", "a PGP signature or message"),
            ("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer and not the file behind it"),
            (&format!("{digest}  image.raw\n"), "a checksum file"),
            (&format!("{digest}\n"), "a checksum file"),
            (&format!("SHA256 (image.raw) = {digest}\n"), "a checksum file"),
            ("no such file\n", "a text"),
            ("schöne Grüße\r\n", "a text"),
        ] {
            assert_eq!(name(text.as_bytes()), Some(expected), "{text}");
        }
        let long = "ä".repeat(5000);
        assert_eq!(name(long.as_bytes()), Some("a text"), "a character is cut");
        assert_eq!(name(&long.as_bytes()[1..]), None);
    }

    #[test]
    fn what_may_be_a_disk_is_none_of_these() {
        for head in [
            vec![],
            vec![0; 4096],
            vec![0xff; 4096],
            padded(b"a text and then zeroes"),
            padded(b"\xeb\x63\x90\x10\x8e\xd0\xbc\0\xb0"),
            padded(b"XFSB\0\0\x10\0"),
            b"   \n".to_vec(),
        ] {
            assert_eq!(name(&head), None, "{:?}", &head[..head.len().min(8)]);
        }
    }
}
