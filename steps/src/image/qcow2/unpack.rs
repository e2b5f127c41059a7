//! Compressed clusters, decoded on every core.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use ferric_hardware::units::Bytes;
use flate2::{Decompress, FlushDecompress};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::Defect;
use super::header::{Compression, Header};
use crate::image::{Emit, Extent, ImageError, Pool};

/// What is decoded and written at once, unless one cluster is larger.
const BATCH_BYTES: usize = 1 << 20;
/// Memory for decoded clusters.
const MEMORY: Bytes = Bytes::mib(16);
/// More threads than this would need more memory than they win time.
const MAX_THREADS: usize = 8;
/// Binary logarithm of the largest window a frame may ask for: 8 MiB, what RFC 8878 recommends to support.
const MAX_WINDOW_BITS: u32 = 23;

/// Decodes clusters on threads of its own. Results come in any order.
#[derive(Debug)]
pub struct Unpacker {
    cluster_bytes: usize,
    batch_clusters: usize,
    open: Option<Batch>,
    jobs: Sender<Batch>,
    done: Receiver<Result<Extent, Defect>>,
    in_flight: usize,
    max_in_flight: usize,
}

/// Clusters that follow each other on the virtual disk.
#[derive(Debug)]
struct Batch {
    guest: u64,
    clusters: Vec<Vec<u8>>,
}

impl Unpacker {
    /// Starts the threads.
    pub fn new(header: &Header) -> Self {
        let cluster_bytes = header.cluster_bytes() as usize;
        let batch_bytes = BATCH_BYTES.max(cluster_bytes);
        let pool = Pool::new(MEMORY, batch_bytes);
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let (jobs, todo) = channel();
        let (finished, done) = channel();
        let todo = Arc::new(Mutex::new(todo));
        for _ in 0..threads {
            let worker = Worker {
                decoder: Decoder::new(header.compression),
                cluster_bytes,
                virtual_bytes: header.virtual_bytes,
                pool: pool.clone(),
                todo: Arc::clone(&todo),
                finished: finished.clone(),
            };
            // They end with the channels.
            thread::spawn(move || worker.run());
        }
        Self {
            cluster_bytes,
            batch_clusters: batch_bytes / cluster_bytes,
            open: None,
            jobs,
            done,
            in_flight: 0,
            max_in_flight: (2 * threads).min(pool.count()),
        }
    }

    /// Decodes `bytes` to the cluster at `guest`. Emits what became ready; waits when too much is under way.
    ///
    /// # Errors
    /// [`ImageError::Invalid`] when a cluster, not necessarily this one, does not decode; what `out` returns.
    pub fn push(&mut self, guest: u64, bytes: Vec<u8>, out: Emit<'_>) -> Result<(), ImageError> {
        let cluster_bytes = self.cluster_bytes as u64;
        match &mut self.open {
            Some(batch) if batch.guest + batch.clusters.len() as u64 * cluster_bytes == guest => {
                batch.clusters.push(bytes);
            }
            _ => {
                self.submit(out)?;
                self.open = Some(Batch { guest, clusters: vec![bytes] });
            }
        }
        if self.open.as_ref().is_some_and(|batch| batch.clusters.len() == self.batch_clusters) {
            self.submit(out)?;
        }
        Ok(())
    }

    /// Waits for everything under way and emits it.
    ///
    /// # Errors
    /// As [`Unpacker::push`].
    pub fn finish(&mut self, out: Emit<'_>) -> Result<(), ImageError> {
        self.submit(out)?;
        self.wait(0, out)
    }

    /// Hands the open batch to the threads.
    fn submit(&mut self, out: Emit<'_>) -> Result<(), ImageError> {
        let Some(batch) = self.open.take() else { return Ok(()) };
        self.wait(self.max_in_flight - 1, out)?;
        if self.jobs.send(batch).is_ok() {
            self.in_flight += 1;
        }
        Ok(())
    }

    /// Emits what is ready, and waits until no more than `rest` batches are under way.
    fn wait(&mut self, rest: usize, out: Emit<'_>) -> Result<(), ImageError> {
        while self.in_flight > 0 {
            let result = match self.done.try_recv() {
                Ok(result) => result,
                Err(_) if self.in_flight <= rest => break,
                Err(_) => match self.done.recv() {
                    Ok(result) => result,
                    Err(_) => return Err(ImageError::Invalid("a decoding thread ended early".into())),
                },
            };
            self.in_flight -= 1;
            out(result?)?;
        }
        Ok(())
    }
}

/// One decoding thread.
#[derive(Debug)]
struct Worker {
    decoder: Decoder,
    cluster_bytes: usize,
    virtual_bytes: u64,
    pool: Pool,
    todo: Arc<Mutex<Receiver<Batch>>>,
    finished: Sender<Result<Extent, Defect>>,
}

impl Worker {
    fn run(mut self) {
        loop {
            let batch = self.todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(batch) = batch else { return };
            let result = self.unpack(&batch);
            if self.finished.send(result).is_err() {
                return;
            }
        }
    }

    fn unpack(&mut self, batch: &Batch) -> Result<Extent, Defect> {
        let mut buffer = self.pool.take_blocking();
        for (n, packed) in batch.clusters.iter().enumerate() {
            let at = n * self.cluster_bytes;
            if !self.decoder.decode(packed, &mut buffer[at..at + self.cluster_bytes]) {
                return Err(Defect::Compressed { guest: batch.guest + at as u64 });
            }
        }
        // The last cluster may reach beyond the virtual disk.
        let len = (batch.clusters.len() * self.cluster_bytes) as u64;
        let len = len.min(self.virtual_bytes - batch.guest);
        Ok(Extent::data(Bytes(batch.guest), buffer.freeze(len as usize)))
    }
}

