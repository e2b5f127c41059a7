//! Burn-in with the programs that do it, stress-ng and fio, on loop devices and between two networks.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ferric_hardware::machine::Machine;
use ferric_steps::clean::burnin;
use ferric_steps::options::Options;
use ferric_steps::site::Site;
use ferric_steps::step::Step;
use ferric_steps::{ErrorKind, StepError};
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::namespace::Namespace;
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 24 * MIB;

/// A step for which these disks alone exist, with settings of the node.
fn step(disks: &[&LoopDevice], settings: Value) -> Step {
    let allowed_devices: Vec<PathBuf> = disks.iter().map(|disk| disk.path().to_path_buf()).collect();
    let options = Options { allowed_devices: Some(allowed_devices), ..Options::default() };
    let mut step = Step::new(Site::new(Machine::host(), options));
    step.node = Arc::new(json!({"driver_info": settings}));
    step
}

fn name(disk: &LoopDevice) -> String {
    disk.path().display().to_string()
}

#[tokio::test]
async fn processors_and_memory_are_loaded_by_stress_ng() {
    let folder = tempfile::tempdir().unwrap();
    let log = |name: &str| folder.path().join(name).display().to_string();
    let settings = json!({
        "agent_burnin_cpu_cpu": 1, "agent_burnin_cpu_timeout": 1, "agent_burnin_cpu_outputfile": log("cpu"),
        "agent_burnin_vm_vm": 1, "agent_burnin_vm_vm-bytes": "8M", "agent_burnin_vm_timeout": 1,
        "agent_burnin_vm_outputfile": log("memory"),
    });
    let step = step(&[], settings);
    burnin::burnin_cpu(&step).await.unwrap();
    burnin::burnin_memory(&step).await.unwrap();
    for (name, stressor) in [("cpu", "cpu"), ("memory", "vm")] {
        let log = std::fs::read_to_string(log(name)).unwrap();
        assert!(log.contains("successful run completed") && log.contains(stressor), "{log}");
    }
    let refused =
        burnin::burnin_cpu(&self::step(&[], json!({"agent_burnin_cpu_timeout": "for ever"}))).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Execution);
    assert!(refused.chain().contains("stress-ng (cpu) failed with error"), "{}", refused.chain());
}

#[tokio::test]
async fn disks_are_worn_in_by_fio_and_its_report_is_kept() {
    let (one, two) = (LoopDevice::new(SIZE).unwrap(), LoopDevice::with_block_size(SIZE, 4096).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let settings = json!({"agent_burnin_fio_disk_loops": 1, "agent_burnin_fio_disk_outputfile": report});
    let records = burnin::burnin_disk(&step(&[&one, &two], settings)).await.unwrap();
    for disk in [&one, &two] {
        let record = &records[name(disk)];
        assert_eq!(
            (&record["requested"], &record["method"], &record["outcome"]),
            (&json!("burn-in"), &json!("fio"), &json!("passed"))
        );
        assert!(disk.read().unwrap().iter().any(|byte| *byte != 0), "nothing was written");
    }
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("\"fio version\"") && report.contains(&name(&one)), "{report}");
    let left: Vec<_> = std::fs::read_dir(".").unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("verify")), "fio left files: {left:?}");
}

/// A disk that takes only so much.
struct Short {
    disk: LoopDevice,
    folder: tempfile::TempDir,
}

impl Short {
    fn new(takes_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={takes_bytes}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status();
        assert!(mount.unwrap().success());
        Self { disk: LoopDevice::in_directory(folder.path(), SIZE, 512).unwrap(), folder }
    }
}

impl Drop for Short {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
    }
}

fn failed(result: Result<Value, StepError>) -> (String, Value) {
    let error = result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Execution);
    (error.chain(), error.result().unwrap().clone())
}

