//! What goes well: a node's whole life.

use ferric_tests::coreos_image::{BootPartition, KERNEL_ARGUMENTS, metal_image};
use ferric_tests::disk_image::{compressed, digest, gpt_image, qcow2};
use ferric_tests::ironic::Settings;
use serde_json::json;

use super::lab::{Lab, MAC};

/// The disk holds `image`, except where a deployment itself writes: the protective MBR and primary GPT at the start
/// (sizes change), and everything from the end of the image on.
fn assert_deployed(lab: &Lab, image: &std::path::Path) -> anyhow::Result<()> {
    let wanted = std::fs::read(image)?;
    let found = lab.disk.read()?;
    let from = 1 << 20;
    let to = wanted.len() - (1 << 20);
    assert!(found[from..to] == wanted[from..to], "the disk differs from {}", image.display());
    assert_eq!(&found[512..520], b"EFI PART");
    assert_eq!(&found[found.len() - 512..][..8], b"EFI PART", "the backup GPT has moved to the end of the disk");
    Ok(())
}

#[test]
fn ironic_takes_a_node_through_its_life() {
    let mut lab = Lab::new(Settings::default()).unwrap();

    lab.provision("inspect", json!({})).unwrap();
    let inventory = lab.client.call("inventory", json!({"node": lab.node})).unwrap();
    assert_eq!(inventory["inventory"]["interfaces"][0]["mac_address"], MAC);
    assert_eq!(inventory["inventory"]["disks"][0]["name"], json!(lab.disk.path()));
    assert_eq!(lab.client.call("ports", json!({"node": lab.node})).unwrap(), json!([MAC]));

    std::fs::write(lab.disk.path(), vec![0x5a; 8 << 20]).unwrap();
    let image = gpt_image(&lab.images(), 64).unwrap();
    lab.provision("provide", json!({})).unwrap();

    // a raw image with its checksum, and a config drive
    lab.deploy(
        json!({"image_source": lab.image_url(&image), "image_disk_format": "raw",
            "image_os_hash_algo": "sha512", "image_os_hash_value": digest("sha512sum", &image).unwrap()}),
        json!({"config_drive": {"meta_data": {"hostname": "ferric-0"}, "user_data": "#!/bin/true"}}),
    )
    .unwrap();
    assert_deployed(&lab, &image).unwrap();
    let disk = lab.disk.read().unwrap();
    assert!(disk.windows(8).any(|window| window == b"config-2"), "there is a config drive");

    // undeploy: cleaning takes the partition table away
    lab.provision("deleted", json!({})).unwrap();
    let disk = lab.disk.read().unwrap();
    assert!(disk[..33 * 512].iter().all(|byte| *byte == 0), "cleaning leaves no primary GPT");
    assert!(disk[disk.len() - 33 * 512..].iter().all(|byte| *byte == 0), "cleaning leaves no backup GPT");

    // the same image, compressed for transport; then as qcow2 with its checksum in a file
    let gzip = compressed(&image, "gzip").unwrap();
    lab.deploy(
        json!({"image_source": lab.image_url(&gzip), "image_disk_format": "raw",
            "image_checksum": digest("sha256sum", &gzip).unwrap()}),
        json!({}),
    )
    .unwrap();
    assert_deployed(&lab, &image).unwrap();
    lab.provision("deleted", json!({})).unwrap();

    let qcow2 = qcow2(&image).unwrap();
    let sums = lab.images().join("SHA256SUMS");
    std::fs::write(&sums, format!("{}  image.qcow2\n", digest("sha256sum", &qcow2).unwrap())).unwrap();
    lab.deploy(
        json!({"image_source": lab.image_url(&qcow2), "image_disk_format": "qcow2",
            "image_checksum": lab.image_url(&sums)}),
        json!({}),
    )
    .unwrap();
    assert_deployed(&lab, &image).unwrap();

    // rescue and back, then a service step
    lab.provision("rescue", json!({"rescue_password": "secret"})).unwrap();
    lab.provision("unrescue", json!({})).unwrap();
    lab.start("service", json!({"service_steps": [{"interface": "deploy", "step": "pause", "args": {}}]})).unwrap();
    lab.wait_for_pause().unwrap();
    lab.resume().unwrap();
    lab.reach("active").unwrap();

    // a deployment by steps alone: a container from a registry, then a plugin's step with its argument
    lab.provision("deleted", json!({})).unwrap();
    lab.patch(json!([{"op": "replace", "path": "/deploy_interface", "value": "custom-agent"}])).unwrap();
    let steps = json!([
        {"interface": "deploy", "step": "generic_container_step", "priority": 90,
         "args": {"container_url": lab.containers.image()}},
        {"interface": "deploy", "step": "stamp", "priority": 80, "args": {"text": "written by a step"}},
    ]);
    lab.provision("active", json!({"deploy_steps": steps})).unwrap();
    assert_eq!(lab.containers.runs(), 1, "{}", lab.agent_log());
    assert!(lab.disk.read().unwrap().starts_with(b"written by a step\n"), "{}", lab.agent_log());

    // CoreOS by its step, without coreos-installer
    lab.provision("deleted", json!({})).unwrap();
    let coreos = metal_image(&lab.images()).unwrap();
    let user_data = json!({"ignition": {"version": "3.4.0"}, "passwd": {"users": [{"name": "core"}]}});
    let steps = json!([{"interface": "deploy", "step": "install_coreos", "priority": 80, "args": {"delete_karg": "root=LABEL=root"}}]);
    let drive = json!({"user_data": user_data, "meta_data": {"coreos_append_karg": ["a.node=1"]}});
    let image = json!({"image_source": lab.image_url(&coreos), "image_os_hash_algo": "sha256",
        "image_os_hash_value": digest("sha256sum", &coreos).unwrap()});
    lab.deploy(image, json!({"deploy_steps": steps, "config_drive": drive})).unwrap();
    lab.disk.read().unwrap();
    let boot = BootPartition::of_disk(&lab.disk.file()).unwrap();
    assert_eq!(boot.ignition().unwrap()["passwd"], user_data["passwd"]);
    assert_eq!(boot.kernel_arguments().unwrap(), KERNEL_ARGUMENTS.replace("root=LABEL=root", "a.node=1"));
}
