//! Every fault of a server against every packing: the right disk, or an error and a disk that cannot boot.

use std::path::Path;
use std::time::{Duration, Instant};

use ferric_hardware::block::{self, DevicePolicy, EligibleDevice};
use ferric_hardware::machine::Machine;
use ferric_steps::http::Authorization;
use ferric_steps::image::{self, Algorithm, Digest, ImageError, Location, Retries, Verify, WriteRequest, WriteSummary};
use ferric_steps::progress::Progress;
use ferric_tests::fault_server::{Behaviour, Fault, FaultServer, Ranges};
use ferric_tests::image::{Packing, State, bootable, state, used_disk};
use ferric_tests::loop_device::LoopDevice;
use nix::errno::Errno;
use tokio_util::sync::CancellationToken;

/// As large as the disks of these tests, so that both ends matter.
pub(super) const IMAGE_BYTES: usize = 6 << 20;

fn eligible(disk: &LoopDevice) -> EligibleDevice {
    let machine = Machine::host();
    let policy = DevicePolicy { allowed: Some(vec![disk.path().to_path_buf()]), skip: Vec::new() };
    block::list(&machine, &policy).find(&machine, disk.path().to_str().unwrap()).unwrap().clone()
}

pub(super) fn request(disk: &LoopDevice, urls: &[String], file: &[u8]) -> WriteRequest {
    let digest = Digest::of(Algorithm::Sha256, file);
    let locations = urls.iter().map(|url| Location::parse(url).unwrap()).collect();
    let retries = Retries {
        count: 4,
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(500),
        max_duration: None,
    };
    WriteRequest { retries, ..WriteRequest::new(locations, eligible(disk), Verify::Digest(digest)) }
}

pub(super) fn write(request: WriteRequest) -> Result<WriteSummary, ImageError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(image::write(request, &Progress::default(), &CancellationToken::new()))
}

/// Serves `file` with `faults` and writes it to a fresh disk.
fn attempt(
    image: &[u8],
    file: &[u8],
    behaviour: Behaviour,
    faults: &[Fault],
) -> (Result<WriteSummary, ImageError>, State) {
    let disk = used_disk(IMAGE_BYTES as u64).unwrap();
    attempt_on(&disk, image, file, behaviour, faults)
}

fn attempt_on(
    disk: &LoopDevice,
    image: &[u8],
    file: &[u8],
    behaviour: Behaviour,
    faults: &[Fault],
) -> (Result<WriteSummary, ImageError>, State) {
    let server = FaultServer::start(file.to_vec(), behaviour, faults.to_vec()).unwrap();
    let outcome = write(request(disk, &[server.url("/image")], file));
    (outcome, state(disk, image).unwrap())
}

#[test]
fn transfers_that_break_anywhere_go_on_where_they_stopped() {
    let image = bootable(IMAGE_BYTES);
    for packing in Packing::ALL {
        let file = packing.pack(&image).unwrap();
        for at in [0, 1, 511, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, file.len() / 2, file.len() - 1] {
            let at = at.min(file.len() - 1);
            let (outcome, state) = attempt(&image, &file, Behaviour::default(), &[Fault::Drop(at)]);
            let summary = outcome.unwrap_or_else(|e| panic!("{packing:?} dropped at {at}: {}", e.chain()));
            assert_eq!(state, State::Written, "{packing:?} dropped at {at}");
            assert_eq!(summary.resumes, u32::from(at > 0), "{packing:?} dropped at {at}");
            assert_eq!(summary.served_bytes, file.len() as u64);
        }
    }
}

#[test]
fn passing_trouble_is_overcome() {
    let image = bootable(IMAGE_BYTES);
    let file = Packing::Zstd.pack(&image).unwrap();
    let middle = file.len() / 2;
    let chunked = Behaviour { length: false, ..Behaviour::default() };
    let untagged = Behaviour { etag: None, ..Behaviour::default() };
    for (behaviour, faults) in [
        (Behaviour::default(), vec![Fault::Status(500), Fault::Status(503), Fault::Status(429), Fault::Drop(0)]),
        (Behaviour::default(), vec![Fault::Stall(middle)]),
        (
            Behaviour::default(),
            vec![Fault::Drop(middle), Fault::Drop(middle), Fault::Status(502), Fault::Drop(middle + 9)],
        ),
        (Behaviour::default(), vec![Fault::Drip(4 << 10, Duration::from_micros(100))]),
        (Behaviour::default(), vec![Fault::Drop(middle), Fault::NoRange]),
        (chunked, vec![Fault::Drop(middle), Fault::Stall(middle + 1)]),
        (untagged, vec![Fault::Drop(middle)]),
        // The file becomes another one half-way, and then the first one again.
        (Behaviour::default(), vec![Fault::Drop(middle), Fault::Changed(vec![7; 9 << 20])]),
    ] {
        let (outcome, state) = attempt(&image, &file, behaviour, &faults);
        outcome.unwrap_or_else(|e| panic!("{faults:?}: {}", e.chain()));
        assert_eq!(state, State::Written, "{faults:?}");
    }
}

