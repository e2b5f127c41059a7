//! Disks with blocks that cannot be written or read, and disks that forget, made by the device mapper: the result is an
//! error that names the device, and a disk that cannot boot.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ferric_hardware::block::{self, DevicePolicy, EligibleDevice};
use ferric_hardware::machine::Machine as Host;
use ferric_hardware::units::Bytes;
use ferric_steps::StepError;
use ferric_steps::clean::record::{Found, Outcome, Record};
use ferric_steps::clean::{burnin, erase};
use ferric_steps::image::{self, Algorithm, Digest, ImageError, Location, Region, Verify, WriteRequest};
use ferric_steps::options::{Erase, Options};
use ferric_steps::progress::Progress;
use ferric_steps::site::Site;
use ferric_steps::step::Step;
use ferric_tests::image::bootable;
use ferric_tests::vm::Machine;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// The disk below, of which only the first part is used.
const BELOW: &str = "/dev/sda";
const DISK: &str = "/dev/dm-1";
const IMAGE: &str = "/tmp/image";
const MIB: usize = 1 << 20;
const DISK_BYTES: usize = 8 * MIB;
/// Sectors that fail, together.
const BAD: usize = 8;
/// In the first end of the disk; in data and in a run of zeroes of [`bootable`].
const FIRST: usize = 64 << 10;
const DATA: usize = 3 * MIB;
const ZEROES: usize = (17 * 192 + 64) << 10;

/// What the machine needs for [`inside`], beside its modules.
pub(super) fn prepare(machine: &Machine) {
    machine.program(Path::new("/sbin/dmsetup")).unwrap();
}

