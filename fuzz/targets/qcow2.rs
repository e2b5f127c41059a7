//! A qcow2 image from anybody: refused, or every byte of its disk emitted exactly once, and the same bytes
//! whether the tables are read in advance or as they pass.
#![no_main]

use ferric_hardware::units::Bytes;
use ferric_steps::image::{Content, Extent, Finished, Format, ImageError, Pool, Qcow2, RandomAccess};
use libfuzzer_sys::fuzz_target;

/// Content of larger disks is not compared, only its extents.
const COMPARED_BYTES: u64 = 4 << 20;

fuzz_target!(|file: &[u8]| {
    let ahead = read(file, true);
    let streamed = read(file, false);
    if let (Some(ahead), Some(streamed)) = (ahead, streamed) {
        assert!(ahead == streamed, "the tables read in advance are the tables in the file");
    }
});

/// The disk in `file`, if it is not refused.
fn read(file: &[u8], ahead: bool) -> Option<Vec<u8>> {
    let source = File(file.to_vec());
    let source: Option<&dyn RandomAccess> = if ahead { Some(&source) } else { None };
    let mut format = Qcow2::open(file, ahead.then_some(Bytes(file.len() as u64)), source).ok()?;
    let size = format.virtual_size().0;
    let mut disk = vec![0xa5; size.min(COMPARED_BYTES) as usize];
    let mut extents: Vec<(u64, u64)> = Vec::new();
    let pool = Pool::new(Bytes::mib(1), 4096);
    let mut out = |extent: Extent| {
        let (start, end) = (extent.at.0, extent.end().0);
        assert!(start < end && end <= size, "extents are parts of the disk");
        extents.push((start, end));
        let kept = start.min(COMPARED_BYTES) as usize..end.min(COMPARED_BYTES) as usize;
        match &extent.content {
            Content::Data(chunk) => disk[kept.clone()].copy_from_slice(&chunk[..kept.len()]),
            Content::Zeroes => disk[kept].fill(0),
        }
        Ok(())
    };
    loop {
        for piece in file.chunks(4096) {
            let mut buffer = pool.take_blocking();
            buffer[..piece.len()].copy_from_slice(piece);
            format.push(buffer.freeze(piece.len()), &mut out).ok()?;
        }
        if let Finished::Complete(bytes) = format.finish(&mut out).ok()? {
            assert_eq!(bytes.0, size);
            break;
        }
    }
    extents.sort_unstable();
    let end = extents.iter().fold(0, |end, extent| {
        assert_eq!(extent.0, end, "extents neither overlap nor leave gaps");
        extent.1
    });
    assert_eq!(end, size);
    Some(disk)
}

struct File(Vec<u8>);

impl RandomAccess for File {
    fn total_bytes(&self) -> Bytes {
        Bytes(self.0.len() as u64)
    }

    fn read_at(&self, at: Bytes, len: usize) -> Result<Vec<u8>, ImageError> {
        let part = usize::try_from(at.0).ok().and_then(|at| self.0.get(at..at.checked_add(len)?));
        part.map(<[u8]>::to_vec).ok_or_else(|| ImageError::Invalid("out of range".to_string()))
    }
}
