//! Where a file lies inside an ISO 9660 image (ECMA-119, sections 8.4 and 9.1). Nothing more is needed, because
//! live images are changed in place: a file is a run of bytes, and paths in the image never become paths outside.

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
    image_bytes: u64,
}

impl<R: Read + Seek> Iso9660<R> {
    /// Reads the volume descriptors.
    ///
    /// # Errors
    /// When there is no primary one, or the image is shorter than it says.
    pub fn open(mut image: R) -> Result<Self, IsoError> {
        let image_bytes = image.seek(SeekFrom::End(0))?;
        for number in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + MAX_DESCRIPTORS {
            let start = number * SECTOR_BYTES;
            if start + SECTOR_BYTES > image_bytes {
                break;
            }
            let descriptor = read_at(&mut image, Extent { offset: start, length: SECTOR_BYTES })?;
            if &descriptor[1..6] != b"CD001" {
                return Err(IsoError::NotIso);
            }
            match descriptor[0] {
                1 => {
                    let expected_bytes = u64::from(le32(&descriptor[80..])) * SECTOR_BYTES;
                    if expected_bytes > image_bytes {
                        return Err(IsoError::Incomplete { actual_bytes: image_bytes, expected_bytes });
                    }
                    let root = record_extent(&descriptor[156..190]);
                    return Ok(Self { image, root, image_bytes });
                }
                255 => break,
                _ => {}
            }
        }
        Err(IsoError::NotIso)
    }

    /// Finds a file by its ISO 9660 name, which is upper case and, at interchange level 1, cut to 8.3 characters.
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
        self.walk(directory, |name, extent, is_directory| {
            if !is_directory {
                files.push((String::from_utf8_lossy(name).into_owned(), extent));
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
        self.walk(directory, |stored, extent, is_directory| {
            names.iter().any(|name| stored == name.as_bytes()).then_some((extent, is_directory))
        })
    }

    /// Shows the records of a directory one by one (name, extent, whether it is a directory) until something is found.
    fn walk<T>(
        &mut self,
        directory: Extent,
        mut visit: impl FnMut(&[u8], Extent, bool) -> Option<T>,
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
                let stored = &record[33..33 + name_bytes];
                let stored = stored.split(|byte| *byte == b';').next().unwrap_or_default();
                let found = visit(stored, record_extent(record), record[25] & DIRECTORY_FLAG != 0);
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
