//! The partitions that arrays are made of, what mdadm is asked for and what is refused: on loop devices, beside the Python
//! agent's own code. Arrays themselves are made in `software_raid`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use ferric_hardware::machine::Machine;
use ferric_hardware::tool::Tools;
use ferric_steps::ErrorKind;
use ferric_steps::clean::raid;
use ferric_steps::options::Options;
use ferric_steps::site::Site;
use ferric_steps::step::Step;
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::peers;
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
/// No whole number of MiB.
const DISK: u64 = 4 * 1024 * MIB + 512 * 4096;

/// What came of a configuration: for each disk its partitions, as `sfdisk` tells first sector and number of sectors, and
/// the arrays that were asked for; or why not.
#[derive(Debug, PartialEq)]
struct Made {
    partitions: Vec<Vec<String>>,
    asked: Result<Vec<String>, String>,
}

fn logical(level: &str, size: Value, more: Value) -> Value {
    let mut disk = json!({"raid_level": level, "size_gb": size, "controller": "software"});
    disk.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    disk
}

/// Names of partitions differ between loop devices and disks: a partition is a disk of the list and a number. As no array
/// comes of it here, ours all have the same number.
fn neutral(word: &str, devices: &[PathBuf]) -> String {
    if word.trim_start_matches("/dev/").strip_prefix("md").is_some_and(|number| number.parse::<u8>().is_ok()) {
        return "md".to_string();
    }
    let names = devices.iter().enumerate().map(|(index, device)| (index, device.to_str().unwrap()));
    let longest = names.filter(|(_, name)| word.starts_with(name)).max_by_key(|(_, name)| name.len());
    match longest.map(|(index, name)| (index, word[name.len()..].trim_start_matches('p'))) {
        Some((index, number)) if !number.is_empty() => format!("disk{index}-{number}"),
        _ => word.to_string(),
    }
}

fn partitions(disk: &Path) -> Vec<String> {
    let output = Command::new("sfdisk").arg("--dump").arg(disk).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let fields = |line: &str| {
        let (_, fields) = line.split_once(" : ")?;
        let words: Vec<&str> = fields.split(',').take(2).map(str::trim).collect();
        Some(words.join(" ").split_whitespace().collect::<Vec<_>>().join(" "))
    };
    text.lines().filter_map(fields).collect()
}

/// In the order of a listing, which is not the one in which they were made where other tests let go of some.
fn disks(count: usize, block: u32) -> Vec<LoopDevice> {
    let mut disks: Vec<_> = (0..count).map(|_| LoopDevice::with_block_size(DISK, block).unwrap()).collect();
    disks.sort_by_key(|disk| disk.path().to_str().unwrap()["/dev/loop".len()..].parse::<u32>().unwrap());
    disks
}

fn ours(node: &Value, count: usize, block: u32) -> Made {
    let disks = disks(count, block);
    let devices: Vec<PathBuf> = disks.iter().map(|disk| disk.path().to_path_buf()).collect();
    let folder = tempfile::tempdir().unwrap();
    let (log, program) = (folder.path().join("log"), folder.path().join("mdadm"));
    fs::write(&program, format!("#!/bin/sh\necho \"$*\" >> {}\n", log.display())).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let options = Options { allowed_devices: Some(devices.clone()), ..Options::default() };
    let site = Site {
        tools: Tools::in_directories([folder.path().to_path_buf()], None),
        ..Site::new(Machine::host(), options)
    };
    let step = Step { node: Arc::new(node.clone()), ..Step::new(site) };
    let made = tokio::runtime::Runtime::new().unwrap().block_on(raid::create_configuration(&step));
    let asked = made.map_err(|error| {
        assert_eq!(error.kind, ErrorKind::SoftwareRaid);
        error.to_string()
    });
    let asked = asked.map(|_| {
        let lines = fs::read_to_string(&log).unwrap_or_default();
        let lines = lines.lines().filter(|line| line.starts_with("--create"));
        lines.map(|line| line.split(' ').map(|word| neutral(word, &devices)).collect::<Vec<_>>().join(" ")).collect()
    });
    Made { partitions: devices.iter().map(|disk| partitions(disk)).collect(), asked }
}

/// The Python agent's code, which answers as long as this is there.
struct Python(Child, BufReader<ChildStdout>);

