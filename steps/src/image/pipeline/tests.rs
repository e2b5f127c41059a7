//! A disk that remembers every call, so that a power loss can be played at each of them; and one that fails.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferric_hardware::units::{BlockSize, Bytes};
use tokio_util::sync::CancellationToken;

use super::{Plan, run};
use crate::http::HttpOptions;
use crate::image::disk::Target;
use crate::image::inspect::Expected;
use crate::image::source::{Source, Terms};
use crate::image::{Algorithm, Digest, ImageError, Location, Verify};
use crate::options::Retries;
use crate::progress::Progress;
use crate::testing::server::{Server, answer};

const DISK_BYTES: u64 = 5 << 20;
const END: u64 = 1 << 20;
/// What was on the disk before.
const OLD: u8 = 0xa5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Write(u64, u64),
    Zero(u64, u64),
    Sync,
}

/// A disk in memory. `fail` says which call (counted from 0) is refused.
struct Memory {
    state: Mutex<(Vec<u8>, Vec<Call>)>,
    fail: Option<usize>,
}

impl Memory {
    fn new(fail: Option<usize>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new((vec![OLD; DISK_BYTES as usize], Vec::new())), fail })
    }

    fn call(&self, call: Call, act: impl FnOnce(&mut Vec<u8>)) -> std::io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.1.push(call);
        if self.fail == Some(state.1.len() - 1) {
            return Err(std::io::Error::from_raw_os_error(5));
        }
        act(&mut state.0);
        Ok(())
    }

    fn content(&self) -> Vec<u8> {
        self.state.lock().unwrap().0.clone()
    }

    fn calls(&self) -> Vec<Call> {
        self.state.lock().unwrap().1.clone()
    }
}

impl Target for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn size(&self) -> Bytes {
        Bytes(DISK_BYTES)
    }

    fn block(&self) -> BlockSize {
        BlockSize(512)
    }

    fn write(&self, at: u64, data: &[u8]) -> std::io::Result<()> {
        self.call(Call::Write(at, data.len() as u64), |disk| {
            disk[at as usize..at as usize + data.len()].copy_from_slice(data);
        })
    }

    fn zero(&self, at: u64, len: u64) -> std::io::Result<()> {
        self.call(Call::Zero(at, len), |disk| disk[at as usize..(at + len) as usize].fill(0))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> std::io::Result<()> {
        let state = self.state.lock().unwrap();
        into.copy_from_slice(&state.0[at as usize..at as usize + into.len()]);
        Ok(())
    }

    fn sync(&self) -> std::io::Result<()> {
        self.call(Call::Sync, |_| {})
    }
}

/// A disk that loses one bit of one write.
struct Forgetful(Arc<Memory>);
impl Target for Forgetful {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn size(&self) -> Bytes {
        self.0.size()
    }
    fn block(&self) -> BlockSize {
        self.0.block()
    }
    fn write(&self, at: u64, data: &[u8]) -> std::io::Result<()> {
        let mut data = data.to_vec();
        if at <= 4_000_000 && at + data.len() as u64 > 4_000_000 {
            data[(4_000_000 - at) as usize] ^= 4;
        }
        self.0.write(at, &data)
    }
    fn zero(&self, at: u64, len: u64) -> std::io::Result<()> {
        self.0.zero(at, len)
    }
    fn read(&self, at: u64, into: &mut [u8]) -> std::io::Result<()> {
        self.0.read(at, into)
    }
    fn sync(&self) -> std::io::Result<()> {
        self.0.sync()
    }
}

fn image() -> Vec<u8> {
    let mut image: Vec<u8> = (0..DISK_BYTES).map(|at| (at % 253) as u8 + 1).collect();
    image[2 << 20..3 << 20].fill(0);
    image
}

/// A disk that takes a while for every write between its ends.
struct Slow(Arc<Memory>, Duration);
impl Target for Slow {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn size(&self) -> Bytes {
        self.0.size()
    }
    fn block(&self) -> BlockSize {
        self.0.block()
    }
    fn write(&self, at: u64, data: &[u8]) -> std::io::Result<()> {
        if !touches_an_end(&Call::Write(at, data.len() as u64)) {
            std::thread::sleep(self.1);
        }
        self.0.write(at, data)
    }
    fn zero(&self, at: u64, len: u64) -> std::io::Result<()> {
        self.0.zero(at, len)
    }
    fn read(&self, at: u64, into: &mut [u8]) -> std::io::Result<()> {
        self.0.read(at, into)
    }
    fn sync(&self) -> std::io::Result<()> {
        self.0.sync()
    }
}

/// Writes `image` from a file to `target`; the expected digest is that of `promised`.
fn write(
    target: &Arc<impl Target + 'static>,
    image: &[u8],
    promised: &[u8],
    read_back: bool,
) -> Result<super::Written, ImageError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(image).unwrap();
    write_from(Location::File(file.path().into()), Retries::default(), target, promised, read_back)
}

