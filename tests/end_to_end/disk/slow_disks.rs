//! Disks that QEMU plugs in, slows down and pulls: many take about as long as one, and one that is pulled in the middle of
//! something is named, while the others go on.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ferric_hardware::block::{self, DevicePolicy, EligibleDevice};
use ferric_hardware::inventory::{self, InventoryOptions};
use ferric_hardware::machine::Machine as Host;
use ferric_steps::clean::erase;
use ferric_steps::clean::record::Outcome;
use ferric_steps::image::{self, Algorithm, Digest, Location, Verify, WriteRequest};
use ferric_steps::options::{Erase, Options};
use ferric_steps::progress::Progress;
use ferric_steps::site::Site;
use ferric_steps::step::Step;
use ferric_tests::image::bootable;
use ferric_tests::vm::Machine;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const MIB: u64 = 1 << 20;
const DISK: u64 = 12 * MIB;
const WRITES_PER_SECOND: u64 = 4 * MIB;
const SERIALS: [&str; 3] = ["SLOW-0", "SLOW-1", "SLOW-2"];
/// Before what was measured.
pub(super) const MEASURED: &str = "FERRIC-VM-MEASURED:";
/// What the machine prints for QEMU to plug them in, and to pull one.
const PLUG: &str = "FERRIC-VM-PLUG";
const PULL_WHILE_ERASED: &str = "FERRIC-VM-PULL-2";
const PULL_WHILE_WRITTEN: &str = "FERRIC-VM-PULL-1";
/// Emulated, on a busy host.
const TIMEOUT: Duration = Duration::from_secs(120);
const IMAGE: &str = "/tmp/slow-image";

/// What the machine needs for [`inside`]: a controller `scsi` and disks to be plugged into it.
pub(super) fn prepare(machine: &mut Machine) {
    let mut plug = Vec::new();
    for serial in SERIALS {
        let file = machine.file(serial);
        fs::File::create(&file).unwrap().set_len(DISK).unwrap();
        let drive = format!(
            "if=none,id=drive-{serial},format=raw,file={},throttling.bps-write={WRITES_PER_SECOND}",
            file.display()
        );
        machine.qemu(&["-drive", &drive]);
        let device = json!({"driver": "scsi-hd", "bus": "scsi.0", "id": serial, "serial": serial,
                            "drive": format!("drive-{serial}")});
        plug.push(json!({"execute": "device_add", "arguments": device}));
    }
    let pull = |serial: &str| vec![json!({"execute": "device_del", "arguments": {"id": serial}})];
    machine.when(PLUG, plug);
    machine.when(PULL_WHILE_ERASED, pull(SERIALS[2]));
    machine.when(PULL_WHILE_WRITTEN, pull(SERIALS[1]));
}

/// Runs in the virtual machine, as the last act of all.
pub(super) async fn inside() {
    println!("{PLUG}");
    let disks = SERIALS.map(plugged_in);
    for disk in &disks {
        let name = disk.name.trim_start_matches("/dev/");
        // A command that zeroes all blocks at once counts as one write for QEMU: the kernel is to write the zeros.
        let command = fs::read_dir(format!("/sys/block/{name}/device/scsi_disk")).unwrap().next().unwrap().unwrap();
        fs::write(command.path().join("max_write_same_blocks"), "0").unwrap();
    }
    equal_disks_take_about_as_long_as_one(&disks).await;
    let looking = Looking::start();
    a_disk_that_is_pulled_while_it_is_erased_stops_no_other(&disks).await;
    a_disk_that_is_pulled_while_an_image_is_written_is_named(&disks[1]).await;
    let left = looking.stop();
    assert_eq!(left, [disks[0].name.clone()], "only that one is still plugged in");
}