#[tokio::test]
async fn a_disk_that_fails_is_named_with_its_blocks_by_fio_and_by_ourselves() {
    let well = LoopDevice::new(SIZE).unwrap();
    for by_fio in [true, false] {
        let short = Short::new(12 * MIB);
        let mut step = step(&[&short.disk, &well], json!({"agent_burnin_fio_disk_loops": 1}));
        if !by_fio {
            step.site.tools = ferric_hardware::tool::Tools::in_directories([], None);
        }
        let (text, records) = failed(burnin::burnin_disk(&step).await);
        let (bad, good) = (&records[name(&short.disk)], &records[name(&well)]);
        assert!(text.contains(&format!("\"{}\": bad blocks: ", name(&short.disk))), "{text}");
        assert!(text.contains("cannot be written") && !text.contains(&name(&well)), "{text}");
        assert_eq!(bad["outcome"], "failed", "{records}");
        let first = bad["bad_blocks"][0].as_u64().unwrap();
        assert!((11 * MIB..=12 * MIB).contains(&first), "{first}");
        assert_eq!((&good["outcome"], &good["reason"]), (&json!("passed"), &Value::Null), "{records}");
        if !by_fio {
            assert_eq!((&good["method"], &good["random_passes"]), (&json!("write-and-verify"), &json!(1)));
            assert_eq!(good["verified"], json!({"samples": SIZE / 512, "bytes": SIZE, "found": "as-written"}));
        }
    }
}

#[tokio::test]
async fn a_disk_that_forgets_fails_although_fio_ends_with_success() {
    let disk = LoopDevice::new(SIZE).unwrap();
    let enough = Arc::new(AtomicBool::new(false));
    // Somebody else writes to what lies behind the disk all the time.
    let other = std::thread::spawn({
        let (enough, file) = (enough.clone(), File::options().write(true).open(disk.file()).unwrap());
        move || {
            while !enough.load(Ordering::Relaxed) {
                (0..SIZE / 65536).for_each(|at| file.write_all_at(&[0x5a; 512], at * 65536).unwrap());
            }
        }
    });
    let result = burnin::burnin_disk(&step(&[&disk], json!({"agent_burnin_fio_disk_loops": 2}))).await;
    enough.store(true, Ordering::Relaxed);
    other.join().unwrap();
    let (text, records) = failed(result);
    assert!(text.contains("holds something else than was written"), "{text}");
    assert!(!records[name(&disk)]["bad_blocks"].as_array().unwrap().is_empty(), "{records}");
}

#[test]
fn two_machines_send_each_other_data_in_turn() {
    let (writer, reader) = Namespace::pair().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let burn_in = |namespace: &Namespace, role: &str, partner: &str| {
        let settings = json!({
            "agent_burnin_fio_network_runtime": 1,
            "agent_burnin_fio_network_outputfile": folder.path().join(role),
            "agent_burnin_fio_network_config": {"role": role, "partner": partner},
        });
        let step = step(&[], settings);
        // Two machines that miss each other wait for ever.
        let cancel = step.cancel.clone();
        std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_secs(120));
            cancel.cancel();
        });
        namespace.inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(burnin::burnin_network(&step))?)
        })
    };
    std::thread::scope(|scope| {
        let there = scope.spawn(|| burn_in(&reader, "reader", "192.0.2.1").unwrap());
        burn_in(&writer, "writer", "192.0.2.2").unwrap();
        there.join().unwrap();
    });
    for (machine, role) in [("writer", "writer"), ("writer", "reader"), ("reader", "writer"), ("reader", "reader")] {
        let report = std::fs::read_to_string(folder.path().join(format!("{machine}.{role}"))).unwrap();
        let start = report.find('{').unwrap();
        let report: Value = serde_json::from_str(&report[start..]).unwrap();
        let direction = if role == "writer" { "write" } else { "read" };
        assert!(report["jobs"][0][direction]["io_bytes"].as_u64().unwrap() > MIB, "{machine}, {role}: {report}");
    }
}