#[test]
fn wrong_bytes_leave_a_disk_that_cannot_boot() {
    let image = bootable(IMAGE_BYTES);
    for packing in Packing::ALL {
        let file = packing.pack(&image).unwrap();
        for fault in
            [Fault::Flip(file.len() - 70), Fault::Flip(file.len() / 2), Fault::Shorter(1), Fault::Shorter(1000)]
        {
            let (outcome, state) = attempt(&image, &file, Behaviour::default(), std::slice::from_ref(&fault));
            let Err(error) = outcome else { panic!("{packing:?} {fault:?} was accepted") };
            assert!(matches!(error, ImageError::Checksum { .. }), "{packing:?} {fault:?}: {}", error.chain());
            // A file may be found to be cut, or its parts not to fit together, before anything is written.
            let divided = [Packing::ZstdFrames, Packing::XzBlocks, Packing::Bzip2, Packing::Bzip2Streams];
            let early = matches!(fault, Fault::Shorter(_)) || divided.contains(&packing);
            assert!(state == State::Wiped || early && state == State::Untouched, "{packing:?} {fault:?}: {state:?}");
        }
    }
}

#[test]
fn servers_that_never_deliver_leave_a_disk_that_cannot_boot() {
    let image = bootable(IMAGE_BYTES);
    for packing in [Packing::Raw, Packing::Gzip] {
        let file = packing.pack(&image).unwrap();
        let middle = file.len() / 2;
        for fault in [Fault::Drop(middle), Fault::Stall(middle), Fault::Longer(1), Fault::Longer(10 << 20)] {
            let disk = used_disk((IMAGE_BYTES + (16 << 20)) as u64).unwrap();
            let server = FaultServer::always(file.clone(), Behaviour::default(), fault.clone()).unwrap();
            let outcome = write(request(&disk, &[server.url("/image")], &file));
            let Err(error) = outcome else { panic!("{packing:?} {fault:?} was accepted") };
            assert!(matches!(error, ImageError::Download(_) | ImageError::DownloadFatal(_)), "{}", error.chain());
            assert_eq!(state(&disk, &image).unwrap(), State::Wiped, "{packing:?} {fault:?}");
        }
    }
}

#[test]
fn refusals_at_the_start_leave_the_disk_untouched() {
    let image = bootable(IMAGE_BYTES);
    let larger = bootable(IMAGE_BYTES + 512);
    let qcow2 = [b"QFI\xfb\0\0\0\x09".as_slice(), &[0; 4096]].concat();
    for (file, fault, expected) in [
        (&image, Fault::Status(404), "DownloadFatal"),
        (&image, Fault::Status(401), "DownloadFatal"),
        (&image, Fault::Status(500), "Download"),
        (&image, Fault::Status(204), "DownloadFatal"),
        (&larger, Fault::None, "TooLarge"),
        (&qcow2, Fault::None, "Invalid"),
    ] {
        let disk = used_disk(IMAGE_BYTES as u64).unwrap();
        let server = FaultServer::always(file.clone(), Behaviour::default(), fault.clone()).unwrap();
        let error = write(request(&disk, &[server.url("/image")], file)).unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{fault:?}: {error:?}");
        assert_eq!(state(&disk, &image).unwrap(), State::Untouched, "{fault:?}");
    }
}

#[test]
fn a_range_that_was_not_asked_for_is_not_used() {
    let image = bootable(IMAGE_BYTES);
    let faults = [Fault::Drop(3 << 20), Fault::WrongRange(0)];
    let (outcome, state) = attempt(&image, &image, Behaviour::default(), &faults);
    // The next one is right.
    assert_eq!(outcome.unwrap().resumes, 2);
    assert_eq!(state, State::Written);
}

