//! The areas inside boot loader configurations where the kernel arguments stand, padded to a fixed length.

use std::io::{Read, Seek};

use serde::{Deserialize, Serialize};

use super::LiveIsoError;
use crate::iso9660::{Extent, Iso9660, IsoError, SECTOR_BYTES};
use crate::patch::Patch;

const DESCRIPTION: &str = "coreos/kargs.json";
const MAX_DESCRIPTION_BYTES: u64 = 64 << 10;
/// The kernel itself takes no longer command line on x86.
const MAX_AREA_BYTES: u64 = 2048;

/// Images before 2021-09 have no description but a header at the end of the system area, in front of a 24-byte one
/// that is no longer used.
const HEADER: Extent = Extent { offset: 16 * SECTOR_BYTES - 24 - 72, length: 72 };
const HEADER_MAGIC: &[u8] = b"coreKarg";

#[derive(Debug, Deserialize, Serialize)]
struct Description {
    default: String,
    files: Vec<Location>,
    size: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Location {
    path: String,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pad: Option<char>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<char>,
}

#[derive(Debug)]
struct Area {
    offset: u64,
    end: u8,
    pad: u8,
}

#[derive(Debug)]
pub(super) struct KernelArgumentAreas {
    areas: Vec<Area>,
    length: usize,
    default: String,
    current: String,
    changed: bool,
    /// Where it is written down, and how; not in old images.
    description: Option<(Extent, Description)>,
    default_changed: bool,
}

impl KernelArgumentAreas {
    /// Returns nothing for an ISO without areas.
    pub(super) fn read(iso: &mut Iso9660<impl Read + Seek>) -> Result<Option<Self>, LiveIsoError> {
        let extent = match iso.find(DESCRIPTION) {
            Ok(extent) => extent,
            Err(IsoError::NotFound(_)) => return Self::read_header(iso),
            Err(error) => return Err(error.into()),
        };
        let description: Description = serde_json::from_slice(&iso.read(extent, MAX_DESCRIPTION_BYTES)?)
            .map_err(|cause| LiveIsoError::Description { file: DESCRIPTION, cause })?;
        let mut areas = Vec::new();
        for location in &description.files {
            let file = iso.find(&location.path)?;
            let offset = file.offset.checked_add(location.offset).ok_or(OUTSIDE)?;
            let byte = |character: Option<char>, default| {
                character.map_or(Ok(default), |character| u8::try_from(character).map_err(|_| NOT_ASCII))
            };
            areas.push(Area { offset, end: byte(location.end, b'\n')?, pad: byte(location.pad, b'#')? });
        }
        let mut built = Self::build(iso, areas, description.size, description.default.clone())?;
        built.description = Some((extent, description));
        Ok(Some(built))
    }

    /// magic, length, offset of the default arguments, up to six offsets of areas: all u64, little-endian.
    fn read_header(iso: &mut Iso9660<impl Read + Seek>) -> Result<Option<Self>, LiveIsoError> {
        let header = iso.read(HEADER, HEADER.length)?;
        let Some(rest) = header.strip_prefix(HEADER_MAGIC) else { return Ok(None) };
        let numbers: Vec<u64> = rest
            .chunks_exact(8)
            .map(|bytes| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            .collect();
        let [length, default_offset, offsets @ ..] = &numbers[..] else { return Ok(None) };
        let area = |offset: u64| Area { offset, end: b'\n', pad: b'#' };
        let default = text(iso, &area(*default_offset), *length)?;
        let areas = offsets.iter().take_while(|offset| **offset != 0).map(|offset| area(*offset)).collect();
        Self::build(iso, areas, *length, default).map(Some)
    }

    fn build(
        iso: &mut Iso9660<impl Read + Seek>,
        areas: Vec<Area>,
        length: u64,
        default: String,
    ) -> Result<Self, LiveIsoError> {
        if default.len() as u64 > length {
            return Err(LiveIsoError::Damaged("the default kernel arguments are longer than their area"));
        }
        let mut found = areas.iter().map(|area| text(iso, area, length)).collect::<Result<Vec<_>, _>>()?;
        found.dedup();
        let [current] = <[String; 1]>::try_from(found)
            .map_err(|_| LiveIsoError::Damaged("its boot loaders do not have one and the same kernel arguments"))?;
        Ok(Self {
            areas,
            length: length as usize,
            default,
            current,
            changed: false,
            description: None,
            default_changed: false,
        })
    }

    pub(super) fn current(&self) -> &str {
        &self.current
    }

    pub(super) fn default_arguments(&self) -> &str {
        &self.default
    }

    pub(super) fn set(&mut self, line: &str) -> Result<(), LiveIsoError> {
        let needed_bytes = line.len() + 1;
        if needed_bytes > self.length {
            return Err(LiveIsoError::KernelArgumentsTooLong { needed_bytes, available_bytes: self.length });
        }
        line.clone_into(&mut self.current);
        self.changed = true;
        Ok(())
    }

    /// Changes what [`Self::default_arguments`] are from now on. Old images have no room for that.
    pub(super) fn set_default(&mut self, line: &str) -> Result<(), LiveIsoError> {
        let (_, description) = self.description.as_mut().ok_or(LiveIsoError::NoKernelArgumentAreas)?;
        line.clone_into(&mut description.default);
        line.clone_into(&mut self.default);
        self.default_changed = true;
        Ok(())
    }

    pub(super) fn patches(&self) -> Result<Vec<Patch>, LiveIsoError> {
        let areas = if self.changed { &self.areas[..] } else { &[] };
        let patches = areas.iter().map(|area| {
            let mut bytes = self.current.clone().into_bytes();
            bytes.push(area.end);
            bytes.resize(self.length, area.pad);
            Patch { offset: area.offset, bytes }
        });
        let mut patches: Vec<Patch> = patches.collect();
        if let Some((extent, description)) = self.description.as_ref().filter(|_| self.default_changed) {
            let mut bytes = serde_json::to_vec_pretty(description)
                .map_err(|cause| LiveIsoError::Description { file: DESCRIPTION, cause })?;
            if bytes.len() as u64 > extent.length {
                return Err(LiveIsoError::Damaged(
                    "the description of the kernel arguments has no room for shorter ones",
                ));
            }
            bytes.resize(extent.length as usize, b' ');
            patches.push(Patch { offset: extent.offset, bytes });
        }
        Ok(patches)
    }
}

const OUTSIDE: LiveIsoError = LiveIsoError::Damaged("an area for kernel arguments lies outside the image");
const NOT_ASCII: LiveIsoError = LiveIsoError::Damaged("kernel arguments are padded with more than one byte");

fn text(iso: &mut Iso9660<impl Read + Seek>, area: &Area, length: u64) -> Result<String, LiveIsoError> {
    let bytes = iso.read(Extent { offset: area.offset, length }, MAX_AREA_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| LiveIsoError::Damaged("its kernel arguments are not UTF-8"))?;
    let line = text.trim_end_matches(char::from(area.pad)).trim_end_matches(char::from(area.end));
    Ok(line.trim().to_owned())
}