fn plugged_in(serial: &str) -> EligibleDevice {
    let host = Host::host();
    let since = Instant::now();
    loop {
        let listing = block::list(&host, &DevicePolicy::default());
        if let Some(disk) = listing.eligible.iter().find(|disk| disk.serial.as_deref() == Some(serial)) {
            return disk.clone();
        }
        assert!(since.elapsed() < TIMEOUT, "{serial} was not plugged in: {listing:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A step for which these disks alone exist.
fn step(disks: &[EligibleDevice], erase: Value) -> Step {
    let allowed_devices = Some(disks.iter().map(|disk| PathBuf::from(&disk.name)).collect());
    let mut step = Step::new(Site::new(Host::host(), Options { allowed_devices, ..Options::default() }));
    step.node = Arc::new(json!({"driver_internal_info": erase}));
    step
}

async fn equal_disks_take_about_as_long_as_one(disks: &[EligibleDevice]) {
    let mut seconds = Vec::new();
    for concurrency in [1, disks.len()] {
        let zeros = json!({"agent_erase_devices_iterations": 0, "disk_erasure_concurrency": concurrency});
        let started = Instant::now();
        let records = erase::erase_devices(&step(disks, zeros)).await.unwrap();
        seconds.push(started.elapsed().as_secs_f64());
        for disk in disks {
            assert_eq!(records[&disk.name]["verified"]["found"], "zeros", "{records}");
        }
    }
    println!("{MEASURED} {} disks one after the other and at once: {seconds:?} s", disks.len());
    assert!(
        seconds[1] < seconds[0] / 2.0,
        "at once they take {:?} s, one after the other {:?} s",
        seconds[1],
        seconds[0]
    );
}

async fn a_disk_that_is_pulled_while_it_is_erased_stops_no_other(disks: &[EligibleDevice]) {
    let random = json!({"agent_erase_devices_iterations": 1, "agent_erase_devices_zeroize": false,
                        "disk_erasure_concurrency": disks.len()});
    let step = step(disks, random);
    let pulled = &disks[2].name;
    let running = tokio::spawn({
        let step = step.clone();
        async move { erase::erase_devices(&step).await }
    });
    wait_for(|| {
        let devices = step.progress.snapshot().map(|now| now.devices).unwrap_or_default();
        devices.iter().any(|device| device.device == *pulled && device.activity == "overwrite" && device.done_bytes > 0)
    })
    .await;
    println!("{PULL_WHILE_ERASED}");
    let error = running.await.unwrap().unwrap_err();
    let text = error.chain();
    assert!(text.contains(&format!("\"{pulled}\": writing at byte ")) && text.contains("the disk is gone"), "{text}");
    let records = error.result().unwrap();
    assert_eq!((&records[pulled]["outcome"], &records[pulled]["serial"]), (&json!("failed"), &json!(SERIALS[2])));
    for disk in &disks[..2] {
        assert!(!text.contains(&disk.name), "{text}");
        assert_eq!(records[&disk.name]["outcome"], "erased", "{records}");
    }
    // What is known of it from before does not make it a disk again.
    let stale = disks[2].clone();
    let record = tokio::task::spawn_blocking(move || erase::erase_named(&step, &[stale], &Erase::default()).remove(0));
    let record = record.await.unwrap();
    assert_eq!((record.outcome, record.serial.as_deref()), (Outcome::Failed, Some(SERIALS[2])), "{record:?}");
    assert!(record.reason.as_deref().unwrap().starts_with("opening: "), "{record:?}");
}

async fn a_disk_that_is_pulled_while_an_image_is_written_is_named(disk: &EligibleDevice) {
    let content = bootable(DISK as usize);
    fs::write(IMAGE, &content).unwrap();
    let verify = Verify::Digest(Digest::of(Algorithm::Sha256, &content));
    let request = WriteRequest::new(vec![Location::parse(IMAGE).unwrap()], disk.clone(), verify);
    let progress = Progress::default();
    let running = tokio::spawn({
        let progress = progress.clone();
        async move { image::write(request, &progress, &CancellationToken::new()).await }
    });
    wait_for(|| progress.snapshot().is_some_and(|now| now.done_bytes > 0)).await;
    println!("{PULL_WHILE_WRITTEN}");
    let error = running.await.unwrap().unwrap_err().chain();
    assert!(error.contains(&disk.name) && error.contains(" at byte "), "{error}");
}

async fn wait_for(fits: impl Fn() -> bool) {
    let since = Instant::now();
    while !fits() {
        assert!(since.elapsed() < TIMEOUT);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Somebody who inspects the machine again and again meanwhile.
struct Looking {
    enough: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl Looking {
    fn start() -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let asked = enough.clone();
        let look = || {
            let options = InventoryOptions { skip_bmc: true, ..InventoryOptions::default() };
            let disks = inventory::collect(&Host::host(), &options).disks;
            let slow = disks.into_iter().filter(|disk| disk.serial.as_deref().is_some_and(|it| SERIALS.contains(&it)));
            slow.map(|disk| disk.name).collect::<Vec<_>>()
        };
        let thread = std::thread::spawn(move || {
            while !asked.load(Ordering::Relaxed) {
                look();
                std::thread::sleep(Duration::from_millis(100));
            }
            look()
        });
        Self { enough, thread }
    }

    /// The disks of this test that are seen at last.
    fn stop(self) -> Vec<String> {
        self.enough.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