#[test]
fn a_refused_range_is_no_refused_file() {
    let image = bootable(IMAGE_BYTES);
    for ranges in [
        Ranges::Refused(400),
        Ranges::Refused(403),
        Ranges::Refused(404),
        Ranges::Refused(405),
        Ranges::Refused(406),
        Ranges::Refused(416),
        Ranges::Refused(500),
        Ranges::Refused(501),
        Ranges::Refused(503),
        Ranges::RefusedAll(403),
        Ranges::RefusedAll(416),
        Ranges::RefusedAll(502),
        Ranges::Ignored,
        Ranges::Unlabelled,
        Ranges::Lying,
        Ranges::Earlier(4096),
        Ranges::Earlier(usize::MAX),
        Ranges::Capped(100 << 10),
        Ranges::Capped(1),
    ] {
        // One byte at a time is for small files only.
        let is_slow = ranges == Ranges::Capped(1);
        for packing in Packing::ALL {
            let file = packing.pack(&image).unwrap();
            // Without a break, where qcow2 looks for its tables in advance; and with one, where all formats resume.
            for cut in [None, Some(file.len() / 2), Some(file.len() - 40)] {
                if is_slow && cut.is_some_and(|cut| cut < file.len() - 100) || ranges == Ranges::Lying && cut.is_some()
                {
                    continue;
                }
                let what = format!("{ranges:?} {packing:?} {cut:?}");
                let behaviour = Behaviour { ranges, ..Behaviour::default() };
                let faults: Vec<Fault> = cut.map(Fault::Drop).into_iter().collect();
                let (outcome, state) = attempt(&image, &file, behaviour, &faults);
                outcome.unwrap_or_else(|e| panic!("{what}: {}", e.chain()));
                assert_eq!(state, State::Written, "{what}");
            }
        }
    }
}

#[test]
fn another_server_goes_on_where_the_first_one_stopped() {
    let image = bootable(IMAGE_BYTES);
    let first = FaultServer::start(image.clone(), Behaviour::default(), vec![Fault::Drop(2 << 20)]).unwrap();
    let gone = FaultServer::always(image.clone(), Behaviour::default(), Fault::Status(404)).unwrap();
    let second = FaultServer::start(image.clone(), Behaviour::default(), Vec::new()).unwrap();
    // The first one is asked once more and breaks again; then it is the other's turn.
    let disk = used_disk(IMAGE_BYTES as u64).unwrap();
    let urls = [gone.url("/a"), first.url("/b"), second.url("/c")];
    write(request(&disk, &urls, &image)).unwrap();
    assert_eq!(state(&disk, &image).unwrap(), State::Written);
    assert_eq!(gone.journal().len(), 1, "404 is not asked again");
}

#[test]
fn a_mirror_with_a_wrong_file_is_left_for_the_next() {
    let image = bootable(IMAGE_BYTES);
    let stale = FaultServer::start(bootable(IMAGE_BYTES - 512), Behaviour::default(), Vec::new()).unwrap();
    let good = FaultServer::start(image.clone(), Behaviour::default(), Vec::new()).unwrap();
    let disk = used_disk(IMAGE_BYTES as u64).unwrap();
    let summary = write(request(&disk, &[stale.url("/a"), good.url("/b")], &image)).unwrap();
    assert_eq!(state(&disk, &image).unwrap(), State::Written);
    assert!(summary.notes.iter().any(|note| note.contains("verification checksum")), "{:?}", summary.notes);
}

#[test]
fn authorization_reaches_the_origin_and_no_other_host() {
    let image = bootable(2 << 20);
    let protected = Behaviour { authorization: Some("Basic dXNlcjpzZWNyZXQ=".into()), ..Behaviour::default() };
    let server = FaultServer::start(image.clone(), protected, Vec::new()).unwrap();
    let disk = used_disk(IMAGE_BYTES as u64).unwrap();
    let mut with_password = request(&disk, &[server.url("/image")], &image);
    with_password.http.authorization = Some(Authorization::Basic("user".into(), "secret".into()));
    write(with_password.clone()).unwrap();
    assert_eq!(state(&disk, &image).unwrap(), State::Written);

    let other = FaultServer::start(image.clone(), Behaviour::default(), Vec::new()).unwrap();
    let redirecting = Behaviour { redirect: Some(other.url("/there")), ..Behaviour::default() };
    let origin = FaultServer::start(image, redirecting, Vec::new()).unwrap();
    with_password.locations = vec![Location::parse(&origin.url("/here")).unwrap()];
    write(with_password).unwrap();
    assert!(origin.journal().iter().all(|request| request.authorization.is_some()));
    assert!(other.journal().iter().all(|request| request.authorization.is_none() && request.path == "/there"));
}

