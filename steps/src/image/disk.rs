//! Extents to the disk; both ends last.
//!
//! The order is the safety: both ends are wiped and flushed before anything else is written, what belongs
//! there stays in memory, and it reaches the disk only by [`Disk::commit`], which its caller reaches only with
//! a verdict. Whoever drops a disk without that leaves it wiped at both ends.

mod held_back;
mod manifest;
mod target;
mod writers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ferric_hardware::units::Bytes;

use self::held_back::HeldBack;
use self::manifest::Manifest;
pub(crate) use self::target::{BlockTarget, Target};
pub(crate) use self::writers::Done;
use self::writers::Writers;
use super::{Content, Extent, ImageError, ReadBack};

/// The longest range that is zeroed by one call, so that a cancelled transfer ends soon.
const ZERO_PIECE: u64 = 128 << 20;

/// A disk being written.
pub(crate) struct Disk {
    target: Arc<dyn Target>,
    held_back: HeldBack,
    writers: Writers,
    /// What was written between the ends, when it will be read back.
    manifest: Option<Manifest>,
    /// Zeroes that may still grow, so that many short runs become one call.
    zeroes: Option<Extent>,
    /// True while what is on the disk cannot be trusted.
    open: bool,
}

/// A disk that holds its image.
#[derive(Debug)]
pub(crate) struct Committed {
    /// How long the commit took.
    pub(crate) duration: Duration,
    /// Bytes of the ends.
    pub(crate) written: u64,
    /// What reading back found, if it was asked for.
    pub(crate) read_back: Option<ReadBack>,
}

impl Disk {
    /// Wipes both ends of the target and is ready for extents.
    pub(crate) fn begin(target: Arc<dyn Target>, read_back: bool) -> Result<Self, ImageError> {
        let held_back = HeldBack::new(target.size());
        let writers = Writers::start(&target, read_back);
        let manifest = read_back.then(Manifest::default);
        let mut disk = Self { target, held_back, writers, manifest, zeroes: None, open: true };
        // A disk that cannot even be wiped gets no second wipe on the way out.
        disk.wipe().inspect_err(|_| disk.open = false)?;
        Ok(disk)
    }

    /// Takes one extent.
    pub(crate) fn put(&mut self, extent: Extent) -> Result<(), ImageError> {
        let end = extent.at.0.checked_add(extent.len.0);
        if end.is_none_or(|end| end > self.target.size().0) {
            return Err(ImageError::TooLarge {
                image: Bytes(end.unwrap_or(u64::MAX)),
                device: self.target.name().to_string(),
                capacity: self.target.size(),
            });
        }
        let Some(extent) = self.held_back.keep(extent) else { return Ok(()) };
        match (&mut self.zeroes, &extent.content) {
            (Some(run), Content::Zeroes) if run.end() == extent.at && run.len.0 < ZERO_PIECE => {
                run.len = run.len + extent.len;
                Ok(())
            }
            (_, Content::Zeroes) => match self.zeroes.replace(extent) {
                Some(run) => self.zero(run),
                None => Ok(()),
            },
            (_, Content::Data(_)) => self.writers.put(extent),
        }
    }

    /// Waits until all but the ends is on the medium.
    pub(crate) fn flush(&mut self) -> Result<Done, ImageError> {
        if let Some(run) = self.zeroes.take() {
            self.zero(run)?;
        }
        let done = self.writers.finish()?;
        if let Some(manifest) = &mut self.manifest {
            manifest.merge(done.manifest);
        }
        self.sync()?;
        Ok(done)
    }

    /// What is written to.
    pub(crate) fn target(&self) -> &dyn Target {
        &*self.target
    }

    /// What will be at the beginning of the disk, up to the end of the image: not there yet.
    pub(crate) fn head(&self, image_end: Bytes) -> &[u8] {
        self.held_back.pieces(image_end)[0].1
    }

    /// Writes the ends: from here on the disk can boot. To be called after [`Disk::flush`], with a verdict.
    /// A disk that is to be read back and differs is wiped again.
    pub(crate) fn commit(mut self, image_end: Bytes) -> Result<Committed, ImageError> {
        let started = Instant::now();
        let [head, tail] = self.held_back.pieces(image_end);
        for (at, data) in [tail, head] {
            self.target.write(at, data).map_err(|e| self.failed("writing", at, e))?;
            if let Some(manifest) = &mut self.manifest {
                manifest.add(at, data);
            }
        }
        self.sync()?;
        let duration = started.elapsed();
        let read_back = self.manifest.map(|expected| self.read_back(expected, image_end)).transpose()?;
        self.open = false;
        let written = self.held_back.pieces(image_end).iter().map(|(_, data)| data.len() as u64).sum();
        Ok(Committed { duration, written, read_back })
    }

    fn read_back(&self, expected: Manifest, image_end: Bytes) -> Result<ReadBack, ImageError> {
        let started = Instant::now();
        let actual = Manifest::read(&*self.target, image_end).map_err(|(at, e)| self.failed("reading back", at, e))?;
        if actual != expected {
            return Err(ImageError::ReadBack { device: self.target.name().to_string() });
        }
        Ok(ReadBack { bytes: image_end.0, seconds: started.elapsed().as_secs_f64() })
    }

    fn zero(&self, run: Extent) -> Result<(), ImageError> {
        let (mut at, end) = (run.at.0, run.end().0);
        while at < end {
            let len = (end - at).min(ZERO_PIECE);
            self.writers.put(Extent::zeroes(Bytes(at), Bytes(len)))?;
            at += len;
        }
        Ok(())
    }

    /// Wipes what can be wiped, also when a part of it fails: a copy of the partition table is at the other end.
    fn wipe(&self) -> Result<(), ImageError> {
        let mut outcome = self.target.disarm().map_err(|e| self.failed("wiping the ends of", 0, e));
        for range in self.held_back.ranges() {
            let zeroed = self.target.zero(range.start, range.end - range.start);
            outcome = outcome.and(zeroed.map_err(|e| self.failed("wiping", range.start, e)));
        }
        outcome.and(self.sync())
    }

    fn sync(&self) -> Result<(), ImageError> {
        self.target.sync().map_err(|e| self.failed("flushing", 0, e))
    }

    fn failed(&self, action: &'static str, at: u64, source: std::io::Error) -> ImageError {
        ImageError::Disk { action, device: self.target.name().to_string(), at: Bytes(at), source }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nothing may be in flight any more when the ends are wiped; its outcome no longer matters.
        let _ = self.writers.finish();
        if self.open
            && let Err(error) = self.wipe()
        {
            tracing::error!(device = self.target.name(), error = error.chain(), "both ends could not be wiped again");
        }
    }
}