impl Python {
    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/judge_raid.py");
        let mut python = Command::new(peers::folder().unwrap().join("venv/bin/python"))
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let answers = BufReader::new(python.stdout.take().unwrap());
        Self(python, answers)
    }

    fn made(&mut self, node: &Value, count: usize, block: u32) -> Made {
        let disks = disks(count, block);
        let devices: Vec<PathBuf> = disks.iter().map(|disk| disk.path().to_path_buf()).collect();
        writeln!(self.0.stdin.as_ref().unwrap(), "{}", json!({"node": node, "devices": devices})).unwrap();
        let mut answer = String::new();
        assert!(self.1.read_line(&mut answer).unwrap() > 0, "{node}: no answer");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let line = |command: &Value| {
            let words = command.as_array().unwrap().iter();
            words.map(|word| neutral(word.as_str().unwrap(), &devices)).collect::<Vec<_>>().join(" ")
        };
        let asked = match answer["error"].as_str() {
            Some(error) => Err(error.to_string()),
            None => Ok(answer["create"].as_array().unwrap().iter().map(line).collect()),
        };
        Made { partitions: devices.iter().map(|disk| partitions(disk)).collect(), asked }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn node(capabilities: &str, logical_disks: &[Value]) -> Value {
    json!({"uuid": "n", "instance_info": {}, "driver_internal_info": {}, "properties": {"capabilities": capabilities},
        "target_raid_config": {"logical_disks": logical_disks}})
}

#[test]
fn partitions_and_arrays_are_those_of_the_python_agent() {
    let max = || json!("MAX");
    let none = || json!({});
    let modes =
        ["boot_mode:uefi", "boot_mode:bios", "boot_mode:bios,disk_label:gpt", "secure_boot:true,boot_mode:bios"];
    let mut cases: Vec<(Value, usize, u32)> = modes
        .iter()
        .map(|mode| (node(mode, &[logical("1", json!(1), none()), logical("1+0", max(), none())]), 4, 512))
        .collect();
    cases.push((
        node(modes[0], &[logical("1", max(), json!({"volume_name": "root", "is_root_volume": true}))]),
        2,
        512,
    ));
    cases.push((node(modes[0], &[logical("1", max(), none()), logical("5", json!("2"), none())]), 3, 4096));
    cases.push((node(modes[1], &[logical("1", json!(1), none()), logical("0", json!(2), none())]), 2, 512));
    let mut instance = node("", &[logical("1", json!(2), none()), logical("6", json!(1), none())]);
    instance["instance_info"] = json!({"deploy_boot_mode": "uefi"});
    cases.push((instance, 4, 512));
    let mut python = Python::start();
    for (node, count, block) in cases {
        let (ours, theirs) = (ours(&node, count, block), python.made(&node, count, block));
        assert!(ours.asked.is_ok() && ours.partitions.iter().all(|disk| !disk.is_empty()), "{node}: {ours:?}");
        assert_eq!(ours, theirs, "{node}");
    }
}

#[test]
fn what_is_refused_is_refused_in_the_same_words_and_no_disk_is_touched() {
    let max = || json!("MAX");
    let none = || json!({});
    let one = || logical("1", json!(1), none());
    let hints = |hints: Value| [logical("1", max(), json!({"physical_disks": hints}))];
    let mut cases = vec![
        node("", &[one(), one(), one()]),
        node("", &[logical("0", max(), none())]),
        node("", &[logical("1", max(), none()), logical("0", max(), none())]),
        node("", &[one(), logical("50", max(), none())]),
        node("", &[one(), logical("5", max(), none())]),
        node("", &[one(), logical("6", max(), none())]),
        node("", &[one(), logical("1", max(), json!({"controller": "megaraid"}))]),
        node(
            "",
            &[logical("1", json!(1), json!({"volume_name": "a"})), logical("1", max(), json!({"volume_name": "a"}))],
        ),
        node(
            "",
            &[
                logical("1", json!(1), json!({"is_root_volume": true})),
                logical("1", max(), json!({"is_root_volume": true})),
            ],
        ),
        node("", &hints(json!([{"name": "/dev/sda"}]))),
        node("", &hints(json!(["/dev/sda", "/dev/sdb"]))),
        node("", &hints(json!("/dev/sda"))),
        node("", &hints(json!([]))),
    ];
    let wrong = json!({"controller": "x", "is_root_volume": true, "volume_name": "a", "physical_disks": [1]});
    let others = json!({"is_root_volume": true, "volume_name": "a", "physical_disks": [{}]});
    let several = [("5", &wrong), ("6", &wrong), ("1", &others)];
    cases.push(node("", &several.map(|(level, more)| logical(level, max(), more.clone()))));
    cases.push(node(
        "",
        &several[1..].iter().map(|(level, more)| logical(level, max(), (*more).clone())).collect::<Vec<_>>(),
    ));
    let mut unnamed = node("", &[one(), logical("0", max(), none())]);
    unnamed["properties"]["skip_block_devices"] = json!([{"volume_name": "data"}]);
    cases.push(unnamed);
    let mut python = Python::start();
    for node in cases {
        let (ours, theirs) = (ours(&node, 2, 512), python.made(&node, 2, 512));
        assert!(ours.asked.is_err(), "{node}");
        assert_eq!(ours, theirs, "{node}");
    }
    // The Python agent has made a table before it sees that these cannot be.
    for size in [json!(0), json!("all"), json!(5)] {
        let refused = ours(&node("", &[logical("1", size, none())]), 2, 512);
        assert!(refused.asked.is_err(), "{refused:?}");
        assert_eq!(refused.partitions, [[""; 0], []], "{refused:?}");
    }
}
