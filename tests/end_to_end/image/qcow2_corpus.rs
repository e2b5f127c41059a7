//! Our qcow2 reader against `qemu-img convert -O raw`, over images made with every option that `qemu-img`
//! and `qemu-io` can set.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use ferric_hardware::units::Bytes;
use ferric_steps::image::{Content, Extent, Finished, Format, ImageError, Pool, Qcow2, RandomAccess};

const MIB: u64 = 1 << 20;

/// A directory of images for one test.
struct Corpus {
    dir: tempfile::TempDir,
}

impl Corpus {
    fn new() -> Result<Self> {
        Ok(Self { dir: tempfile::tempdir()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A raw disk of `bytes` with text, noise, zeroes and holes in runs of many lengths.
    fn source(&self, bytes: u64) -> Result<()> {
        let file = File::create(self.path("source.raw"))?;
        file.set_len(bytes)?;
        let mut random = Random(0x5eed);
        let mut at = 0;
        while at < bytes {
            let scale = random.below(12);
            let len = (1 + random.below(700 << scale)).min(bytes - at);
            let data: Vec<u8> = match random.below(4) {
                0 => (0..len).map(|_| random.next() as u8).collect(),
                1 => (0..len).map(|n| b"all work and no play "[n as usize % 21]).collect(),
                2 => vec![0; len as usize],
                _ => Vec::new(),
            };
            file.write_all_at(&data, at)?;
            at += len;
        }
        Ok(())
    }

    /// Runs a program in the directory; panics with its output when it fails.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let output = Command::new(program).args(arguments).current_dir(self.dir.path()).output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{program} {arguments:?}: {text}");
        assert!(!text.contains("failed:"), "{program} {arguments:?}: {text}");
        Ok(())
    }

    /// Compares what we and what qemu-img make of `image`, with and without reading the tables in advance.
    fn check(&self, image: &str) -> Result<()> {
        let raw = self.path("expected.raw");
        self.run("qemu-img", &["convert", "-f", "qcow2", "-O", "raw", image, "expected.raw"])?;
        let (ahead, passes) = read(&self.path(image), true)?;
        assert_eq!(passes, 1, "{image}: tables read in advance make a second pass needless");
        let (streamed, _) = read(&self.path(image), false)?;
        let expected = std::fs::read(&raw)?;
        for (how, got) in [("read ahead", ahead), ("streamed", streamed)] {
            assert_eq!(got.len(), expected.len(), "{image}, {how}");
            let different = got.iter().zip(&expected).position(|(a, b)| a != b);
            assert_eq!(different, None, "{image}, {how}: first difference");
        }
        Ok(())
    }
}

/// The disk that `image` holds, and the passes it took. Every byte must be emitted exactly once.
fn read(image: &Path, ahead: bool) -> Result<(Vec<u8>, u32)> {
    let file = LocalFile(File::open(image)?);
    let total = file.total_bytes();
    let pool = Pool::new(Bytes::mib(4), 64 << 10);
    let mut head = vec![0; total.0.min(512) as usize];
    file.0.read_exact_at(&mut head, 0)?;
    let source: Option<&dyn RandomAccess> = if ahead { Some(&file) } else { None };
    let mut format = Qcow2::open(&head, ahead.then_some(total), source)?;
    let mut disk = vec![0xa5; format.virtual_size().0 as usize];
    let mut covered = 0;
    let mut out = |extent: Extent| {
        let place = &mut disk[extent.at.0 as usize..extent.end().0 as usize];
        match &extent.content {
            Content::Data(chunk) => place.copy_from_slice(chunk),
            Content::Zeroes => place.fill(0),
        }
        covered += extent.len.0;
        Ok(())
    };
    for passes in 1.. {
        let mut at = 0;
        while at < total.0 {
            let mut buffer = pool.take_blocking();
            let len = file.0.read_at(&mut buffer, at)?;
            at += len as u64;
            format.push(buffer.freeze(len), &mut out)?;
        }
        if let Finished::Complete(bytes) = format.finish(&mut out)? {
            assert_eq!((covered, bytes.0), (disk.len() as u64, disk.len() as u64));
            return Ok((disk, passes));
        }
    }
    unreachable!()
}

struct LocalFile(File);

impl RandomAccess for LocalFile {
    fn total_bytes(&self) -> Bytes {
        Bytes(self.0.metadata().map_or(0, |metadata| metadata.len()))
    }

    fn read_at(&self, at: Bytes, len: usize) -> Result<Vec<u8>, ImageError> {
        let mut bytes = vec![0; len];
        match self.0.read_exact_at(&mut bytes, at.0) {
            Ok(()) => Ok(bytes),
            Err(source) => Err(ImageError::File { path: "image".into(), source }),
        }
    }
}

/// A small generator of numbers that are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Options of `-o` that may be set together.
fn create_options() -> Vec<String> {
    let mut options = vec!["compat=0.10".to_string()];
    for cluster in ["512", "1k", "4k", "64k", "256k", "2M"] {
        options.push(format!("cluster_size={cluster}"));
        options.push(format!("compat=0.10,cluster_size={cluster}"));
    }
    for cluster in ["16k", "64k", "2M"] {
        options.push(format!("extended_l2=on,cluster_size={cluster}"));
        options.push(format!("extended_l2=on,cluster_size={cluster},compression_type=zstd"));
    }
    options.push("lazy_refcounts=on".into());
    options.push("refcount_bits=64".into());
    options.push("compression_type=zstd".into());
    options.push("compression_type=zstd,cluster_size=512".into());
    options
}

#[test]
fn converted_images() -> Result<()> {
    let corpus = Corpus::new()?;
    corpus.source(9 * MIB + 512)?;
    for options in create_options() {
        for flags in [&[][..], &["-c"], &["-W"], &["-c", "-W", "-m", "16"], &["-S", "0"]] {
            let arguments = [&["convert", "-f", "raw", "-O", "qcow2", "-o", &options], flags];
            corpus.run("qemu-img", &[&arguments.concat()[..], &["source.raw", "converted.qcow2"]].concat())?;
            corpus.check("converted.qcow2")?;
        }
    }
    Ok(())
}

#[test]
fn preallocated_images() -> Result<()> {
    let corpus = Corpus::new()?;
    corpus.source(9 * MIB)?;
    for preallocation in ["off", "metadata", "falloc", "full"] {
        for more in ["", ",cluster_size=4k", ",extended_l2=on", ",compat=0.10"] {
            if more.contains("extended") && preallocation == "metadata" {
                continue;
            }
            let options = format!("preallocation={preallocation}{more}");
            corpus.run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", &options, "empty.qcow2", "9M"])?;
            corpus.check("empty.qcow2")?;
            let convert = ["convert", "-f", "raw", "-O", "qcow2", "-o", &options, "source.raw", "full.qcow2"];
            corpus.run("qemu-img", &convert)?;
            corpus.check("full.qcow2")?;
        }
    }
    Ok(())
}

/// Images as guests leave them: written in any order, trimmed, zeroed, resized, with snapshots.
#[test]
fn used_images() -> Result<()> {
    let corpus = Corpus::new()?;
    let mut random = Random(7);
    for options in create_options() {
        corpus.run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", &options, "used.qcow2", "8M"])?;
        let mut megabytes = 8;
        for round in 0..4 {
            let mut commands = Vec::new();
            for _ in 0..20 {
                let at = random.below(megabytes * 2048 - 1) * 512;
                let len = ((1 + random.below(512)) * 512).min(megabytes * MIB - at);
                let old = options.contains("0.10");
                commands.push(match random.below(6) {
                    0 => format!("discard {at} {len}"),
                    1 if !old => format!("write -z {at} {len}"),
                    2 if !old => format!("write -z -u {at} {len}"),
                    _ => format!("write -P {} {at} {len}", 1 + random.below(255)),
                });
            }
            let commands: Vec<&str> = commands.iter().flat_map(|command| ["-c", command]).collect();
            corpus.run("qemu-io", &[&["-d", "unmap", "-f", "qcow2"], &commands[..], &["used.qcow2"]].concat())?;
            corpus.check("used.qcow2")?;
            corpus.run("qemu-img", &["snapshot", "-c", &format!("round{round}"), "used.qcow2"])?;
            // Old images cannot grow once they have snapshots.
            if round == 1 && !options.contains("0.10") {
                megabytes = 13;
                corpus.run("qemu-img", &["resize", "-q", "-f", "qcow2", "used.qcow2", "13M"])?;
            }
        }
        corpus.run("qemu-img", &["snapshot", "-d", "round0", "used.qcow2"])?;
        corpus.check("used.qcow2")?;
    }
    Ok(())
}
