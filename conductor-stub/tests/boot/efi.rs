//! The smallest ramdisk and the smallest ISO.

/// A PE image with room for kernel arguments and nothing else.
pub(crate) fn efi_program() -> Vec<u8> {
    let mut image = vec![0; 2048];
    image[..2].copy_from_slice(b"MZ");
    image[60] = 64;
    image[64..68].copy_from_slice(b"PE\0\0");
    image[70] = 1; // one section
    image[84] = 2; // bytes of the optional header
    let section = &mut image[90..130];
    section[..8].copy_from_slice(b".cmdline");
    section[8..12].copy_from_slice(&1024u32.to_le_bytes());
    section[16..20].copy_from_slice(&1024u32.to_le_bytes());
    section[20..24].copy_from_slice(&1024u32.to_le_bytes());
    image[1024..].fill(b' ');
    image[1024..1029].copy_from_slice(b"quiet");
    image
}

/// An ISO with volume descriptors, of which one says that it boots, and nothing else.
pub(crate) fn iso() -> Vec<u8> {
    let mut image = vec![0; 19 * 2048];
    for (sector, kind) in [(16, 1), (17, 0), (18, 255)] {
        image[sector * 2048] = kind;
        image[sector * 2048 + 1..sector * 2048 + 7].copy_from_slice(b"CD001\x01");
    }
    image[16 * 2048 + 80] = 19; // sectors in all
    image[17 * 2048 + 7..17 * 2048 + 30].copy_from_slice(b"EL TORITO SPECIFICATION");
    image
}