fn dmsetup(arguments: &[&str]) {
    let output = Command::new("dmsetup").args(arguments).args(["--noudevsync", "--noudevrules"]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The disk full of an older installation, and mapped so that `target` takes the place of some sectors at byte `at`.
fn failing(at: usize, target: &str) -> EligibleDevice {
    let mut old = vec![0xa5; DISK_BYTES];
    old[510..512].copy_from_slice(&[0x55, 0xaa]);
    let below = File::options().write(true).open(BELOW).unwrap();
    below.write_all_at(&old, 0).unwrap();
    below.sync_all().unwrap();
    drop(below);
    let (at, after, end) = (at / 512, at / 512 + BAD, DISK_BYTES / 512);
    let mut table = format!("0 {at} linear {BELOW} 0\n{at} {BAD} {}\n", target.replace("AT", &at.to_string()));
    if after < end {
        table.push_str(&format!("{after} {} linear {BELOW} {after}\n", end - after));
    }
    // A mapping that calls itself a multipath one counts as a disk.
    dmsetup(&["create", "failing", "--uuid", "mpath-failing", "--table", &table]);
    let host = Host::host();
    assert_eq!(host.read("/sys/block/dm-1/dm/name").as_deref(), Some("failing"));
    block::list(&host, &DevicePolicy::default()).find(&host, DISK).unwrap().clone()
}

/// What the disk below holds, where the mapping does not stand in the way.
fn content() -> Vec<u8> {
    let mut content = vec![0; DISK_BYTES];
    let below = File::open(BELOW).unwrap();
    ferric_hardware::ioctl::flush_buffers(&below).unwrap();
    below.read_exact_at(&mut content, 0).unwrap();
    content
}

/// Writes an image that fills the disk, or the region, where `target` fails at byte `at`; gives back why that ended and
/// whether all that can be written of a range is zero.
async fn attempt(at: usize, target: &str, region: Option<Region>) -> (ImageError, impl Fn(Range<usize>) -> bool) {
    let image = bootable(region.map_or(DISK_BYTES, |region| region.len.0 as usize));
    fs::write(IMAGE, &image).unwrap();
    let verify = Verify::Digest(Digest::of(Algorithm::Sha256, &image));
    let mut request = WriteRequest::new(vec![Location::parse(IMAGE).unwrap()], failing(at, target), verify);
    (request.read_back, request.region) = (true, region);
    let outcome = image::write(request, &Progress::default(), &CancellationToken::new()).await;
    dmsetup(&["remove", "failing"]);
    let Err(error) = outcome else { panic!("{target} at {at} was not noticed") };
    assert!(matches!(error, ImageError::Disk { .. } | ImageError::ReadBack { .. }), "{error:?}");
    let bad = if target == "error" { at..at + BAD * 512 } else { 0..0 };
    let content = content();
    (error, move |range: Range<usize>| range.filter(|byte| !bad.contains(byte)).all(|byte| content[byte] == 0))
}

/// Runs in the virtual machine, on a disk that nobody needs.
pub(super) async fn inside() {
    let image = bootable(DISK_BYTES);
    assert!(image[DATA..][..BAD * 512].iter().any(|byte| *byte != 0));
    assert!(image[ZEROES..][..BAD * 512].iter().all(|byte| *byte == 0));
    dmsetup(&["create", "unreadable", "--table", &format!("0 {BAD} error")]);
    let unreadable = format!("delay /dev/dm-0 0 0 {BELOW} AT 0");
    let forgetful = format!("flakey {BELOW} AT 0 600 1 drop_writes");
    for (at, target, expected) in [
        (FIRST, "error", "wiping /dev/dm-1 at byte 0"),
        (DATA, "error", "writing /dev/dm-1 at byte 3145728"),
        (ZEROES, "error", "zeroing /dev/dm-1 at byte "),
        (DISK_BYTES - BAD * 512, "error", "wiping /dev/dm-1 at byte 7340032"),
        (DATA, unreadable.as_str(), "reading back /dev/dm-1 at byte 3145728"),
        (DATA, forgetful.as_str(), "/dev/dm-1 does not read back as it was written"),
    ] {
        let (error, is_wiped) = attempt(at, target, None).await;
        assert!(error.to_string().starts_with(expected), "{target} at {at}: {}", error.chain());
        assert!(is_wiped(0..MIB), "{target} at {at}: the first end is not empty");
        assert!(is_wiped(DISK_BYTES - MIB..DISK_BYTES), "{target} at {at}: the last end is not empty");
    }
    // A partition image: the ends of the disk are those of no partition.
    let region = Region { start: Bytes::mib(2), len: Bytes::mib(4), keeps_table: false };
    let (error, is_wiped) = attempt(FIRST, "error", Some(region)).await;
    assert!(error.to_string().starts_with("wiping the ends of /dev/dm-1"), "{}", error.chain());
    for end in [0, 2, 5, 7] {
        assert!(is_wiped(end * MIB..(end + 1) * MIB), "the MiB at {end} is not empty");
    }
    erasing().await;
    burning_in().await;
    dmsetup(&["remove", "unreadable"]);
}

const OVERWRITE_WITH_ZEROS: Erase = Erase {
    iterations: 0,
    zeroize: true,
    continue_if_secure_erase_failed: false,
    nvme: true,
    ata: true,
    discard: false,
    concurrency: 1,
    skip_read_only: false,
    guard: true,
    verify_percent: 100,
    stall: Duration::from_secs(600),
};

async fn erased(disk: EligibleDevice, options: Erase) -> Record {
    let step = Step::new(Site::new(Host::host(), Options::default()));
    tokio::task::spawn_blocking(move || erase::erase_named(&step, &[disk], &options).remove(0)).await.unwrap()
}

/// Erasing disks that fail, forget or hang: the record says which block, and the disk does not count as erased.
async fn erasing() {
    let random = Erase { iterations: 1, zeroize: false, ..OVERWRITE_WITH_ZEROS };
    let forgetful = format!("flakey {BELOW} AT 0 600 1 drop_writes");
    for (target, options, expected) in [
        ("error", OVERWRITE_WITH_ZEROS, "zeroing at byte 3145728: "),
        ("error", random, "reading at byte 3145728: "),
        (forgetful.as_str(), OVERWRITE_WITH_ZEROS, "byte 3145728 is not zero after erasing"),
    ] {
        let record = erased(failing(DATA, target), options).await;
        dmsetup(&["remove", "failing"]);
        assert_eq!(record.outcome, Outcome::Failed, "{record:?}");
        assert!(record.reason.as_deref().unwrap().starts_with(expected), "{target}: {record:?}");
    }

    // A disk whose controller hangs is given up, and left alone when it comes back.
    let disk = failing(DATA, &format!("linear {BELOW} AT"));
    dmsetup(&["suspend", "--noflush", "--nolockfs", "failing"]);
    let record = erased(disk, Erase { stall: Duration::from_secs(2), ..OVERWRITE_WITH_ZEROS }).await;
    assert_eq!(record.outcome, Outcome::Failed, "{record:?}");
    assert!(record.reason.as_deref().unwrap().contains("does not answer any more"), "{record:?}");
    dmsetup(&["resume", "failing"]);
    dmsetup(&["remove", "--retry", "failing"]);
    assert!(content()[DATA..][..BAD * 512].iter().all(|byte| *byte == 0xa5), "it was erased after it was given up");

    // And one that is well is erased, and every byte of it looked at.
    let record = erased(failing(DATA, &format!("linear {BELOW} AT")), OVERWRITE_WITH_ZEROS).await;
    dmsetup(&["remove", "failing"]);
    assert_eq!(record.outcome, Outcome::Erased, "{record:?}");
    let verified = record.verified.unwrap();
    assert_eq!((verified.bytes, verified.found), (DISK_BYTES as u64, Found::Zeros));
    assert!(content().iter().all(|byte| *byte == 0));
}

/// Burning in disks that fail or forget, where fio is missing: the blocks are named.
async fn burning_in() {
    let forgetful = format!("flakey {BELOW} AT 0 600 1 drop_writes");
    let unreadable = format!("delay /dev/dm-0 0 0 {BELOW} AT 0");
    for (target, expected) in [
        ("error", "bad blocks: 8 (byte 3145728 cannot be written, byte 3146240 cannot be written, "),
        (unreadable.as_str(), "bad blocks: 8 (byte 3145728 cannot be read, byte 3146240 cannot be read, "),
        (forgetful.as_str(), "bad blocks: 8 (byte 3145728 holds something else than was written, "),
    ] {
        failing(DATA, target);
        let error = burnt_in().await.unwrap_err();
        dmsetup(&["remove", "failing"]);
        assert!(error.chain().contains(&format!("\"{DISK}\": {expected}")), "{target}: {}", error.chain());
        let record = &error.result().unwrap()[DISK];
        let blocks: Vec<usize> = (0..BAD).map(|block| DATA + block * 512).collect();
        assert_eq!((&record["outcome"], &record["bad_blocks"]), (&json!("failed"), &json!(blocks)), "{record}");
    }
    failing(DATA, &format!("linear {BELOW} AT"));
    let records = burnt_in().await.unwrap();
    dmsetup(&["remove", "failing"]);
    let record = &records[DISK];
    assert_eq!((&record["outcome"], &record["method"]), (&json!("passed"), &json!("write-and-verify")), "{record}");
    assert_eq!((&record["bytes"], &record["random_passes"]), (&json!(2 * DISK_BYTES), &json!(2)), "{record}");
    assert_eq!(record["verified"]["bytes"], json!(2 * DISK_BYTES), "{record}");
}

async fn burnt_in() -> Result<Value, StepError> {
    let options = Options { allowed_devices: Some(vec![DISK.into()]), ..Options::default() };
    let mut step = Step::new(Site::new(Host::host(), options));
    step.node = Arc::new(json!({"driver_info": {"agent_burnin_fio_disk_loops": 2}}));
    burnin::burnin_disk(&step).await
}
