//! The step `install_coreos` with an installer that records how it was called. (The real one has a test of its own.)

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ferric_hardware::machine::Machine;
use ferric_hardware::tool::Tools;
use ferric_steps::options::Options;
use ferric_steps::site::Site;
use ferric_steps::step::{Kind, Step};
use ferric_steps::{ErrorKind, StepError, catalogue};
use ferric_tests::disk_image::{digest, run};
use ferric_tests::file_server::FileServer;
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::wait::wait_until;
use serde_json::{Value, json};

/// How long the step may take to call the installer.
const LIMIT: Duration = Duration::from_secs(60);

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
                      while [ $# -gt 1 ]; do \
                      case $1 in --ignition-file) cp -p $2 config.ign; echo $2 > name;; --network-dir) network=$2;; --image-url) url=$2;; esac; \
                      shift; done";
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
        "--fetch-retries",
        "3",
        "--copy-network",
        "--append-karg",
        "a=1",
        "--append-karg",
        "b c",
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
fn without_an_image_the_live_system_is_the_source() {
    let live = Live::new("");
    let ignition = json!({"ignition": {"version": "3.2.0"}, "systemd": {}});
    let instance_info = json!({"configdrive": {"meta_data": {"coreos_append_karg": "single"}, "user_data": ignition}});
    // The same twice is no contradiction.
    let arguments = json!({"ignition": ignition.to_string(), "append_karg": ["single"]});
    live.install(instance_info, arguments).unwrap();
    assert_eq!(live.arguments()[..4], ["install", "--offline", "--append-karg", "single"]);
    let config: Value = serde_json::from_str(&live.read("config.ign")).unwrap();
    assert_eq!(config["ignition"]["version"], "3.2.0");
}

#[test]
fn every_argument_reaches_the_installer() {
    let live = Live::new("cp -r \"$network\" copied");
    let keyfile = "[connection]\nid=eth0\ntype=ethernet\n";
    let arguments = json!({"delete_karg": "quiet", "append_karg": ["a=1"], "ip_options": "ip=eth0:dhcp", "console": ["ttyS0,115200n8"],
        "platform": "qemu", "firstboot_args": "rd.neednet=1", "save_partlabel": ["data*"], "save_partindex": "5-",
        "network_files": {"eth0.nmconnection": keyfile}, "hostname": "given", "offline": true, "copy_network": "true"});
    live.install(json!({"image_source": "http://192.0.2.1/image"}), arguments).unwrap();
    let said = live.arguments();
    let directory = said[4].clone();
    assert_eq!(said[..5], ["install", "--offline", "--copy-network", "--network-dir", &directory]);
    let expected = "--append-karg a=1 --append-karg ip=eth0:dhcp --delete-karg quiet --console ttyS0,115200n8 --platform qemu \
                    --firstboot-args rd.neednet=1 --save-partlabel data* --save-partindex 5- --ignition-file";
    assert_eq!(said[5..22].join(" "), expected);
    assert_eq!(live.read("copied/eth0.nmconnection"), keyfile);
    assert!(!Path::new(&directory).exists(), "the network connections stayed");
    let config: Value = serde_json::from_str(&live.read("config.ign")).unwrap();
    assert_eq!(config["storage"]["files"][0]["contents"]["source"], "data:,given");
}

#[test]
fn two_places_that_differ_and_arguments_that_make_no_sense_are_refused() {
    let live = Live::new("");
    let drive = json!({"user_data": {"ignition": {"version": "3.4.0"}},
        "meta_data": {"coreos_append_karg": ["a"], "coreos_copy_network": false}});
    let node = json!({"configdrive": drive, "image_source": "http://192.0.2.1/a", "image_checksum": "0".repeat(64)});
    let named = json!({"ignition": {"version": "3.2.0"}, "storage": {"files": [{"path": "/etc/hostname"}]}});
    for (node, arguments, expected) in [
        (
            &node,
            json!({"ignition": {"ignition": {"version": "3.2.0"}}}),
            "the argument ignition and user_data of the config drive",
        ),
        (&node, json!({"append_karg": ["b"]}), "append_karg"),
        (&node, json!({"copy_network": true}), "copy_network"),
        (&node, json!({"image_url": "http://192.0.2.1/b"}), "image_url"),
        (&node, json!({"image_checksum": format!("sha256:{}", "1".repeat(64))}), "image_checksum"),
        (
            &node,
            json!({"offline": true, "image_url": "http://192.0.2.1/a"}),
            "offline and image_url exclude each other",
        ),
        (&json!({}), json!({"hostname": "a b"}), "is not a host name"),
        (&json!({}), json!({"hostname": "a", "ignition": named}), "has its own /etc/hostname"),
        (&json!({}), json!({"append_karg": ["a\nb"]}), "each of one line"),
        (&json!({}), json!({"save_partindex": "0"}), "save_partindex"),
        (&json!({}), json!({"network_files": {"../x": ""}}), "*.nmconnection"),
        (
            &json!({"configdrive": {"network_data": {"links": [{"id": "e", "type": "phy"}],
            "networks": [{"link": "e", "type": "ipv4_dhcp"}]}}}),
            json!({}),
            "links[0].ethernet_mac_address",
        ),
    ] {
        let error = live.install(node.clone(), arguments).unwrap_err().chain();
        assert!(error.contains(expected), "{error}");
    }
    assert!(!live.directory.path().join("runs").exists());
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
        wait_until("the installer runs", LIMIT, || runs.exists());
        std::thread::sleep(Duration::from_millis(200));
        cancel.cancel();
    });
    let execution = catalogue::execute(Kind::Deploy, "install_coreos", serde_json::Map::new(), step);
    let error = tokio::runtime::Runtime::new().unwrap().block_on(execution).unwrap_err();
    stopper.join().unwrap();
    assert!(error.kind == ErrorKind::Cancelled, "{error:?}");
    assert!(live.disk.read().unwrap()[..1 << 20].iter().all(|byte| *byte == 0));
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    for said in ["HTTP status client error (429 Too Many Requests)", "HTTP 503 Service Unavailable"] {
        let live = Live::new(&format!(
            "[ $(wc -l < runs) = 1 ] || exit 0; printf 'Error: fetching image URL\n\nCaused by:\n    {said}\n' >&2; exit 1"
        ));
        live.install(json!({"image_source": "http://192.0.2.1/image"}), json!({})).unwrap();
        assert_eq!(live.runs(), 2);
    }
    let missing = Live::new("printf 'Error: HTTP status client error (404 Not Found)\n' >&2; exit 1");
    missing.install(json!({"image_source": "http://192.0.2.1/image"}), json!({})).unwrap_err();
    assert_eq!(missing.runs(), 1);
}