#[test]
fn a_transfer_past_its_time_limit_ends() {
    let image = bootable(IMAGE_BYTES);
    let drip = Fault::Drip(32 << 10, Duration::from_millis(20));
    let server = FaultServer::always(image.clone(), Behaviour::default(), drip).unwrap();
    let disk = used_disk(IMAGE_BYTES as u64).unwrap();
    let mut limited = request(&disk, &[server.url("/image")], &image);
    limited.retries.max_duration = Some(Duration::from_millis(1500));
    let error = write(limited).unwrap_err();
    assert!(matches!(error, ImageError::DownloadTimeout(_)), "{}", error.chain());
    assert_eq!(state(&disk, &image).unwrap(), State::Wiped);
}

#[test]
fn a_cancelled_transfer_leaves_a_disk_that_cannot_boot() {
    let image = bootable(IMAGE_BYTES);
    let server = FaultServer::always(image.clone(), Behaviour::default(), Fault::Stall(3 << 20)).unwrap();
    let disk = used_disk(IMAGE_BYTES as u64).unwrap();
    let mut patient = request(&disk, &[server.url("/image")], &image);
    patient.retries.timeout = Duration::from_secs(600);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (progress, cancel) = (Progress::default(), CancellationToken::new());
    let outcome = runtime.block_on(async {
        let stop = async {
            let since = Instant::now();
            while progress.snapshot().is_none_or(|snapshot| snapshot.done_bytes < 2 << 20) {
                assert!(since.elapsed() < Duration::from_secs(60), "the transfer has not begun");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            cancel.cancel();
        };
        tokio::join!(image::write(patient, &progress, &cancel), stop).0
    });
    assert!(matches!(outcome, Err(ImageError::Cancelled)), "{outcome:?}");
    assert_eq!(state(&disk, &image).unwrap(), State::Wiped);
}

#[test]
fn a_disk_that_is_too_short_or_read_only_is_not_touched() {
    let image = bootable(IMAGE_BYTES);
    for packing in Packing::ALL {
        let file = packing.pack(&image).unwrap();
        let server = FaultServer::start(file.clone(), Behaviour::default(), Vec::new()).unwrap();
        let disk = used_disk(IMAGE_BYTES as u64).unwrap();
        let request = request(&disk, &[server.url("/image")], &file);
        let set = |flag: &str| {
            assert!(std::process::Command::new("blockdev").arg(flag).arg(disk.path()).status().unwrap().success());
        };
        set("--setro");
        let error = write(request).unwrap_err();
        set("--setrw");
        assert!(matches!(error, ImageError::Device(_) | ImageError::Disk { .. }), "{packing:?}: {error:?}");
        assert_eq!(state(&disk, &image).unwrap(), State::Untouched, "{packing:?}");

        let short = used_disk(IMAGE_BYTES as u64 - 512).unwrap();
        let (outcome, state) = attempt_on(&short, &image, &file, Behaviour::default(), &[]);
        assert!(matches!(outcome, Err(ImageError::TooLarge { .. })), "{packing:?}: {outcome:?}");
        // How large a compressed image is becomes known only when it does not fit any more.
        let compressed = !matches!(packing, Packing::Raw | Packing::Qcow2 | Packing::PackedQcow2);
        assert_eq!(state, if compressed { State::Wiped } else { State::Untouched }, "{packing:?}");
    }
}

#[test]
fn a_disk_that_cannot_take_the_image_is_an_error() {
    for packing in Packing::ALL {
        a_full_disk_is_an_error(packing);
    }
}

fn a_full_disk_is_an_error(packing: Packing) {
    // Nothing that would fit after all because it takes no room.
    let image: Vec<u8> = bootable(IMAGE_BYTES).iter().map(|byte| byte | 1).collect();
    let file = packing.pack(&image).unwrap();
    // The file system behind the disk has room for half of the image.
    let directory = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(directory.path())
        .status()
        .unwrap();
    assert!(mounted.success());
    let outcome = std::panic::catch_unwind(|| {
        let disk = LoopDevice::in_directory(directory.path(), IMAGE_BYTES as u64, 512).unwrap();
        let server = FaultServer::start(file.clone(), Behaviour::default(), Vec::new()).unwrap();
        let error = write(request(&disk, &[server.url("/image")], &file)).unwrap_err();
        assert!(matches!(error, ImageError::Disk { .. }), "{packing:?}: {}", error.chain());
        assert_eq!(state(&disk, &image).unwrap(), State::Wiped, "{packing:?}");
    });
    let unmounted = unmount(directory.path());
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
    unmounted.unwrap();
}

/// Unmounts what a loop device was in: the kernel lets go of its file a moment after the device is gone.
fn unmount(directory: &Path) -> nix::Result<()> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match nix::mount::umount(directory) {
            Err(Errno::EBUSY) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            outcome => return outcome,
        }
    }
}