fn write_from(
    location: Location,
    retries: Retries,
    target: &Arc<impl Target + 'static>,
    promised: &[u8],
    read_back: bool,
) -> Result<super::Written, ImageError> {
    let target = Arc::clone(target);
    let plan = Plan {
        verify: Verify::Digest(Digest::of(Algorithm::Sha256, promised)),
        decoded: None,
        expected: Expected::default(),
        buffer_budget: Bytes::mib(4),
        read_back,
        open: Box::new(move || Ok(Arc::clone(&target) as Arc<dyn Target>)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let cancel = CancellationToken::new();
    let locations = [location];
    let terms = Terms {
        http: HttpOptions::default(),
        login: None,
        retries,
        algorithm: Some(Algorithm::Sha256),
        progress: Progress::default(),
        cancel: cancel.clone(),
    };
    let open = || runtime.block_on(Source::open(&locations, &terms));
    let _inside = runtime.enter();
    run(&plan, open().unwrap(), &open, &Progress::default(), &cancel, runtime.handle())
}

fn touches_an_end(call: &Call) -> bool {
    matches!(call, Call::Write(at, len) if *at < END || at + len > DISK_BYTES - END)
}

fn ends_are_empty(disk: &[u8]) -> bool {
    let end = END as usize;
    disk[..end].iter().chain(&disk[disk.len() - end..]).all(|byte| *byte == 0)
}

#[test]
fn the_ends_are_wiped_durably_first_and_written_last_over_durable_data() {
    let disk = Memory::new(None);
    write(&disk, &image(), &image(), false).unwrap();
    assert!(disk.content() == image());
    let calls = disk.calls();
    let [Call::Zero(0, END), Call::Zero(tail, END), Call::Sync, middle @ .., Call::Sync] = &calls[..] else {
        panic!("{calls:?}")
    };
    assert_eq!(*tail, DISK_BYTES - END);
    // Between the durable wipe and the last flush, only the ends follow the flush of all the rest.
    let commit = middle.iter().position(touches_an_end).unwrap();
    assert_eq!(middle[commit - 1], Call::Sync, "the data are durable: {calls:?}");
    assert!(middle[commit..].iter().all(touches_an_end), "{calls:?}");
    assert!(middle.iter().any(|call| matches!(call, Call::Zero(at, _) if *at >= END)), "zeroes are not written");
}

#[test]
fn a_server_is_not_silent_while_the_disk_keeps_us_from_reading() {
    let image = "fresh\0bytes\0".repeat((DISK_BYTES / 12) as usize);
    let server = Server::start(vec![answer("200 OK", "", &image)]);
    // Several writes at a time: reading waits for the first of them, and the server's answer is not read to its end yet.
    let (silence, pause) = (Duration::from_secs(1), Duration::from_millis(1500));
    let disk = Arc::new(Slow(Memory::new(None), pause));
    let retries = Retries { count: 0, timeout: silence, ..Retries::default() };
    let outcome = write_from(Location::Http(server.url("/image")), retries, &disk, image.as_bytes(), false).unwrap();
    assert_eq!(outcome.received.resumes, 0, "{:?}", outcome.received.notes);
    assert!(disk.0.content().starts_with(image.as_bytes()));
}

#[test]
fn wrong_bytes_never_reach_the_ends() {
    let disk = Memory::new(None);
    let error = write(&disk, &image(), b"something else", false).unwrap_err();
    assert!(matches!(error, ImageError::Checksum { .. }));
    assert!(!disk.calls().iter().any(touches_an_end));
    assert!(ends_are_empty(&disk.content()));
}

#[test]
fn a_disk_that_fails_at_any_call_is_an_error_and_never_bootable() {
    let good = Memory::new(None);
    write(&good, &image(), &image(), false).unwrap();
    for fail in 0..good.calls().len() {
        let disk = Memory::new(Some(fail));
        let error = write(&disk, &image(), &image(), false).unwrap_err();
        assert!(matches!(error, ImageError::Disk { .. }), "call {fail}: {}", error.chain());
        // A disk that refuses the first wipe keeps what it had; all others were wiped again.
        let content = disk.content();
        assert!(
            ends_are_empty(&content) || content[..1 << 20].iter().all(|byte| *byte == OLD || *byte == 0),
            "call {fail}"
        );
        assert!(fail < 3 || ends_are_empty(&content), "call {fail}");
    }
}

#[test]
fn reading_back_finds_what_the_disk_lost() {
    let disk = Memory::new(None);
    let outcome = write(&disk, &image(), &image(), true).unwrap();
    assert_eq!(outcome.read_back.unwrap().bytes, DISK_BYTES);

    let disk = Memory::new(None);
    let error = write(&Arc::new(Forgetful(Arc::clone(&disk))), &image(), &image(), true).unwrap_err();
    assert!(matches!(error, ImageError::ReadBack { .. }), "{}", error.chain());
    assert!(ends_are_empty(&disk.content()));
}
