//! Ramdisks of others: a kernel and an initramfs, an ISO that was not made for us, CoreOS' live system. One file for all
//! machines is made of them, and every machine's arguments are laid over it.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use conductor_stub::config::Config;
use conductor_stub::coreos::agent::CoreosIpa;
use ferric_ignition::archive::Archive;
use ferric_ignition::live_iso::LiveIso;
use ferric_ignition::uki::{self, Uki};
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::live_iso::live_iso;

/// The newest kernel of this host.
fn kernel() -> PathBuf {
    let kernels = fs::read_dir("/boot").unwrap().map(|entry| entry.unwrap().path());
    kernels.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("vmlinuz-")).max().unwrap()
}

/// Has the node inspected as far as its machine is on, and returns what that was given.
async fn boot(bench: &Bench, interface: &str) -> Vec<u8> {
    bench.verb("inspect", "inspect wait").await;
    let url = match interface {
        "redfish-virtual-media" => bench.redfish("/VirtualMedia/Cd").await["Image"].as_str().unwrap().to_owned(),
        _ => bench.boot_url().await,
    };
    let served = bench.client.get(url).send().await.unwrap().bytes().await.unwrap().to_vec();
    bench.verb("abort", "inspect failed").await;
    bench.assert_clear().await;
    bench.verb("manage", "manageable").await;
    served
}

/// What a program says of an image.
pub(crate) fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The file `path` of an ISO.
pub(crate) fn extracted(iso: &Path, path: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    said("xorriso", &["-osirrox", "on", "-indev", iso.to_str().unwrap(), "-extract", path, file.to_str().unwrap()]);
    fs::read_to_string(file).unwrap()
}

/// Where UEFI finds the EFI system partition of an ISO, in bytes; its file system is one that dosfstools has nothing against.
fn sound_system_partition(iso: &Path) -> u64 {
    let catalogue = said("xorriso", &["-indev", iso.to_str().unwrap(), "-report_el_torito", "plain"]);
    let uefi = catalogue.lines().find(|line| line.starts_with("El Torito boot img") && line.contains("UEFI")).unwrap();
    let offset = uefi.split_whitespace().next_back().unwrap().parse::<u64>().unwrap() * 2048;
    let folder = tempfile::tempdir().unwrap();
    let partition = folder.path().join("esp");
    fs::write(&partition, &fs::read(iso).unwrap()[offset as usize..]).unwrap();
    said("fsck.vfat", &["-n", partition.to_str().unwrap()]);
    offset
}

/// The lines of a configuration that are no comments.
fn commands(config: &str) -> Vec<&str> {
    config.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect()
}

/// The script by which iPXE boots what the node names, and what stands behind the URLs in it.
async fn scripted(bench: &Bench, bios: bool) -> (String, Vec<Vec<u8>>) {
    let conductor = &bench.server.conductor;
    let node = conductor.find("n1").unwrap();
    let base = conductor.ramdisks.sources.for_ipxe(&node, bios).await.unwrap();
    let url = conductor.ramdisks.issue_script(&node, base, vec!["one=1".parse().unwrap()]).await.unwrap();
    let fetch = async |url: &str| bench.client.get(url).send().await.unwrap().bytes().await.unwrap().to_vec();
    let script = String::from_utf8(fetch(&url).await).unwrap();
    let mut files = Vec::new();
    for line in script
        .lines()
        .filter(|line| ["kernel ", "initrd ", "chain ", "sanboot "].iter().any(|command| line.starts_with(command)))
    {
        files.push(fetch(line.split(' ').find(|word| word.starts_with("http://")).unwrap()).await);
    }
    conductor.ramdisks.withdraw(node.uuid).unwrap();
    conductor.media.shelf().tidy().unwrap();
    assert_eq!(bench.client.get(&url).send().await.unwrap().status().as_u16(), 404);
    (script, files)
}

fn assert_told(line: &str, bench: &Bench) {
    let callback = format!("ipa-inspection-callback-url=http://{}/v1/continue_inspection", bench.server.address);
    for word in [callback.as_str(), "BOOTIF=01-52-54-00-aa-bb-01", "ipa-agent-token="] {
        assert!(line.contains(word), "{word} is not in {line}");
    }
}