#[test]
fn what_uses_the_disk_and_a_medium_that_is_gone_are_named() {
    let busy = Live::new(
        "printf 'Partitions in use on /dev/x:\n    /dev/x1 mounted on /mnt\nError: checking for exclusive access to /dev/x\n\n\
         Caused by:\n    found busy partitions\n' >&2; exit 1",
    );
    let error = busy.install(json!({}), json!({})).unwrap_err().to_string();
    assert!(error.contains("found busy partitions Partitions in use on /dev/x: /dev/x1 mounted on /mnt"), "{error}");
    let gone = Live::new("kill -BUS $$");
    let error = gone.install(json!({}), json!({})).unwrap_err().to_string();
    assert!(error.contains("signal 7 (the medium of the live system cannot be read any more)"), "{error}");
}

/// An installer that writes what it is served.
const DOWNLOAD: &str =
    "curl -sf \"$url\" -o served || { echo 'Error: decoding and writing image' >&2; exit 1; }; cat served > $disk";

#[test]
fn an_image_with_a_digest_is_verified_on_its_way_to_the_installer() {
    let content: Vec<u8> = (0..5_000_000u32).map(|number| (number % 251) as u8).collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("image"), &content).unwrap();
    let server = FileServer::start(folder.path()).unwrap();
    let digest = digest("sha256sum", &folder.path().join("image")).unwrap();
    let node = |digest: &str| json!({"image_source": server.url("image"), "image_os_hash_algo": "sha256", "image_os_hash_value": digest});

    let live = Live::new(DOWNLOAD);
    live.install(node(&digest), json!({})).unwrap();
    assert!(live.arguments()[2].starts_with("http://127.0.0.1:") && live.arguments()[2] != server.url("image"));
    assert_eq!(std::fs::read(live.directory.path().join("served")).unwrap(), content);

    let live = Live::new(DOWNLOAD);
    let error = live.install(node(&"0".repeat(64)), json!({})).unwrap_err();
    assert_eq!(error.kind, ErrorKind::ImageChecksum, "{error:?}");
    assert!(std::fs::read(live.directory.path().join("served")).unwrap().len() < content.len());
    assert_eq!(live.runs(), 1);

    let missing = json!({"image_source": server.url("missing"), "image_checksum": digest});
    let error = Live::new(DOWNLOAD).install(missing, json!({})).unwrap_err();
    assert_eq!(error.kind, ErrorKind::ImageDownloadFatal, "{error:?}");
    assert!(error.chain().contains("404"), "{}", error.chain());

    let live = Live::new("printf 'half an image' > $disk");
    let error = live.install(node(&digest), json!({})).unwrap_err();
    assert!(error.to_string().contains("without reading the image to its end"), "{error}");
    assert!(live.disk.read().unwrap()[..1 << 20].iter().all(|byte| *byte == 0));
}

#[test]
fn an_installer_that_is_stopped_leaves_the_partitions_that_were_to_be_saved() {
    let live = Live::new("sgdisk -n 0:0:+1M -c 0:later $disk; touch written; exec sleep 600");
    let disk = live.disk.path().display().to_string();
    run("sgdisk", &["-n", "3:20M:+8M", "-c", "3:data", "-n", "1:1M:+8M", "-c", "1:former", &disk]).unwrap();
    let step = live.step(&json!({}));
    let cancel = step.cancel.clone();
    let written = live.directory.path().join("written");
    let stopper = std::thread::spawn(move || {
        wait_until("the installer runs", LIMIT, || written.exists());
        cancel.cancel();
    });
    let arguments = json!({"save_partlabel": ["dat?"]});
    let execution = catalogue::execute(Kind::Deploy, "install_coreos", arguments.as_object().unwrap().clone(), step);
    let error = tokio::runtime::Runtime::new().unwrap().block_on(execution).unwrap_err();
    stopper.join().unwrap();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    let table = run("sgdisk", &["-p", &disk]).unwrap();
    assert!(table.contains("data") && !table.contains("former") && !table.contains("later"), "{table}");
}
