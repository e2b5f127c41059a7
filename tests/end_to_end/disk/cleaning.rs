//! The cleaning steps on several disks: one that cannot be erased fails the step by its name and keeps its content, and
//! the others are erased all the same.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ferric_hardware::machine::Machine;
use ferric_steps::clean::{erase, express, metadata};
use ferric_steps::options::Options;
use ferric_steps::site::Site;
use ferric_steps::step::Step;
use ferric_steps::{ErrorKind, StepError};
use ferric_tests::loop_device::LoopDevice;
use serde_json::{Value, json};

const SIZE_BYTES: u64 = 64 << 20;

fn disk(label: &str) -> LoopDevice {
    let disk = LoopDevice::new(SIZE_BYTES).unwrap();
    assert!(Command::new("mkfs.ext4").args(["-q", "-L", label]).arg(disk.path()).status().unwrap().success());
    disk
}

fn name(disk: &LoopDevice) -> String {
    disk.path().display().to_string()
}

fn has_file_system(disk: &LoopDevice) -> bool {
    disk.read().unwrap()[1024 + 56..][..2] == [0x53, 0xef]
}

/// Something that is undone by a program when the test ends, however it ends.
struct Undone<'a> {
    by: &'static str,
    at: &'a Path,
}

impl Drop for Undone<'_> {
    fn drop(&mut self) {
        // Only fails when it is undone already.
        let _ = Command::new(self.by).arg(self.at).status();
    }
}

/// All three steps, one after the other, on these disks; the error of each, and the records in it.
fn errors_of_all_steps(disks: &[&LoopDevice], properties: Value) -> [(String, Value); 3] {
    let options = Options {
        allowed_devices: Some(disks.iter().map(|disk| disk.path().to_path_buf()).collect()),
        ..Options::default()
    };
    let mut step = Step::new(Site::new(Machine::host(), options));
    let fast = json!({"agent_erase_devices_iterations": 0, "agent_erase_devices_zeroize": true});
    step.node = Arc::new(json!({"properties": properties, "driver_internal_info": fast}));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let text = |result: Result<Value, StepError>| match result {
        Err(error) if error.kind == ErrorKind::BlockDeviceErase => (error.chain(), error.result().unwrap().clone()),
        other => panic!("{other:?}"),
    };
    [
        text(runtime.block_on(metadata::erase_devices_metadata(&step))),
        text(runtime.block_on(express::erase_devices_express(&step))),
        text(runtime.block_on(erase::erase_devices(&step))),
    ]
}

#[test]
fn a_mounted_disk_fails_the_step_and_the_others_are_erased() {
    let (mounted, free) = (disk("mounted"), disk("free"));
    let point = tempfile::tempdir().unwrap();
    assert!(Command::new("mount").arg(mounted.path()).arg(point.path()).status().unwrap().success());
    let _mount = Undone { by: "umount", at: point.path() };
    for error in errors_of_all_steps(&[&mounted, &free], json!({})) {
        let (error, records) = error;
        assert!(error.contains(&name(&mounted)) && error.contains("is mounted at"), "{error}");
        assert!(!error.contains(&name(&free)), "{error}");
        assert_eq!(records[name(&mounted)]["outcome"], "failed", "{records}");
        assert_eq!(records[name(&free)]["outcome"], "erased", "{records}");
    }
    assert!(has_file_system(&mounted) && !has_file_system(&free));
}

#[test]
fn a_disk_with_swap_space_in_use_fails_the_step() {
    let (swap, free) = (LoopDevice::new(SIZE_BYTES).unwrap(), disk("free"));
    assert!(Command::new("mkswap").arg("-q").arg(swap.path()).status().unwrap().success());
    assert!(Command::new("swapon").arg(swap.path()).status().unwrap().success());
    let _swap = Undone { by: "swapoff", at: swap.path() };
    for (error, _) in errors_of_all_steps(&[&swap, &free], json!({})) {
        assert!(error.contains(&name(&swap)) && error.contains("is swap space in use"), "{error}");
    }
    assert!(!has_file_system(&free));
}

/// A discard is proven by samples only: it stands in for an erase command that failed, and a loop device has none.
#[test]
fn a_disk_without_an_erase_command_is_overwritten_and_not_discarded() {
    let disk = disk("kept");
    let mut options = Options { allowed_devices: Some(vec![disk.path().to_path_buf()]), ..Options::default() };
    options.erase.discard = true;
    let mut step = Step::new(Site::new(Machine::host(), options));
    let nothing = json!({"agent_erase_devices_iterations": 0, "agent_erase_devices_zeroize": false});
    step.node = Arc::new(json!({"driver_internal_info": nothing}));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(erase::erase_devices(&step)).unwrap();
    assert!(has_file_system(&disk), "discarded");
}

#[test]
fn a_skip_list_that_cannot_be_understood_fails_the_step_before_any_disk_is_touched() {
    let disk = disk("kept");
    for (error, _) in errors_of_all_steps(&[&disk], json!({"skip_block_devices": [{"size": "<ge> large"}]})) {
        assert!(error.contains(&name(&disk)) && error.contains("skip_block_devices cannot be understood"), "{error}");
    }
    assert!(has_file_system(&disk));
}