#[tokio::test]
async fn a_kernel_and_an_initramfs_become_a_program_and_an_iso_once() {
    let bench = Bench::start(Config { kernel_append_params: "nofb".into(), ..Config::default() }).await;
    bench.enrol("redfish-https", json!({"deploy_efi": ""})).await;
    bench.verb("manage", "manageable").await;
    let initramfs = bench.folder.path().join("ipa.initramfs");
    fs::write(&initramfs, vec![7; 100_000]).unwrap();
    // By URL: any server will do.
    let artefacts = &bench.server.conductor.artefacts;
    let other = uuid::Uuid::new_v4();
    for (key, file) in [("deploy_kernel", &kernel()), ("deploy_ramdisk", &initramfs)] {
        bench.driver_info(key, &artefacts.publish(other, key, file).unwrap()).await;
    }
    for _ in 0..2 {
        let program = boot(&bench, "redfish-https").await;
        let uki = Uki::read(Cursor::new(&program)).unwrap();
        assert_told(uki.kernel_arguments(), &bench);
        assert!(uki.kernel_arguments().ends_with(" nofb"), "{}", uki.kernel_arguments());
        let section = uki::section(&mut Cursor::new(&program), b".initrd").unwrap().unwrap();
        assert_eq!(program[section.offset as usize..][..section.length as usize], vec![7; 100_000]);
    }
    bench.driver_info("kernel_append_params", "%default% ipa-debug=1").await;
    bench
        .call(
            reqwest::Method::PATCH,
            "/v1/nodes/n1",
            Some(json!([{"op": "add", "path": "/boot_interface", "value": "redfish-virtual-media"}])),
        )
        .await;
    let iso = bench.folder.path().join("served.iso");
    fs::write(&iso, boot(&bench, "redfish-virtual-media").await).unwrap();
    let grub = extracted(&iso, "/boot/grub/grub.cfg");
    let line = commands(&grub).into_iter().find(|line| line.starts_with("linux /boot/vmlinuz ")).unwrap();
    assert_told(line, &bench);
    assert!(line.ends_with(" nofb ipa-debug=1"), "{line}");
    sound_system_partition(&iso);
    let catalogue = said("xorriso", &["-indev", iso.to_str().unwrap(), "-report_el_torito", "plain"]);
    assert!(catalogue.contains("UEFI") && catalogue.contains("BIOS"), "{catalogue}");
    let kept = bench.call(reqwest::Method::GET, "/stub/media", None).await;
    let sources: Vec<&str> =
        kept["kept"].as_array().unwrap().iter().map(|entry| entry["source"].as_str().unwrap()).collect();
    assert_eq!(sources.len(), 4, "two files, and what was made of them: {sources:?}");
    // iPXE boots them as they are, and an EFI program where it can.
    for bios in [false, true] {
        let (script, files) = scripted(&bench, bios).await;
        assert!(script.contains("/agent.kernel initrd=main one=1 || goto failed\n"), "{script}");
        assert_eq!(files, [fs::read(kernel()).unwrap(), vec![7; 100_000]]);
    }
    bench.driver_info("deploy_efi", bench.folder.path().join("ramdisk.efi").to_str().unwrap()).await;
    let (script, files) = scripted(&bench, false).await;
    assert!(script.contains("\nchain --timeout 60000 http://"), "{script}");
    assert!(Uki::read(Cursor::new(&files[0])).unwrap().kernel_arguments().ends_with(" one=1"));
    assert!(scripted(&bench, true).await.0.contains("/agent.kernel "), "a BIOS starts no EFI program");
    bench.driver_info("deploy_efi", "").await;
    // One alone is a mistake.
    bench.driver_info("deploy_ramdisk", "").await;
    let failed = bench.verb("inspect", "inspect failed").await;
    assert!(failed["last_error"].as_str().unwrap().contains("driver_info/deploy_ramdisk, too"), "{failed}");
}

/// An ISO as a distribution makes it: GRUB for UEFI, ISOLINUX's configuration, and entries of systemd-boot in the EFI system
/// partition.
pub(crate) fn stock_iso(folder: &Path) -> PathBuf {
    let (tree, iso, esp) = (folder.join("stock"), folder.join("stock.iso"), folder.join("stock-esp.img"));
    for directory in ["boot/grub", "isolinux", "live"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
    }
    fs::write(tree.join("live/vmlinuz"), "a kernel").unwrap();
    fs::write(
        tree.join("boot/grub/grub.cfg"),
        "menuentry 'live' {\n    linux /live/vmlinuz boot=live --- quiet\n    initrd /live/initrd\n}\n",
    )
    .unwrap();
    fs::write(
        tree.join("isolinux/live.cfg"),
        "label live\n  kernel /live/vmlinuz\n  append boot=live initrd=/live/initrd\n",
    )
    .unwrap();
    fs::write(tree.join("isolinux/isolinux.bin"), vec![0; 4096]).unwrap();
    let entry = folder.join("entry.conf");
    fs::write(&entry, "title live\nlinux /live/vmlinuz\noptions boot=live\n").unwrap();
    said("mkfs.vfat", &["-C", esp.to_str().unwrap(), "2048"]);
    said("mmd", &["-i", esp.to_str().unwrap(), "::/loader", "::/loader/entries"]);
    said("mcopy", &["-i", esp.to_str().unwrap(), entry.to_str().unwrap(), "::/loader/entries/live.conf"]);
    said(
        "xorriso",
        &[
            "-as",
            "mkisofs",
            "-quiet",
            "-r",
            "-V",
            "STOCK LIVE",
            "-o",
            iso.to_str().unwrap(),
            "-partition_offset",
            "16",
            "-append_partition",
            "2",
            "0xef",
            esp.to_str().unwrap(),
            "-appended_part_as_gpt",
            "-b",
            "isolinux/isolinux.bin",
            "-no-emul-boot",
            "-boot-load-size",
            "4",
            "-boot-info-table",
            "-eltorito-alt-boot",
            "-e",
            "--interval:appended_partition_2:all::",
            "-no-emul-boot",
            tree.to_str().unwrap(),
        ],
    );
    iso
}

