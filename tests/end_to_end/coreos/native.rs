//! `install_coreos` without coreos-installer, beside the real one: the same image, the same wishes, the same disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use ferric_hardware::machine::Machine;
use ferric_hardware::tool::Tools;
use ferric_ignition::archive::Archive;
use ferric_steps::options::{CoreOs, Options};
use ferric_steps::site::Site;
use ferric_steps::step::{Kind, Step};
use ferric_steps::{ErrorKind, StepError, catalogue};
use ferric_tests::coreos_image::{BootPartition, full_metal_image, metal_image};
use ferric_tests::disk_image::digest;
use ferric_tests::file_server::FileServer;
use ferric_tests::loop_device::LoopDevice;
use serde_json::{Value, json};

use super::installer::Lab;

/// An agent without coreos-installer, and a disk.
fn native(disk: &LoopDevice, instance_info: &Value, arguments: &Value) -> Result<Value, StepError> {
    let options = Options {
        allowed_devices: Some(vec![disk.path().to_path_buf()]),
        host_root: "/nonexistent".into(),
        steps_dir: "/nonexistent".into(),
        core_os: CoreOs { native: true, ..CoreOs::default() },
        ..Options::default()
    };
    let tools = Tools::in_directories(["/usr/bin", "/bin"].map(Into::into), None);
    let site = Site { tools, ..Site::new(Machine::host(), options) };
    let node = json!({"uuid": "1", "automated_clean": false, "instance_info": instance_info});
    let step = Step { node: Arc::new(node), ..Step::new(site) };
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    let execution = catalogue::execute(Kind::Deploy, "install_coreos", arguments, step);
    tokio::runtime::Runtime::new().unwrap().block_on(execution)
}

/// Every file of a boot partition with its mode; the initramfs by what is in it.
fn contents(disk: &Path) -> Result<BTreeMap<String, (String, Vec<u8>)>> {
    let boot = BootPartition::of_disk(disk)?;
    let mut files = BTreeMap::new();
    for path in boot.files()? {
        let mode = boot
            .stat(&path)?
            .split_whitespace()
            .skip_while(|word| *word != "Mode:")
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        files.insert(path.clone(), (mode, boot.read(&path)?));
    }
    Ok(files)
}

#[test]
fn the_boot_partition_is_that_of_coreos_installer() -> Result<()> {
    let lab = Lab::start()?;
    let image = lab.server.url("coreos.raw.xz");
    let node = json!({"image_source": image, "image_os_hash_algo": "sha256",
        "image_os_hash_value": digest("sha256sum", &lab.images.join("coreos.raw.xz"))?});
    let ignition = json!({"ignition": {"version": "3.4.0"}, "passwd": {"users": [{"name": "core"}]}});
    let keyfile = "[connection]\nid=eth0\ntype=ethernet\n";
    for arguments in [
        json!({}),
        json!({"ignition": ignition, "hostname": "node-1"}),
        json!({"ignition": ignition, "append_karg": ["a=1", "b"], "delete_karg": "root=LABEL=root", "hostname": "node-1",
            "firstboot_args": "rd.neednet=1 ip=dhcp", "console": ["ttyS0,115200n8", "tty0"]}),
        json!({"platform": "qemu", "hostname": "node-1"}),
        json!({"platform": "metal", "network_files": {"eth0.nmconnection": keyfile}, "hostname": "node-1"}),
    ] {
        let theirs = lab.install(&node, &arguments)?;
        assert_eq!(theirs["command_status"], "SUCCEEDED", "{theirs}\n{}", lab.agent.log());
        lab.disk.read()?;
        let theirs = contents(&lab.disk.file())?;
        let disk = LoopDevice::new(256 << 20)?;
        native(&disk, &node, &arguments).map_err(|error| anyhow::anyhow!(error.chain()))?;
        disk.read()?;
        let ours = contents(&disk.file())?;
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{arguments}");
        for (path, (mode, content)) in &ours {
            let (their_mode, their_content) = &theirs[path];
            assert_eq!(mode, their_mode, "{path} {arguments}");
            if content == their_content {
                continue;
            }
            // Two versions of xz: what is packed is the same.
            let unpacked = |bytes: &[u8]| -> Result<Vec<(String, Vec<u8>)>> {
                let start =
                    bytes.windows(6).position(|window| window == b"\xfd7zXZ\0").with_context(|| path.clone())?;
                let archive = Archive::decode(&bytes[start..])?;
                Ok(archive
                    .paths()
                    .map(|path| (path.to_owned(), archive.get(path).unwrap_or_default().to_vec()))
                    .collect())
            };
            assert_eq!(unpacked(content)?, unpacked(their_content)?, "{path} {arguments}");
        }
    }
    Ok(())
}

#[test]
fn what_cannot_be_installed_leaves_nothing_bootable() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let image = metal_image(folder.path())?;
    let mut cut = Vec::new();
    fs::File::open(&image)?.read_to_end(&mut cut)?;
    cut.truncate(cut.len() / 2);
    fs::write(folder.path().join("cut.raw.xz"), cut)?;
    fs::write(folder.path().join("empty.raw"), vec![0; 8 << 20])?;
    full_metal_image(folder.path())?;
    let server = FileServer::start(folder.path())?;
    let described = |name: &str| -> Result<Value> {
        let digest = digest("sha256sum", &folder.path().join(name))?;
        Ok(json!({"image_source": server.url(name), "image_os_hash_algo": "sha256", "image_os_hash_value": digest}))
    };
    let good = described("coreos.raw.xz")?;
    let mut wrong = good.clone();
    wrong["image_os_hash_value"] = "0".repeat(64).into();
    let disk = LoopDevice::new(256 << 20)?;
    for (node, arguments, expected) in [
        (wrong, json!({}), "Image failed to verify against checksum"),
        (described("cut.raw.xz")?, json!({}), "xz"),
        (described("empty.raw")?, json!({}), "partition"),
        (described("full.raw.xz")?, json!({"ignition": {"ignition": {"version": "3.4.0"}}}), "No space left on device"),
        (good.clone(), json!({"console": "ttyX"}), "is no console"),
        (good.clone(), json!({"save_partlabel": "data"}), "partitions are saved by coreos-installer only"),
        (json!({"image_source": server.url("coreos.raw.xz")}), json!({}), "could not be verified"),
        (json!({}), json!({}), "can only be unpacked by coreos-installer"),
    ] {
        let error = native(&disk, &node, &arguments).unwrap_err();
        assert!(error.chain().contains(expected), "{expected}: {}", error.chain());
        assert!(disk.read()?[..1 << 20].iter().all(|byte| *byte == 0), "{expected}");
    }
    let small = LoopDevice::new(32 << 20)?;
    let error = native(&small, &good, &json!({})).unwrap_err();
    assert!([ErrorKind::ImageWrite, ErrorKind::Deployment].contains(&error.kind), "{error:?}");
    assert!(small.read()?[..1 << 20].iter().all(|byte| *byte == 0));
    Ok(())
}
