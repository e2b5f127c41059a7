//! Kernel arguments in a unified kernel image: the PE section `.cmdline`, which is made long enough to be added to
//! (PE format: <https://learn.microsoft.com/windows/win32/debug/pe-format>; meaning of the section: systemd-stub(7)).

use std::io::{self, Read, Seek};

use thiserror::Error;

use crate::iso9660::{Extent, read_at};
use crate::kernel_arguments::KernelArgument;
use crate::patch::Patch;

const SECTION: &[u8] = b".cmdline";
const SECTION_HEADER_BYTES: u64 = 40;
/// Enough for every image that firmware loads; bounds what a damaged one can make us read.
const MAX_SECTIONS: u16 = 96;
const MAX_ARGUMENTS_BYTES: u64 = 4096;

/// Why kernel arguments cannot be added to an image.
#[derive(Debug, Error)]
pub enum UkiError {
    /// Not a PE image with a section for kernel arguments.
    #[error("not a unified kernel image: {0}")]
    NotUki(&'static str),
    /// They do not fit.
    #[error("the kernel arguments are too long: {needed_bytes} bytes, the image has room for {available_bytes}")]
    TooLong {
        /// Bytes of the whole line.
        needed_bytes: usize,
        /// Bytes of the section.
        available_bytes: usize,
    },
    /// Reading failed.
    #[error("reading the unified kernel image: {0}")]
    Io(#[from] io::Error),
}

/// The command line of a unified kernel image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uki {
    section: Extent,
    arguments: String,
}

impl Uki {
    /// Finds the command line.
    ///
    /// # Errors
    /// When the file is no unified kernel image.
    pub fn read(mut image: impl Read + Seek) -> Result<Self, UkiError> {
        let section = section(&mut image, SECTION)?.ok_or(UkiError::NotUki("no section for kernel arguments"))?;
        let section = Extent { length: section.length.min(MAX_ARGUMENTS_BYTES), ..section };
        let text = String::from_utf8(bytes(&mut image, section.offset, section.length)?)
            .map_err(|_| UkiError::NotUki("its kernel arguments are not UTF-8"))?;
        Ok(Self { section, arguments: text.trim_matches(['\0', ' ', '\n']).to_owned() })
    }

    /// The arguments that the image boots with.
    #[must_use]
    pub fn kernel_arguments(&self) -> &str {
        &self.arguments
    }

    /// What has to be written into the image so that it boots with further arguments.
    ///
    /// # Errors
    /// [`UkiError::TooLong`].
    pub fn append_kernel_arguments(&self, arguments: &[KernelArgument]) -> Result<Patch, UkiError> {
        let mut line = self.arguments.clone();
        for argument in arguments {
            line.push(' ');
            line.push_str(argument.as_str());
        }
        let (needed_bytes, available_bytes) = (line.len(), self.section.length as usize);
        if needed_bytes > available_bytes {
            return Err(UkiError::TooLong { needed_bytes, available_bytes });
        }
        let mut bytes = line.into_bytes();
        bytes.resize(available_bytes, b' ');
        Ok(Patch { offset: self.section.offset, bytes })
    }
}

/// Where the section of this name (`.initrd`, `.linux`) lies in the file, without what only fills it up.
///
/// # Errors
/// When the file is no PE image.
pub fn section(image: &mut (impl Read + Seek), name: &[u8]) -> Result<Option<Extent>, UkiError> {
    let dos = bytes(image, 0, 64)?;
    if !dos.starts_with(b"MZ") {
        return Err(UkiError::NotUki("no DOS header"));
    }
    let pe = u64::from(u32::from_le_bytes([dos[60], dos[61], dos[62], dos[63]]));
    let coff = bytes(image, pe, 24)?;
    if !coff.starts_with(b"PE\0\0") {
        return Err(UkiError::NotUki("no PE header"));
    }
    let sections = u16::from_le_bytes([coff[6], coff[7]]).min(MAX_SECTIONS);
    let optional_header_bytes = u16::from_le_bytes([coff[20], coff[21]]);
    let table = pe + 24 + u64::from(optional_header_bytes);
    for number in 0..u64::from(sections) {
        let header = bytes(image, table + number * SECTION_HEADER_BYTES, SECTION_HEADER_BYTES)?;
        let found = header[..8].split(|byte| *byte == 0).next().unwrap_or_default();
        if found == name {
            let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            // The size in memory leaves out what only fills the section up in the file.
            return Ok(Some(Extent { offset: u64::from(word(20)), length: u64::from(word(8).min(word(16))) }));
        }
    }
    Ok(None)
}

fn bytes(image: &mut (impl Read + Seek), offset: u64, length: u64) -> io::Result<Vec<u8>> {
    read_at(image, Extent { offset, length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A PE image with one section of eight bytes in memory, sixteen in the file.
    fn image() -> Vec<u8> {
        let mut image = vec![0; 512];
        image[..2].copy_from_slice(b"MZ");
        image[60] = 64;
        image[64..68].copy_from_slice(b"PE\0\0");
        image[70] = 1;
        image[84] = 2;
        let section = 64 + 24 + 2;
        image[section..section + 8].copy_from_slice(b".cmdline");
        image[section + 8] = 8;
        image[section + 16] = 16;
        image[section + 21] = 1;
        image[256..264].copy_from_slice(b"quiet   ");
        image
    }

    #[test]
    fn arguments_are_added_in_place() {
        let uki = Uki::read(Cursor::new(image())).unwrap();
        assert_eq!(uki.kernel_arguments(), "quiet");
        let patch = uki.append_kernel_arguments(&["a".parse().unwrap()]).unwrap();
        assert_eq!(patch, Patch { offset: 256, bytes: b"quiet a ".to_vec() });
        let error = uki.append_kernel_arguments(&["long=argument".parse().unwrap()]).unwrap_err();
        assert!(matches!(error, UkiError::TooLong { needed_bytes: 19, available_bytes: 8 }), "{error}");
    }

    #[test]
    fn other_files_are_refused() {
        for image in [vec![], vec![0; 4096], image()[..100].to_vec(), image()[..300].iter().map(|_| b'M').collect()] {
            assert!(Uki::read(Cursor::new(image)).is_err());
        }
    }
}