#[tokio::test]
async fn an_iso_of_others_takes_arguments_in_every_boot_loader() {
    let bench = Bench::start(Config::default()).await;
    let stock = stock_iso(bench.folder.path());
    bench.enrol("redfish-virtual-media", json!({"deploy_iso": stock})).await;
    bench.verb("manage", "manageable").await;
    let served = bench.folder.path().join("served.iso");
    fs::write(&served, boot(&bench, "redfish-virtual-media").await).unwrap();
    let path = served.to_str().unwrap();
    let grub = extracted(&served, "/boot/grub/grub.cfg");
    let line = commands(&grub)[1].to_owned();
    assert_told(&line, &bench);
    assert!(line.starts_with("    linux /live/vmlinuz boot=live ") && line.ends_with(" --- quiet"), "{line}");
    assert_eq!(commands(&grub)[2..], ["    initrd /live/initrd", "}"]);
    let isolinux = extracted(&served, "/isolinux/live.cfg");
    assert_told(commands(&isolinux)[2], &bench);
    assert!(commands(&isolinux)[2].starts_with("  append boot=live initrd=/live/initrd "), "{isolinux}");
    let report = |iso: &str, what: &str| said("xorriso", &["-indev", iso, what, "plain"]);
    let catalogue = report(path, "-report_el_torito");
    let offset = sound_system_partition(&served);
    let entry = said("mtype", &["-i", &format!("{path}@@{offset}"), "::/loader/entries/live.conf"]);
    assert_told(commands(&entry)[2], &bench);
    // What makes it boot, and what it is found by, is as it was.
    let kinds = |report: String| -> Vec<String> {
        report
            .lines()
            .filter(|line| line.starts_with("El Torito boot img"))
            .map(|line| line.split_whitespace().nth(6).unwrap().to_owned())
            .collect()
    };
    assert_eq!(kinds(catalogue), kinds(report(stock.to_str().unwrap(), "-report_el_torito")));
    assert!(said("xorriso", &["-indev", path, "-pvd_info"]).contains("STOCK LIVE"));
    assert!(report(path, "-report_system_area").contains("GPT"), "{}", report(path, "-report_system_area"));

    // One that nothing is known of boots as it is, and its agent looks itself up.
    let silent = bench.folder.path().join("silent");
    fs::create_dir(&silent).unwrap();
    fs::write(silent.join("x"), "x").unwrap();
    let unknown = bench.folder.path().join("unknown.iso");
    said("xorriso", &["-as", "mkisofs", "-quiet", "-o", unknown.to_str().unwrap(), silent.to_str().unwrap()]);
    bench.driver_info("deploy_iso", unknown.to_str().unwrap()).await;
    assert_eq!(boot(&bench, "redfish-virtual-media").await, fs::read(&unknown).unwrap());
}

