//! The step `install_coreos` with an installer that records how it was called. (The real one has a test of its own.)

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use ferric_hardware::machine::Machine;
use ferric_hardware::tool::Tools;
use ferric_steps::options::Options;
use ferric_steps::site::Site;
use ferric_steps::step::{Kind, Step};
use ferric_steps::{ErrorKind, StepError, catalogue};
use ferric_tests::loop_device::LoopDevice;
use serde_json::{Value, json};

/// A disk, and a directory with an installer that is a shell script.
struct Live {
    disk: LoopDevice,
    directory: tempfile::TempDir,
}

impl Live {
    fn new(script: &str) -> Self {
        let live = Self { disk: LoopDevice::new(64 << 20).unwrap(), directory: tempfile::tempdir().unwrap() };
        let path = live.directory.path().join("coreos-installer");
        let record = "printf '%s\\n' \"$@\" > arguments; echo run >> runs; \
                      while [ $# -gt 1 ]; do [ $1 = --ignition-file ] && { cp -p $2 config.ign; echo $2 > name; }; shift; done";
        let home = live.directory.path().display();
        std::fs::write(&path, format!("#!/bin/sh\ncd {home}\n{record}\ndisk=$1\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        live
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    fn arguments(&self) -> Vec<String> {
        self.read("arguments").lines().map(str::to_string).collect()
    }

    fn runs(&self) -> usize {
        self.read("runs").lines().count()
    }

    fn step(&self, instance_info: &Value) -> Step {
        let options = Options {
            allowed_devices: Some(vec![self.disk.path().to_path_buf()]),
            host_root: "/nonexistent".into(),
            steps_dir: "/nonexistent".into(),
            ..Options::default()
        };
        let node = json!({"uuid": "1", "automated_clean": false, "instance_info": instance_info});
        let directories = [self.directory.path(), Path::new("/usr/bin"), Path::new("/bin")].map(Path::to_path_buf);
        let tools = Tools::in_directories(directories, None);
        let site = Site { tools, ..Site::new(Machine::host(), options) };
        Step { node: Arc::new(node), ..Step::new(site) }
    }

    fn install(&self, instance_info: Value, arguments: Value) -> Result<Value, StepError> {
        let Value::Object(arguments) = arguments else { panic!("no object") };
        let execution = catalogue::execute(Kind::Deploy, "install_coreos", arguments, self.step(&instance_info));
        tokio::runtime::Runtime::new().unwrap().block_on(execution)
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_string()
}

#[test]
fn the_installer_gets_what_the_config_drive_says() {
    let live = Live::new("echo 'Read disk 1.0 MiB/2.0 MiB (50%)' >&2; echo 'Install complete.' >&2");
    let instance_info = json!({"image_source": "http://host/image.raw.xz", "configdrive": {
        "meta_data": {"coreos_append_karg": ["a=1", "b c"], "coreos_copy_network": true},
        "user_data": {"ignition": {"version": "3.4.0"}, "passwd": {"users": []}}}});
    assert_eq!(live.install(instance_info, json!({})).unwrap(), Value::Null);
    let arguments = live.arguments();
    let start = [
        "install",
        "--image-url",
        "http://host/image.raw.xz",
        "--insecure",
        "--append-karg",
        "a=1",
        "--append-karg",
        "b c",
        "--copy-network",
        "--ignition-file",
    ];
    assert_eq!(arguments[..start.len()], start);
    assert_eq!(arguments[start.len() + 1], "--ignition-hash");
    assert!(arguments[start.len() + 2].starts_with("sha256-"));
    assert_eq!(arguments.last().map(Path::new), Some(live.disk.path()));
    let config: Value = serde_json::from_str(&live.read("config.ign")).unwrap();
    assert_eq!(config["passwd"], json!({"users": []}));
    if !hostname().starts_with("localhost") {
        assert_eq!(config["storage"]["files"][0]["path"], "/etc/hostname");
    }
    let mode = std::fs::metadata(live.directory.path().join("config.ign")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!Path::new(live.read("name").trim()).exists(), "the Ignition file stayed");
}

#[test]
fn the_argument_beats_the_config_drive_and_without_an_image_the_live_system_is_the_source() {
    let live = Live::new("");
    let ignition = json!({"ignition": {"version": "3.2.0"}, "systemd": {}}).to_string();
    let instance_info = json!({"configdrive": {"meta_data": {"coreos_append_karg": "single"},
        "user_data": {"ignition": {"version": "3.4.0"}}}});
    live.install(instance_info, json!({"ignition": ignition})).unwrap();
    assert_eq!(live.arguments()[..4], ["install", "--offline", "--append-karg", "single"]);
    let config: Value = serde_json::from_str(&live.read("config.ign")).unwrap();
    assert_eq!(config["ignition"]["version"], "3.2.0");
}

#[test]
fn a_configuration_that_cannot_work_is_refused_before_the_installer_runs() {
    let live = Live::new("");
    for (instance_info, expected) in [
        (json!({"configdrive": "aGVsbG8="}), "Cannot use a pre-rendered configdrive, please pass it as JSON data"),
        (json!({"configdrive": {"user_data": "{"}}), "not valid JSON"),
        (json!({"configdrive": {"user_data": {"ignition": {"version": "2.2.0"}}}}), "has version 2.2.0"),
    ] {
        let error = live.install(instance_info, json!({})).unwrap_err();
        assert!(error.kind == ErrorKind::Deployment && error.chain().contains(expected), "{error:?}");
    }
    let error = live.install(json!({}), json!({"colour": "red"})).unwrap_err();
    assert!(error.to_string().contains("unexpected keyword argument 'colour'"), "{error}");
    assert!(!live.directory.path().join("runs").exists());
}

#[test]
fn a_failure_is_tried_three_times_and_reported_with_its_causes() {
    let live = Live::new(
        "printf 'Downloading image\\nError: decoding and writing image\\n\\nCaused by:\\n    input/output error\\n' >&2; exit 1",
    );
    let error =
        live.install(json!({"configdrive": {"user_data": {"ignition": {"version": "3.4.0"}}}}), json!({})).unwrap_err();
    assert_eq!(
        error.to_string(),
        "coreos-installer failed with code 1: Error: decoding and writing image Caused by: input/output error"
    );
    assert_eq!(live.runs(), 3);
    assert!(!Path::new(live.read("name").trim()).exists(), "the Ignition file stayed");
}

#[test]
fn what_cannot_get_better_is_not_tried_again() {
    let live = Live::new("echo 'Error: cannot perform offline install; metadata missing' >&2; exit 1");
    live.install(json!({}), json!({})).unwrap_err();
    assert_eq!(live.runs(), 1);
}

#[test]
fn an_installer_that_is_stopped_leaves_a_disk_that_cannot_boot() {
    let live = Live::new("printf 'half an image' > $disk; exec sleep 600");
    let step = live.step(&json!({}));
    let cancel = step.cancel.clone();
    let runs = live.directory.path().join("runs");
    let stopper = std::thread::spawn(move || {
        while !runs.exists() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        cancel.cancel();
    });
    let execution = catalogue::execute(Kind::Deploy, "install_coreos", serde_json::Map::new(), step);
    let error = tokio::runtime::Runtime::new().unwrap().block_on(execution).unwrap_err();
    stopper.join().unwrap();
    assert!(error.kind == ErrorKind::Cancelled, "{error:?}");
    assert!(live.disk.read().unwrap()[..1 << 20].iter().all(|byte| *byte == 0));
}
