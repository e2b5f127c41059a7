//! The boot entry that a BMC leaves for the firmware, written into OVMF's variable store while the machine is off.
//!
//! Formats: the variable store of EDK2 (`MdeModulePkg/Include/Guid/VariableFormat.h`, authenticated variables) inside
//! a firmware volume (UEFI PI specification, volume 3, 3.2), `EFI_LOAD_OPTION` and the URI device path (UEFI
//! specification, 3.1.3 and 10.3.4.22). All numbers are little-endian.

use uuid::{Uuid, uuid};

const AUTHENTICATED_STORE: Uuid = uuid!("aaf32c78-947b-439a-a180-2e144ec37792");
const GLOBAL_VARIABLE: Uuid = uuid!("8be4df61-93ca-11d2-aa0d-00e098032b8c");
/// Size of `VARIABLE_STORE_HEADER`.
const STORE_HEADER: usize = 28;
/// Size of `AUTHENTICATED_VARIABLE_HEADER`.
const VARIABLE_HEADER: usize = 60;
const START_ID: u16 = 0x55aa;
const ADDED: u8 = 0x3f;
const DELETED: u8 = 0xfd;
/// Non-volatile, boot service and run-time access.
const ATTRIBUTES: u32 = 7;
/// The number of the entry that this module owns.
const ENTRY: u16 = 0x0099;

/// Why a variable store cannot be changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FirmwareError {
    /// The file is not what OVMF calls its variables.
    #[error("the firmware variables are no EDK2 store of authenticated variables")]
    NotAStore,
    /// The firmware has to tidy up first; starting the machine without an override does that.
    #[error("the firmware's variable store is full")]
    Full,
}

/// Makes the firmware boot `uri` at its next start, and only then. An empty `uri` means: whatever DHCP names.
///
/// # Errors
/// When `store` is not OVMF's, or is full.
pub fn boot_next_uri(store: &mut [u8], uri: &str) -> Result<(), FirmwareError> {
    set(store, &format!("Boot{ENTRY:04X}"), &load_option("HTTP boot by BMC", uri))?;
    set(store, "BootNext", &ENTRY.to_le_bytes())
}

fn load_option(description: &str, uri: &str) -> Vec<u8> {
    let mut path = vec![0x03, 0x18];
    path.extend((4 + uri.len() as u16).to_le_bytes());
    path.extend(uri.as_bytes());
    path.extend([0x7f, 0xff, 4, 0]);
    let mut option = 1u32.to_le_bytes().to_vec();
    option.extend((path.len() as u16).to_le_bytes());
    option.extend(utf16(description));
    option.extend(path);
    option
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// Appends a variable and marks earlier ones of the same name deleted, as the firmware itself does.
fn set(store: &mut [u8], name: &str, data: &[u8]) -> Result<(), FirmwareError> {
    let (mut at, end) = bounds(store).ok_or(FirmwareError::NotAStore)?;
    let name = utf16(name);
    while at + VARIABLE_HEADER <= end && read_u16(store, at) == START_ID {
        let name_len = read_u32(store, at + 36);
        let data_len = read_u32(store, at + 40);
        let body = at + VARIABLE_HEADER;
        let next = (body + name_len).saturating_add(data_len).next_multiple_of(4);
        if next > end {
            return Err(FirmwareError::NotAStore);
        }
        if store[body..body + name_len] == name[..] && store[at + 44..at + 60] == GLOBAL_VARIABLE.to_bytes_le() {
            store[at + 2] &= DELETED;
        }
        at = next;
    }
    let body = at + VARIABLE_HEADER;
    let next = (body + name.len() + data.len()).next_multiple_of(4);
    if next > end {
        return Err(FirmwareError::Full);
    }
    store[at..body].fill(0);
    store[at..at + 2].copy_from_slice(&START_ID.to_le_bytes());
    store[at + 2] = ADDED;
    store[at + 4..at + 8].copy_from_slice(&ATTRIBUTES.to_le_bytes());
    store[at + 36..at + 40].copy_from_slice(&(name.len() as u32).to_le_bytes());
    store[at + 40..at + 44].copy_from_slice(&(data.len() as u32).to_le_bytes());
    store[at + 44..at + 60].copy_from_slice(&GLOBAL_VARIABLE.to_bytes_le());
    store[body..body + name.len()].copy_from_slice(&name);
    store[body + name.len()..body + name.len() + data.len()].copy_from_slice(data);
    Ok(())
}

/// Where the variables start and where the store ends, when this is a store.
fn bounds(store: &[u8]) -> Option<(usize, usize)> {
    if store.get(40..44)? != b"_FVH" {
        return None;
    }
    let header = usize::from(u16::from_le_bytes(store.get(48..50)?.try_into().ok()?));
    if store.get(header..header + 16)? != AUTHENTICATED_STORE.to_bytes_le() {
        return None;
    }
    store.get(header..header + STORE_HEADER)?;
    let end = header + read_u32(store, header + 16);
    (end <= store.len()).then_some((header + STORE_HEADER, end))
}

fn read_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn read_u32(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty_store(size: usize) -> Vec<u8> {
        let mut store = vec![0xff; 0x48 + size];
        store[40..44].copy_from_slice(b"_FVH");
        store[48..50].copy_from_slice(&0x48u16.to_le_bytes());
        store[0x48..0x58].copy_from_slice(&AUTHENTICATED_STORE.to_bytes_le());
        store[0x58..0x5c].copy_from_slice(&(size as u32).to_le_bytes());
        store
    }

    fn count(store: &[u8], text: &str) -> usize {
        let text = utf16(text);
        store.windows(text.len()).filter(|window| *window == &text[..]).count()
    }

    #[test]
    fn the_newest_entry_replaces_the_older_one() {
        let mut store = empty_store(4096);
        boot_next_uri(&mut store, "http://192.0.2.1/a.efi").unwrap();
        boot_next_uri(&mut store, "http://192.0.2.1/b.iso").unwrap();
        assert_eq!(count(&store, "BootNext"), 2);
        let first = 0x48 + STORE_HEADER;
        assert_eq!(store[first + 2], ADDED & DELETED, "the first Boot0099 is marked deleted");
        assert!(store.windows(22).any(|window| window == b"http://192.0.2.1/b.iso"));
    }

    #[test]
    fn other_files_and_full_stores_are_refused() {
        assert_eq!(boot_next_uri(&mut [0; 64], "http://x/"), Err(FirmwareError::NotAStore));
        assert_eq!(boot_next_uri(&mut empty_store(STORE_HEADER + 80), "http://x/"), Err(FirmwareError::Full));
    }
}
