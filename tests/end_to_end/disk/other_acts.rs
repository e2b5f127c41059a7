//! What steps and commands do to a machine beside its disks: links, the hardware clock, crash dumps in the firmware. The
//! kernel, the firmware and the clock chip of the virtual machine say what became of it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use ferric_hardware::machine::Machine as Host;
use ferric_steps::clean::pstore;
use ferric_steps::options::Options;
use ferric_steps::site::Site;
use ferric_steps::step::Step;
use ferric_steps::{clock, lockdown};
use ferric_tests::vm::Machine;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};

/// Modules for [`inside`].
pub(super) const MODULES: [&str; 2] = ["dummy", "efi_pstore"];
/// Where the kernel keeps a crash dump in UEFI firmware: type, part, count, time, and that it is not compressed.
const DUMP: &str = "/sys/firmware/efi/efivars/dump-type0-1-1-1700000000-D-cfc8fc79-be2e-4ddc-97f0-9f98bfe298a0";
const STORE: &str = "/sys/fs/pstore";
const DAY: u64 = 24 * 3600;

/// What the machine needs for [`inside`], beside its modules.
pub(super) fn prepare(machine: &Machine) {
    for program in ["/usr/sbin/ip", "/usr/sbin/hwclock"] {
        machine.program(Path::new(program)).unwrap();
    }
}

pub(super) async fn inside() {
    crash_dumps_leave_the_firmware().await;
    lockdown_takes_links_down_but_not_in_a_local_run();
    the_hardware_clock_follows_the_system_clock();
}

async fn crash_dumps_leave_the_firmware() {
    // Nobody has mounted the store yet: nothing to do.
    let step = Step::new(Site::new(Host::host(), Options::default()));
    pstore::erase_pstore(&step).await.unwrap();
    let mut dump = 7_u32.to_le_bytes().to_vec();
    dump.extend(b"Panic#1 Part1\nthe former user's secret");
    fs::write(DUMP, dump).unwrap();
    run("mount", &["-t", "pstore", "pstore", STORE]);
    let kept = || fs::read_dir(STORE).unwrap().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    assert_eq!(kept().len(), 1, "{:?}", kept());
    assert!(fs::read_to_string(&kept()[0]).unwrap().contains("the former user's secret"));
    pstore::erase_pstore(&step).await.unwrap();
    assert!(kept().is_empty(), "{:?}", kept());
    // The kernel goes on showing the variable's name; the firmware has nothing under it.
    assert!(fs::read(DUMP).unwrap_or_default().is_empty(), "the firmware still has it");
}

fn lockdown_takes_links_down_but_not_in_a_local_run() {
    let is_up = |link: &str| {
        let flags = fs::read_to_string(format!("/sys/class/net/{link}/flags")).unwrap();
        u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap() & 1 != 0
    };
    // The module dummy comes with this one.
    for link in ["lo", "dummy0"] {
        run("ip", &["link", "set", "dev", link, "up"]);
    }
    let local = Options { allowed_devices: Some(Vec::new()), ..Options::default() };
    lockdown::links_down(&Site::new(Host::host(), local));
    assert!(is_up("dummy0"));
    lockdown::links_down(&Site::new(Host::host(), Options::default()));
    assert!(!is_up("dummy0") && is_up("lo"));
}

fn the_hardware_clock_follows_the_system_clock() {
    let chip = || fs::read_to_string("/sys/class/rtc/rtc0/since_epoch").unwrap().trim().parse::<u64>().unwrap();
    let system = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let later = TimeSpec::new((system() + 90 * DAY) as i64, 0);
    clock_settime(ClockId::CLOCK_REALTIME, later).unwrap();
    assert!(system().abs_diff(chip()) > 80 * DAY);
    clock::store(&Site::new(Host::host(), Options::default())).unwrap();
    assert!(system().abs_diff(chip()) < DAY, "{} and {}", system(), chip());
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
