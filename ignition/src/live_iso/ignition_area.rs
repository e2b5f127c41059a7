//! The area that the boot loader passes as a second initramfs.

use std::io::{Read, Seek};

use serde::Deserialize;

use super::LiveIsoError;
use crate::archive::Archive;
use crate::iso9660::{Extent, Iso9660, IsoError};
use crate::patch::Patch;

const DESCRIPTION: &str = "coreos/igninfo.json";
const MAX_DESCRIPTION_BYTES: u64 = 64 << 10;
/// Where the area of images without a description is.
const DEFAULT_FILE: &str = "images/ignition.img";
/// Real areas have 256 KiB.
const MAX_AREA_BYTES: u64 = 64 << 20;

#[derive(Debug, Deserialize)]
struct Description {
    file: String,
    offset: Option<u64>,
    length: Option<u64>,
}

#[derive(Debug)]
pub(super) struct IgnitionArea {
    extent: Extent,
    archive: Archive,
    changed: bool,
}

impl IgnitionArea {
    pub(super) fn read(iso: &mut Iso9660<impl Read + Seek>) -> Result<Self, LiveIsoError> {
        let description = match iso.find(DESCRIPTION) {
            Ok(extent) => serde_json::from_slice(&iso.read(extent, MAX_DESCRIPTION_BYTES)?)
                .map_err(|cause| LiveIsoError::Description { file: DESCRIPTION, cause })?,
            Err(IsoError::NotFound(_)) => Description { file: DEFAULT_FILE.to_owned(), offset: None, length: None },
            Err(error) => return Err(error.into()),
        };
        let file = iso.find(&description.file).map_err(LiveIsoError::NoIgnitionArea)?;
        let extent = part_of(file, description.offset.unwrap_or(0), description.length)
            .ok_or(LiveIsoError::Damaged("the Ignition area is larger than the file that holds it"))?;
        let archive = Archive::decode(&iso.read(extent, MAX_AREA_BYTES)?)?;
        Ok(Self { extent, archive, changed: false })
    }

    pub(super) fn archive(&self) -> &Archive {
        &self.archive
    }

    pub(super) fn change(&mut self) -> &mut Archive {
        self.changed = true;
        &mut self.archive
    }

    /// The archive, then zeroes up to the end of the area.
    pub(super) fn patch(&self) -> Result<Option<Patch>, LiveIsoError> {
        if !self.changed {
            return Ok(None);
        }
        let mut bytes = self.archive.encode();
        let available_bytes = self.extent.length as usize;
        if bytes.len() > available_bytes {
            return Err(LiveIsoError::IgnitionTooLarge { needed_bytes: bytes.len(), available_bytes });
        }
        bytes.resize(available_bytes, 0);
        Ok(Some(Patch { offset: self.extent.offset, bytes }))
    }
}

/// `length` bytes of a file from `offset` on; without a length, all that follow.
fn part_of(file: Extent, offset: u64, length: Option<u64>) -> Option<Extent> {
    let rest = file.length.checked_sub(offset)?;
    let length = length.unwrap_or(rest);
    (length <= rest).then_some(Extent { offset: file.offset + offset, length })
}
