use serde_json::json;

use super::*;

const SECRETS: &str = "
---
apiVersion: v1
kind: Secret
metadata: {name: bmc}
stringData: {username: admin, password: 'se:cret'}
---
apiVersion: v1
kind: Secret
metadata: {name: user}
stringData: {userData: '#cloud-config'}
---
apiVersion: v1
kind: Secret
metadata: {name: net}
stringData: {networkData: 'links: [{id: eth0}]'}
";

/// The machine with this `spec` beside its BMC.
fn read(spec: &str) -> Result<(Wanted, Vec<String>), String> {
    read_for(spec, &Drivers::new())
}

fn read_for(spec: &str, drivers: &Drivers) -> Result<(Wanted, Vec<String>), String> {
    let bmc = "  bmc: {address: 'redfish-virtualmedia://192.0.2.1/redfish/v1/Systems/1', credentialsName: bmc}\n";
    let bmc = if spec.contains("bmc:") { "" } else { bmc };
    let host = format!(
        "apiVersion: metal3.io/v1alpha1\nkind: BareMetalHost\nmetadata: {{name: h}}\nspec:\n  online: true\n{bmc}{spec}{SECRETS}"
    );
    let mut documents = Documents::default();
    documents.read("h.yaml", &host).map_err(|error| error.to_string())?;
    let mut warnings = documents.warnings.clone();
    Wanted::new(&documents.hosts[0], &documents, drivers, &mut warnings)
        .map(|wanted| (wanted, warnings))
        .map_err(|error| error.to_string())
}

#[test]
fn a_disk_image_in_ironic_words() {
    let (wanted, warnings) = read(
        "  bootMode: UEFISecureBoot\n  automatedCleaningMode: disabled\n  bootMACAddress: 52:54:00:AA:00:01\n  \
         rootDeviceHints: {deviceName: /dev/vda, minSizeGigabytes: 10, model: QEMU, rotational: false}\n  \
         image: {url: 'http://x/i.qcow2', checksum: abc, checksumType: sha256, format: qcow2}\n  \
         userData: {name: user}\n  networkData: {name: net}\n",
    )
    .unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(
        Value::from(wanted.registration),
        json!({
            "name": "default~h",
            "driver": "redfish",
            "driver_info": {
                "redfish_address": "https://192.0.2.1",
                "redfish_system_id": "/redfish/v1/Systems/1",
                "redfish_username": "admin",
                "redfish_password": "se:cret",
                "redfish_verify_ca": true,
            },
            "boot_interface": "redfish-virtual-media",
            "inspect_interface": "agent",
            "properties": {"capabilities": "boot_mode:uefi"},
            "automated_clean": false,
        })
    );
    let instance = wanted.instance.unwrap();
    assert_eq!(
        Value::from(instance.instance_info),
        json!({
            "capabilities": {"boot_mode": "uefi", "secure_boot": "true"},
            "root_device": {"name": "s== /dev/vda", "model": "<in> QEMU", "size": ">= 10", "rotational": "false"},
            "image_source": "http://x/i.qcow2",
            "image_disk_format": "qcow2",
            "image_os_hash_algo": "sha256",
            "image_os_hash_value": "abc",
        })
    );
    let drive = Value::from(instance.configdrive.unwrap());
    assert_eq!(drive["user_data"], "#cloud-config");
    assert_eq!(drive["network_data"], json!({"links": [{"id": "eth0"}]}));
    assert_eq!((instance.deploy_interface, &drive["meta_data"]["local-hostname"]), ("direct", &json!("h")));
}

#[test]
fn coreos_and_live_iso() {
    let (wanted, _) = read("  image: {url: '', format: coreos}\n  userData: {name: user}\n").unwrap();
    let coreos = wanted.instance.unwrap();
    assert_eq!((coreos.deploy_interface, coreos.instance_info.get("image_source")), ("custom-agent", None));
    assert_eq!(
        coreos.deploy_steps,
        Some(json!([{
            "interface": "deploy", "step": "install_coreos", "priority": 80, "args": {"ignition": "#cloud-config"},
        }]))
    );
    let (wanted, warnings) =
        read("  image: {url: 'http://x/l.iso', format: live-iso}\n  userData: {name: user}\n").unwrap();
    let live = wanted.instance.unwrap();
    assert_eq!((live.deploy_interface, &live.instance_info["boot_iso"]), ("ramdisk", &json!("http://x/l.iso")));
    assert_eq!(warnings, ["default/h: spec.userData is ignored with format live-iso"]);
}

