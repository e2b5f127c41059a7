//! The smallest ramdisk.

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
