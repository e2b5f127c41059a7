//! Where a file lies inside an ISO 9660 image (ECMA-119, sections 8.4 and 9.1). Nothing more is needed, because
//! live images are changed in place: a file is a run of bytes, and paths in the image never become paths outside.

mod tree;

use std::io::{Read, Seek, SeekFrom};

use thiserror::Error;

/// Bytes of a logical sector, and of the logical blocks of every image met in practice.
pub const SECTOR_BYTES: u64 = 2048;
const FIRST_DESCRIPTOR: u64 = 16;
/// A real image has three or four descriptors.
const MAX_DESCRIPTORS: u64 = 64;
/// A directory of a live image takes one or two sectors.
const MAX_DIRECTORY_BYTES: u64 = 1 << 20;
const DIRECTORY_FLAG: u8 = 0x02;

/// Why an image cannot be read.
#[derive(Debug, Error)]
pub enum IsoError {
    /// No primary volume descriptor.
    #[error("not an ISO 9660 image")]
    NotIso,
    /// The image is shorter than its volume descriptor says.
    #[error("the ISO image is incomplete: {actual_bytes} bytes of {expected_bytes}")]
    Incomplete {
        /// Bytes there are.
        actual_bytes: u64,
        /// Bytes there should be.
        expected_bytes: u64,
    },
    /// The image has no such file.
    #[error("the ISO image has no file {0}")]
    NotFound(String),
    /// A directory record contradicts itself.
    #[error("the ISO image is damaged: {0}")]
    Damaged(&'static str),
    /// Reading failed.
    #[error("reading the ISO image: {0}")]
    Io(#[from] std::io::Error),
}

/// A run of bytes in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Byte offset from the start of the image.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
}

/// An ISO 9660 image opened for reading.
#[derive(Debug)]
pub struct Iso9660<R> {
    image: R,
    root: Extent,
    /// The root of the same files by their names in Unicode, if there is one (Joliet).
    joliet: Option<Extent>,
    image_bytes: u64,
}

/// One record of a directory.
struct Record<'a> {
    /// As it is stored.
    name: &'a [u8],
    extent: Extent,
    is_directory: bool,
    /// What others than the standard say of the file (ECMA-119 section 9.1.13).
    system_use: &'a [u8],
}

impl Record<'_> {
    /// The name without its version.
    fn plain_name(&self) -> &[u8] {
        self.name.split(|byte| *byte == b';').next().unwrap_or_default()
    }
}

impl<R: Read + Seek> Iso9660<R> {
    /// Reads the volume descriptors.
    ///
    /// # Errors
    /// When there is no primary one, or the image is shorter than it says.
    pub fn open(mut image: R) -> Result<Self, IsoError> {
        let image_bytes = image.seek(SeekFrom::End(0))?;
        let (mut primary, mut joliet) = (None, None);
        for number in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + MAX_DESCRIPTORS {
            let start = number * SECTOR_BYTES;
            if start + SECTOR_BYTES > image_bytes {
                break;
            }
            let descriptor = read_at(&mut image, Extent { offset: start, length: SECTOR_BYTES })?;
            if &descriptor[1..6] != b"CD001" {
                break;
            }
            match descriptor[0] {
                1 => {
                    let expected_bytes = u64::from(le32(&descriptor[80..])) * SECTOR_BYTES;
                    if expected_bytes > image_bytes {
                        return Err(IsoError::Incomplete { actual_bytes: image_bytes, expected_bytes });
                    }
                    primary = primary.or(Some(record_extent(&descriptor[156..190])));
                }
                2 if tree::is_joliet(&descriptor) => joliet = Some(record_extent(&descriptor[156..190])),
                255 => break,
                _ => {}
            }
        }
        let root = primary.ok_or(IsoError::NotIso)?;
        Ok(Self { image, root, joliet, image_bytes })
    }

    /// Finds a file by its ISO 9660 name, which is upper case (xorriso keeps lower case in images for ISOLINUX) and, at
    /// interchange level 1, cut to 8.3 characters.
    ///
    /// # Errors
    /// [`IsoError::NotFound`] when it or a directory on the way does not exist.
    pub fn find(&mut self, path: &str) -> Result<Extent, IsoError> {
        let not_found = || IsoError::NotFound(path.to_owned());
        let mut components = path.split('/').filter(|part| !part.is_empty()).peekable();
        let mut directory = self.root;
        while let Some(component) = components.next() {
            let last = components.peek().is_none();
            let names = [component.to_uppercase(), level_1_name(component)];
            let (extent, is_directory) = self.entry(directory, &names)?.ok_or_else(not_found)?;
            match (last, is_directory) {
                (true, false) => return self.inside(extent),
                (false, true) => directory = extent,
                _ => return Err(not_found()),
            }
        }
        Err(not_found())
    }

