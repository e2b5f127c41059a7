//! The step `inject_files` on a disk with a real file system.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ferric_hardware::machine::Machine;
use ferric_steps::options::Options;
use ferric_steps::site::Site;
use ferric_steps::step::{Kind, Step};
use ferric_steps::{ErrorKind, StepError, catalogue};
use ferric_tests::loop_device::LoopDevice;
use serde_json::{Value, json};

/// A disk with two partitions; the second holds ext4 with `etc`, and a link in it that leads out.
struct Disk {
    device: LoopDevice,
}

impl Disk {
    fn new() -> Self {
        let device = LoopDevice::new(64 << 20).unwrap();
        let path = device.path().to_str().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let etc = directory.path().join("tree/etc");
        std::fs::create_dir_all(&etc).unwrap();
        std::fs::write(etc.join("old"), "old").unwrap();
        std::os::unix::fs::symlink("/tmp", etc.join("escape")).unwrap();
        nix::unistd::mkfifo(&etc.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (tree, image) = (directory.path().join("tree"), directory.path().join("ext4"));
        let (tree, image) = (tree.to_str().unwrap(), image.to_str().unwrap());
        for command in [
            vec!["sgdisk", "-n", "1:2048:+4M", "-n", "2:16384:+16M", path],
            vec!["mkfs.ext4", "-q", "-d", tree, image, "16M"],
            vec!["dd", &format!("if={image}"), &format!("of={path}"), "bs=1M", "seek=8", "conv=fsync", "status=none"],
            vec!["partx", "-u", path],
        ] {
            let output = Command::new(command[0]).args(&command[1..]).output().unwrap();
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Self { device }
    }

    fn inject(&self, files: Value) -> Result<Value, StepError> {
        let options = Options {
            allowed_devices: Some(vec![self.device.path().to_path_buf()]),
            steps_dir: "/nonexistent".into(),
            ..Options::default()
        };
        let step = Step::new(Site::new(Machine::host(), options));
        let Value::Object(arguments) = json!({ "files": files }) else { unreachable!() };
        let execution = catalogue::execute(Kind::Deploy, "inject_files", arguments, step);
        tokio::runtime::Runtime::new().unwrap().block_on(execution)
    }

    /// What debugfs says about the file system, past every cache.
    fn debugfs(&self, request: &str) -> String {
        let node = format!("{}p2", self.device.path().display());
        let output = Command::new("debugfs").args(["-R", request, &node]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

#[test]
fn files_are_written_with_their_directories_modes_and_owners_and_removed() {
    let disk = Disk::new();
    disk.inject(json!([
        {"path": "/etc/new/dir/file", "content": encoded("hello\n"), "mode": 0o640, "dirmode": 0o700, "owner": 12, "group": 34},
        {"path": "/etc/old", "deleted": true},
        {"path": "/top", "partition": "2", "content": encoded("top")},
    ]))
    .unwrap();
    assert_eq!(disk.debugfs("cat /etc/new/dir/file"), "hello\n");
    let stat = disk.debugfs("stat /etc/new/dir/file");
    assert!(stat.contains("Mode:  0640") && stat.contains("User:    12") && stat.contains("Group:    34"), "{stat}");
    assert!(disk.debugfs("stat /etc/new/dir").contains("Mode:  0700"));
    assert_eq!(disk.debugfs("cat /etc/old"), "");
    assert_eq!(disk.debugfs("cat /top"), "top");
}

#[test]
fn neither_dots_nor_links_lead_out_of_the_file_system() {
    let disk = Disk::new();
    let name = format!("ferric-escape-{}", std::process::id());
    disk.inject(json!([
        {"path": format!("/etc/../../../../tmp/{name}"), "partition": 2, "content": encoded("dots")},
        {"path": format!("/etc/escape/{name}-link"), "content": encoded("link")},
    ]))
    .unwrap();
    for outside in [format!("/tmp/{name}"), format!("/tmp/{name}-link")] {
        assert!(!std::path::Path::new(&outside).exists(), "{outside} was written in the ramdisk");
    }
    assert_eq!(disk.debugfs(&format!("cat /tmp/{name}")), "dots");
    assert_eq!(disk.debugfs(&format!("cat /tmp/{name}-link")), "link");
}

#[test]
fn a_directory_that_no_partition_has_is_named() {
    let error = Disk::new().inject(json!([{"path": "/opt/x", "content": encoded("x")}])).unwrap_err();
    assert!(error.kind == ErrorKind::DeviceNotFound && error.chain().contains("with path opt"), "{error:?}");
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let disk = Disk::new();
    let error = disk.inject(json!([{"path": "/etc/pipe", "content": encoded("x")}])).unwrap_err();
    assert!(error.kind == ErrorKind::Execution && error.chain().contains("that is no file"), "{}", error.chain());
    // It is not mounted any more.
    disk.inject(json!([{"path": "/etc/pipe", "deleted": true}, {"path": "/etc/pipe", "content": encoded("x")}]))
        .unwrap();
    assert_eq!(disk.debugfs("cat /etc/pipe"), "x");
}

#[test]
fn a_device_that_may_not_be_written_to_is_refused() {
    let error = Disk::new().inject(json!([{"path": "/x", "partition": "/dev/null", "content": ""}])).unwrap_err();
    assert!(error.kind == ErrorKind::DeviceNotFound, "{error:?}");
}
