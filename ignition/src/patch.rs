//! Changes to a large file that leave its length alone: write them into the file, into a copy, or serve the file
//! with them on the fly, so that a thousand nodes share one image.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// Bytes that replace what is at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Byte offset from the start of the file.
    pub offset: u64,
    /// What stands there afterwards.
    pub bytes: Vec<u8>,
}

/// Writes the patches into a file and makes them durable.
///
/// # Errors
/// When writing fails; the file then holds some of the patches.
pub fn apply(file: &File, patches: &[Patch]) -> io::Result<()> {
    for patch in patches {
        file.write_all_at(&patch.bytes, patch.offset)?;
    }
    file.sync_all()
}

/// Copies `input` to `output` with the patches in place; `output` need not be seekable.
///
/// # Errors
/// When reading or writing fails, or when a patch lies beyond the end of the input.
pub fn copy(input: &mut (impl Read + Seek), output: &mut impl Write, patches: &[Patch]) -> io::Result<()> {
    let mut ordered: Vec<_> = patches.iter().collect();
    ordered.sort_by_key(|patch| patch.offset);
    input.rewind()?;
    let mut position = 0;
    for patch in ordered {
        let before = patch.offset.checked_sub(position).ok_or_else(|| io::Error::other("patches overlap"))?;
        if io::copy(&mut input.by_ref().take(before), output)? < before {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        output.write_all(&patch.bytes)?;
        position = patch.offset + patch.bytes.len() as u64;
        input.seek(SeekFrom::Start(position))?;
    }
    io::copy(input, output)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn patch(offset: u64, bytes: &[u8]) -> Patch {
        Patch { offset, bytes: bytes.to_vec() }
    }

    #[test]
    fn a_copy_and_the_file_itself_come_out_the_same() {
        let patches = [patch(6, b"WORLD"), patch(0, b"J")];
        let mut copied = Vec::new();
        copy(&mut Cursor::new(b"hello world!"), &mut copied, &patches).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hello world!").unwrap();
        apply(&file, &patches).unwrap();
        let mut changed = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut changed).unwrap();
        assert_eq!(copied, b"Jello WORLD!");
        assert_eq!(changed, copied);
    }

    #[test]
    fn a_patch_behind_the_end_is_refused() {
        assert!(copy(&mut Cursor::new(b"short"), &mut Vec::new(), &[patch(9, b"x")]).is_err());
    }
}