#[test]
fn arrays_and_bios_attributes_are_clean_steps() {
    let (wanted, _) = read(
        "  raid: {softwareRAIDVolumes: [{level: '1', sizeGibibytes: 10}, {level: '1+0', physicalDisks: [{wwn: a}]}]}\n---\n\
         apiVersion: metal3.io/v1alpha1\nkind: HostFirmwareSettings\nmetadata: {name: h}\n\
         spec: {settings: {ProcTurboMode: Disabled}}\n",
    )
    .unwrap();
    let preparation = wanted.preparation.unwrap();
    let steps: Vec<&str> = preparation.clean_steps.iter().filter_map(|step| step["step"].as_str()).collect();
    assert_eq!(
        steps,
        ["apply_configuration", "delete_configuration", "erase_devices_metadata", "create_configuration"]
    );
    assert_eq!(
        Value::from(preparation.raid.unwrap())["logical_disks"],
        json!([
            {"controller": "software", "raid_level": "1", "size_gb": 10},
            {"controller": "software", "raid_level": "1+0", "size_gb": "MAX", "physical_disks": [{"wwn": "s== a"}]},
        ])
    );
    assert_eq!(
        (&wanted.registration["bios_interface"], &wanted.registration["raid_interface"]),
        (&json!("redfish"), &json!("agent"))
    );
}

#[test]
fn the_boot_interface_is_one_that_the_conductor_has() {
    let drivers = Drivers::from([("redfish".into(), vec!["http".into(), "redfish-https".into()])]);
    let (wanted, _) = read_for("  bmc: {address: 'redfish://x', credentialsName: bmc}\n", &drivers).unwrap();
    assert_eq!(wanted.registration["boot_interface"], "http");
    let error = read_for("", &drivers).unwrap_err();
    assert!(error.contains("redfish-virtualmedia needs one of the boot interfaces redfish-virtual-media;"), "{error}");
    let dell = Drivers::from([("redfish".into(), vec![]), ("idrac".into(), vec![])]);
    let (wanted, _) = read_for("  bmc: {address: 'idrac-virtualmedia://x', credentialsName: bmc}\n", &dell).unwrap();
    assert_eq!(
        (&wanted.registration["driver"], &wanted.registration["boot_interface"]),
        (&json!("idrac"), &json!("idrac-redfish-virtual-media"))
    );
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    for (spec, words) in [
        ("  bmc: {address: 'ipmi://192.0.2.1', credentialsName: bmc}\n", "spec.bmc.address: ipmi:// is not supported"),
        ("  bmc: {address: 'redfish://x', credentialsName: none}\n", "names the Secret default/none"),
        ("  bmc: {address: 'redfish://x', credentialsName: user}\n", "has no key username"),
        ("  image: {url: 'http://x'}\n", "spec.image: checksum is missing"),
        ("  image: {url: '', format: raw}\n", "spec.image: url is missing"),
        ("  image: {url: 'http://x', checksum: a, checksumType: crc}\n", "checksumType is none of"),
        ("  raid: {hardwareRAIDVolumes: [{level: '1'}]}\n", "hardwareRAIDVolumes is not supported"),
        ("  raid: {softwareRAIDVolumes: [{level: '7'}]}\n", "level \"7\""),
        ("  firmware: {virtualizationEnabled: true}\n", "HostFirmwareSettings"),
        ("  image: {url: 'http://x', format: live-iso}\n  customDeploy: {method: x}\n", "exclude each other"),
        ("  image: {url: 'http://x', checksum: a}\n  networkData: {name: user}\n", "has no key networkData or value"),
    ] {
        let error = read(spec).unwrap_err();
        assert!(error.starts_with("default/h: ") && error.contains(words), "{error}");
        assert!(!error.contains("se:cret"), "{error}");
    }
}

#[test]
fn the_example_is_taken_as_it_is() {
    let mut documents = Documents::default();
    documents.read("hosts.yaml", include_str!("../../../../examples/hosts.yaml")).unwrap();
    let mut warnings = std::mem::take(&mut documents.warnings);
    let wanted = Wanted::new(&documents.hosts[0], &documents, &Drivers::new(), &mut warnings).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(wanted.registration["driver_info"]["redfish_address"], "http://127.0.0.1:8000");
    assert_eq!(wanted.instance.unwrap().instance_info["image_disk_format"], "qcow2");
}