    /// The files of a directory, by their names in the image.
    ///
    /// # Errors
    /// [`IsoError::NotFound`] when it does not exist.
    pub fn files(&mut self, path: &str) -> Result<Vec<(String, Extent)>, IsoError> {
        let mut directory = self.root;
        for component in path.split('/').filter(|part| !part.is_empty()) {
            let names = [component.to_uppercase(), level_1_name(component)];
            match self.entry(directory, &names)? {
                Some((extent, true)) => directory = extent,
                _ => return Err(IsoError::NotFound(path.to_owned())),
            }
        }
        let mut files = Vec::new();
        self.walk(directory, |record| {
            if !record.is_directory {
                files.push((String::from_utf8_lossy(record.plain_name()).into_owned(), record.extent));
            }
            None::<()>
        })?;
        files.into_iter().map(|(name, extent)| Ok((name, self.inside(extent)?))).collect()
    }

    /// The image itself.
    pub fn image(&mut self) -> &mut R {
        &mut self.image
    }

    /// The bytes of an extent, at most `limit_bytes` long.
    ///
    /// # Errors
    /// When it is longer, or lies outside the image.
    pub fn read(&mut self, extent: Extent, limit_bytes: u64) -> Result<Vec<u8>, IsoError> {
        let extent = self.inside(extent)?;
        if extent.length > limit_bytes {
            return Err(IsoError::Damaged("a file of the image is unreasonably large"));
        }
        Ok(read_at(&mut self.image, extent)?)
    }

    /// Returns the extent if it lies inside the image.
    ///
    /// # Errors
    /// When it does not.
    pub fn inside(&self, extent: Extent) -> Result<Extent, IsoError> {
        match extent.offset.checked_add(extent.length) {
            Some(end) if end <= self.image_bytes => Ok(extent),
            _ => Err(IsoError::Damaged("a file lies outside the image")),
        }
    }

    fn entry(&mut self, directory: Extent, names: &[String]) -> Result<Option<(Extent, bool)>, IsoError> {
        self.walk(directory, |record| {
            let is_it = names.iter().any(|name| record.plain_name().eq_ignore_ascii_case(name.as_bytes()));
            is_it.then_some((record.extent, record.is_directory))
        })
    }

    /// Shows the records of a directory one by one until something is found.
    fn walk<T>(
        &mut self,
        directory: Extent,
        mut visit: impl FnMut(&Record<'_>) -> Option<T>,
    ) -> Result<Option<T>, IsoError> {
        let records = self.read(directory, MAX_DIRECTORY_BYTES)?;
        // A record never crosses a sector; the rest of the sector behind the last one is zero.
        for sector in records.chunks(SECTOR_BYTES as usize) {
            let mut rest = sector;
            while let Some(length) = rest.first().map(|byte| usize::from(*byte)).filter(|length| *length > 0) {
                let name_bytes = rest.get(32).map_or(0, |byte| usize::from(*byte));
                if length < 33 + name_bytes || length > rest.len() {
                    return Err(IsoError::Damaged("a directory record does not fit"));
                }
                let record = &rest[..length];
                let found = visit(&Record {
                    name: &record[33..33 + name_bytes],
                    extent: record_extent(record),
                    is_directory: record[25] & DIRECTORY_FLAG != 0,
                    // Behind a name of even length comes a byte of padding.
                    system_use: record.get(33 + name_bytes + (name_bytes + 1) % 2..).unwrap_or_default(),
                });
                if found.is_some() {
                    return Ok(found);
                }
                rest = &rest[length..];
            }
        }
        Ok(None)
    }
}

/// `igninfo.json` is stored as `IGNINFO.JSO`.
fn level_1_name(component: &str) -> String {
    let upper = component.to_uppercase();
    match upper.rsplit_once('.') {
        Some((stem, extension)) => format!("{}.{}", cut(stem, 8), cut(extension, 3)),
        None => cut(&upper, 8).to_owned(),
    }
}

fn cut(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end])
}

fn record_extent(record: &[u8]) -> Extent {
    Extent { offset: u64::from(le32(&record[2..])) * SECTOR_BYTES, length: u64::from(le32(&record[10..])) }
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

pub(crate) fn read_at(image: &mut (impl Read + Seek), extent: Extent) -> std::io::Result<Vec<u8>> {
    image.seek(SeekFrom::Start(extent.offset))?;
    let mut bytes = vec![0; extent.length as usize];
    image.read_exact(&mut bytes)?;
    Ok(bytes)
}
