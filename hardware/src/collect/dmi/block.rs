//! One block of dmidecode's output: keys with a text, or with a list of texts.

use serde_json::{Map, Value, json};

use crate::smbios::Structure;

/// What stands for a code that the specification has no name for.
pub(super) const OUT_OF_SPEC: &str = "<OUT OF SPEC>";

/// A block that is being filled from one structure.
pub(super) struct Block<'a> {
    structure: &'a Structure,
    fields: Map<String, Value>,
}

impl<'a> Block<'a> {
    /// A block that begins with its handle.
    pub(super) fn new(structure: &'a Structure) -> Self {
        let mut block = Self { structure, fields: Map::new() };
        let (handle, kind, length) = (structure.handle, structure.kind, structure.length());
        block.put("Handle", format!("Handle 0x{handle:04X}, DMI type {kind}, {length} bytes"));
        block
    }

    pub(super) fn fields(self) -> Map<String, Value> {
        self.fields
    }

    /// Whether the structure is at least that long. Fields come in groups, one for each version of the specification.
    pub(super) fn reaches(&self, length: usize) -> bool {
        self.structure.length() >= length
    }

    /// The byte at `offset`, for fields that [`Self::reaches`] has found to be there.
    pub(super) fn byte(&self, offset: usize) -> u8 {
        self.structure.byte(offset).unwrap_or(0)
    }

    pub(super) fn word(&self, offset: usize) -> u16 {
        self.structure.word(offset).unwrap_or(0)
    }

    pub(super) fn dword(&self, offset: usize) -> u32 {
        self.structure.dword(offset).unwrap_or(0)
    }

    pub(super) fn qword(&self, offset: usize) -> u64 {
        self.structure.qword(offset).unwrap_or(0)
    }

    /// A key and its text. A reader of dmidecode's output takes a text without anything in it for the start of a list.
    pub(super) fn put(&mut self, key: &str, text: impl Into<String>) {
        let text = text.into();
        let text = text.trim();
        self.fields.insert(key.to_string(), if text.is_empty() { json!([]) } else { json!(text) });
    }

    /// A key and a list below it.
    pub(super) fn list(&mut self, key: &str, names: &[&str]) {
        self.fields.insert(key.to_string(), json!(names));
    }

    /// The string whose number is at `offset`, as dmidecode prints it.
    pub(super) fn text(&self, offset: usize) -> String {
        match (self.byte(offset), self.structure.string_bytes(offset)) {
            (0, _) => "Not Specified".to_string(),
            (_, None) => "<BAD INDEX>".to_string(),
            (_, Some(bytes)) => bytes.iter().map(|byte| printable(*byte)).collect(),
        }
    }

    pub(super) fn string(&mut self, key: &str, offset: usize) {
        let text = self.text(offset);
        self.put(key, text);
    }

    /// A code at `offset` by its name.
    pub(super) fn named(&mut self, key: &str, offset: usize, names: &[&'static str]) {
        let name = usize::from(self.byte(offset)).checked_sub(1).and_then(|at| names.get(at));
        self.put(key, *name.unwrap_or(&OUT_OF_SPEC));
    }
}

/// Control characters and what is not ASCII become a dot.
fn printable(byte: u8) -> char {
    if (0x20..0x7f).contains(&byte) { char::from(byte) } else { '.' }
}

/// Names of the flags that are set; `first` is the number of the first flag in the table.
pub(super) fn flags(first: u32, names: &[&'static str], flags: u64) -> Vec<&'static str> {
    (first..)
        .zip(names)
        .filter(|(bit, name)| flags >> bit & 1 != 0 && !name.is_empty())
        .map(|(_, name)| *name)
        .collect()
}

/// The same in one text, `None` when none is set; bit 0 is reserved. Nothing when only flags without a name are set.
pub(super) fn flags_text(first: u32, names: &[&'static str], set: u64) -> String {
    if set & !1 == 0 { "None".to_string() } else { flags(first, names, set).join(" ") }
}

/// A unit of size, as dmidecode counts them.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    Bytes = 0,
    Kib = 1,
}

/// A size in the largest unit that keeps it whole, but never more than two steps below its first digit.
pub(super) fn size_text(amount: u64, unit: Unit) -> String {
    const UNITS: [&str; 8] = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB", "ZB"];
    let part = |step: usize| amount >> (10 * step) & 0x3ff;
    let highest = (1..7).rev().find(|step| part(*step) != 0).unwrap_or(0);
    let step = if highest > 0 && part(highest - 1) != 0 { highest - 1 } else { highest };
    format!("{} {}", amount >> (10 * step), UNITS[step + unit as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_printed_as_dmidecode_does() {
        for (bytes, text) in [
            (98_304, "96 kB"),
            (2 << 30, "2 GB"),
            (1536 << 20, "1536 MB"),
            (16 << 20, "16 MB"),
            (0, "0 bytes"),
            (u64::MAX, "16383 PB"),
        ] {
            assert_eq!(size_text(bytes, Unit::Bytes), text);
        }
        assert_eq!(size_text(0, Unit::Kib), "0 kB");
        assert_eq!(size_text(1 << 20, Unit::Kib), "1 GB");
    }
}