pub(super) enum Decoder {
    /// One that needs the whole cluster and its end mark and is the faster, and one that needs neither.
    Deflate(libdeflater::Decompressor, Decompress),
    Zstd(DCtx<'static>),
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Deflate(..) => "Deflate",
            Self::Zstd(_) => "Zstd",
        })
    }
}

impl Decoder {
    pub(super) fn new(compression: Compression) -> Self {
        match compression {
            Compression::Deflate => Self::Deflate(libdeflater::Decompressor::new(), Decompress::new(false)),
            Compression::Zstd => Self::Zstd(DCtx::create()),
        }
    }

    /// Whether `packed`, whatever follows in it, starts with data that decode to exactly one cluster.
    pub(super) fn decode(&mut self, packed: &[u8], cluster: &mut [u8]) -> bool {
        match self {
            Self::Deflate(whole, inflate) => {
                if whole.deflate_decompress(packed, cluster) == Ok(cluster.len()) {
                    return true;
                }
                inflate.reset(false);
                // A full cluster is what counts, whether the end mark has been read or not.
                let result = inflate.decompress(packed, cluster, FlushDecompress::Finish);
                result.is_ok() && inflate.total_out() == cluster.len() as u64
            }
            Self::Zstd(context) => decode_zstd(context, packed, cluster).unwrap_or(false),
        }
    }
}

/// A cluster may be several frames.
fn decode_zstd(context: &mut DCtx<'_>, packed: &[u8], cluster: &mut [u8]) -> Result<bool, usize> {
    context.reset(ResetDirective::SessionOnly)?;
    context.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_BITS))?;
    let len = cluster.len();
    let mut input = InBuffer::around(packed);
    let mut output = OutBuffer::around(cluster);
    while output.pos() < len {
        let before = (input.pos, output.pos());
        context.decompress_stream(&mut output, &mut input)?;
        if (input.pos, output.pos()) == before {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::DeflateEncoder;

    use super::*;

    const CLUSTER: usize = 65536;

    fn header(compression: Compression, virtual_bytes: u64) -> Header {
        Header {
            version: 3,
            virtual_bytes,
            cluster_bits: 16,
            l1_entries: 1,
            l1_offset: 0x30000,
            extended_l2: false,
            compression,
        }
    }

    fn deflate(data: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// Decodes `clusters`, the first at guest offset 0, to a disk of `virtual_bytes`.
    fn unpack(compression: Compression, clusters: Vec<Vec<u8>>, virtual_bytes: usize) -> Result<Vec<u8>, ImageError> {
        let mut unpacker = Unpacker::new(&header(compression, virtual_bytes as u64));
        let mut disk = vec![0xee; virtual_bytes];
        let mut out = |extent: Extent| {
            let crate::image::Content::Data(chunk) = extent.content else { panic!("not data") };
            disk[extent.at.0 as usize..][..chunk.len()].copy_from_slice(&chunk);
            Ok(())
        };
        for (n, packed) in clusters.into_iter().enumerate() {
            unpacker.push((n * CLUSTER) as u64, packed, &mut out)?;
        }
        unpacker.finish(&mut out)?;
        Ok(disk)
    }

    fn text() -> Vec<u8> {
        (0..40 * CLUSTER / 4).flat_map(|n| (n as u32).to_le_bytes()).collect()
    }

    #[test]
    fn clusters_with_padding_behind_decode_to_the_disk_they_came_from() {
        let disk = &text()[..40 * CLUSTER - 1000];
        let padded = |mut packed: Vec<u8>| {
            packed.extend([0xa5; 700]);
            packed
        };
        let whole = |part: &[u8]| [part, &vec![0; CLUSTER - part.len()]].concat();
        let deflated = disk.chunks(CLUSTER).map(|part| padded(deflate(&whole(part)))).collect();
        assert!(unpack(Compression::Deflate, deflated, disk.len()).unwrap() == disk);
        let zstd = disk.chunks(CLUSTER).map(|part| padded(zstd::encode_all(&whole(part)[..], 3).unwrap())).collect();
        assert!(unpack(Compression::Zstd, zstd, disk.len()).unwrap() == disk);
    }

    #[test]
    fn a_cluster_of_several_frames_decodes() {
        let data = &text()[..CLUSTER];
        let frames = data.chunks(10_000).flat_map(|part| zstd::encode_all(part, 1).unwrap()).collect();
        assert!(unpack(Compression::Zstd, vec![frames], CLUSTER).unwrap() == data);
    }

    #[test]
    fn garbage_short_and_empty_clusters_are_refused() {
        for compression in [Compression::Deflate, Compression::Zstd] {
            let encode = |data: &[u8]| match compression {
                Compression::Deflate => deflate(data),
                Compression::Zstd => zstd::encode_all(data, 3).unwrap(),
            };
            let half = encode(&text()[..CLUSTER / 2]);
            let mut cut = encode(&text()[..CLUSTER]);
            cut.truncate(cut.len() / 2);
            for packed in [half, cut, vec![0xff; 1000], Vec::new()] {
                let result = unpack(compression, vec![packed], CLUSTER);
                assert!(matches!(result, Err(ImageError::Invalid(_))), "{compression:?}");
            }
        }
    }
}