#[tokio::test]
async fn every_node_boots_coreos_with_an_ignition_config_of_its_own() {
    let images = tempfile::tempdir().unwrap();
    fs::rename(live_iso(images.path(), 1).unwrap(), images.path().join("ironic-python-agent.iso")).unwrap();
    let coreos_ipa = CoreosIpa {
        enabled: true,
        agent_image: "registry.example:5000/ferric/agent:1".into(),
        kernel_append_params: "console=ttyS0".into(),
        images: images.path().to_owned(),
        ..CoreosIpa::default()
    };
    let bench = Bench::start(Config { coreos_ipa, ..Config::default() }).await;
    bench.enrol("redfish-virtual-media", json!({"deploy_efi": ""})).await;
    bench.verb("manage", "manageable").await;
    let served = boot(&bench, "redfish-virtual-media").await;
    let iso = LiveIso::read(Cursor::new(&served)).unwrap();
    let line = iso.kernel_arguments().unwrap().to_owned();
    assert_told(&line, &bench);
    assert!(line.starts_with("coreos.liveiso=x ignition.firstboot ") && line.ends_with(" console=ttyS0"), "{line}");
    let config: Value = serde_json::from_slice(iso.ignition().unwrap()).unwrap();
    let text = config.to_string();
    assert!(text.contains("registry.example:5000/ferric/agent:1") && text.contains("ferric-agent.service"), "{text}");

    // By HTTP the parts are enough: one program, with room for the config behind its initramfs.
    fs::copy(kernel(), images.path().join("ironic-python-agent.kernel")).unwrap();
    let mut parts = Archive::default();
    parts.insert("init", "x");
    let initramfs = [&parts.encode()[..], &[0; 3]].concat();
    fs::write(images.path().join("ironic-python-agent.initramfs"), &initramfs).unwrap();
    fs::write(images.path().join("ironic-python-agent.rootfs"), "a root file system").unwrap();
    bench
        .call(
            reqwest::Method::PATCH,
            "/v1/nodes/n1",
            Some(json!([{"op": "add", "path": "/boot_interface", "value": "redfish-https"}])),
        )
        .await;
    let program = boot(&bench, "redfish-https").await;
    let uki = Uki::read(Cursor::new(&program)).unwrap();
    assert_told(uki.kernel_arguments(), &bench);
    for word in [
        "ignition.firstboot ignition.platform.id=metal ",
        " coreos.live.rootfs_url=http://",
        "/rootfs.img rd.neednet=1 ip=dhcp",
    ] {
        assert!(uki.kernel_arguments().contains(word), "{}", uki.kernel_arguments());
    }
    let section = uki::section(&mut Cursor::new(&program), b".initrd").unwrap().unwrap();
    let initrd = &program[section.offset as usize..][..section.length as usize];
    assert!(initrd.starts_with(&initramfs));
    let archive = Archive::decode(initrd).unwrap();
    assert!(archive.get("init").is_some());
    assert_eq!(serde_json::from_slice::<Value>(archive.get("config.ign").unwrap()).unwrap(), config);

    // So does iPXE, with the config in front of the initramfs, which begins where the kernel looks for it.
    let (script, files) = scripted(&bench, false).await;
    assert!(
        script.contains("/agent.kernel initrd=config initrd=main ignition.firstboot ignition.platform.id=metal one=1 "),
        "{script}"
    );
    assert!(script.contains("/rootfs.img rd.neednet=1 ip=dhcp || goto failed\n"), "{script}");
    let [booted, archive, main] = &files[..] else { panic!("{script}") };
    assert_eq!((booted, main), (&fs::read(kernel()).unwrap(), &initramfs));
    assert_eq!(archive.len() % 4, 0);
    let archive = Archive::decode(&[&archive[..], main].concat()).unwrap();
    assert!(archive.get("init").is_some());
    assert_eq!(serde_json::from_slice::<Value>(archive.get("config.ign").unwrap()).unwrap(), config);
}

#[tokio::test]
async fn an_ignition_config_for_which_there_is_no_room_fails_before_anything_boots() {
    let images = tempfile::tempdir().unwrap();
    fs::rename(live_iso(images.path(), 1).unwrap(), images.path().join("ironic-python-agent.iso")).unwrap();
    // Nothing that can be compressed.
    let mut state = 1_u64;
    let noise = (0..600_000).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + (state >> 58) as u8)
    });
    let registries = images.path().join("registries.conf");
    fs::write(&registries, noise.collect::<String>()).unwrap();
    let coreos_ipa = CoreosIpa {
        enabled: true,
        agent_image: "registry.example:5000/ferric/agent:1".into(),
        registries_conf: Some(registries),
        images: images.path().to_owned(),
        ..CoreosIpa::default()
    };
    let bench = Bench::start(Config { coreos_ipa, ..Config::default() }).await;
    bench.enrol("redfish-virtual-media", json!({"deploy_efi": ""})).await;
    bench.verb("manage", "manageable").await;
    let failed = bench.verb("inspect", "inspect failed").await;
    assert!(failed["last_error"].as_str().unwrap().contains("the Ignition config is too large: "), "{failed}");
    bench.assert_clear().await;

    fs::copy(kernel(), images.path().join("ironic-python-agent.kernel")).unwrap();
    for part in ["initramfs", "rootfs"] {
        fs::write(images.path().join(format!("ironic-python-agent.{part}")), "x").unwrap();
    }
    bench.verb("manage", "manageable").await;
    let interface = json!([{"op": "add", "path": "/boot_interface", "value": "redfish-https"}]);
    bench.call(reqwest::Method::PATCH, "/v1/nodes/n1", Some(interface)).await;
    let failed = bench.verb("inspect", "inspect failed").await;
    let said = failed["last_error"].as_str().unwrap();
    assert!(said.contains("the Ignition config has ") && said.contains(" and there is room for 262144"), "{failed}");
    bench.assert_clear().await;
}
