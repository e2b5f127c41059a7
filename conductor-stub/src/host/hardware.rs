//! What inspection found, in the words of Metal3: `status.hardware`.

use serde_json::{Value, json};

/// `status.hardware` of an inventory (baremetal-operator, `pkg/provisioner/ironic/hardwaredetails`).
pub fn details(inventory: &Value) -> Value {
    let list = |key: &str| inventory[key].as_array().into_iter().flatten();
    let cpu = &inventory["cpu"];
    let vendor = &inventory["system_vendor"];
    let firmware = &vendor["firmware"];
    json!({
        "hostname": inventory["hostname"],
        "ramMebibytes": inventory["memory"]["physical_mb"],
        "cpu": {
            "arch": cpu["architecture"],
            "model": cpu["model_name"],
            "clockMegahertz": megahertz(&cpu["frequency"]),
            "flags": cpu["flags"],
            "count": cpu["count"],
        },
        "firmware": {
            "bios": {"vendor": firmware["vendor"], "version": firmware["version"], "date": firmware["build_date"]},
        },
        "systemVendor": {
            "manufacturer": vendor["manufacturer"],
            "productName": vendor["product_name"],
            "serialNumber": vendor["serial_number"],
        },
        "nics": list("interfaces").map(interface).collect::<Vec<_>>(),
        "storage": list("disks").map(disk).collect::<Vec<_>>(),
    })
}

/// The frequency is text or a number.
fn megahertz(frequency: &Value) -> f64 {
    frequency.as_f64().or_else(|| frequency.as_str()?.parse().ok()).unwrap_or_default()
}

fn interface(interface: &Value) -> Value {
    let address = interface["ipv4_address"].as_str().or_else(|| interface["ipv6_address"].as_str());
    let model: Vec<&str> = ["vendor", "product"].iter().filter_map(|part| interface[*part].as_str()).collect();
    json!({
        "name": interface["name"],
        "mac": interface["mac_address"],
        "ip": address.unwrap_or_default(),
        "model": model.join(" "),
        "speedGbps": interface["speed_mbps"].as_u64().unwrap_or_default() / 1000,
    })
}

fn disk(disk: &Value) -> Value {
    let name = disk["name"].as_str().unwrap_or_default();
    let kind = match (&disk["rotational"], name.starts_with("/dev/nvme")) {
        (_, true) => "NVME",
        (Value::Bool(true), _) => "HDD",
        _ => "SSD",
    };
    json!({
        "name": disk["by_path"].as_str().unwrap_or(name),
        "alternateNames": [name],
        "type": kind,
        "rotational": disk["rotational"],
        "sizeBytes": disk["size"],
        "vendor": disk["vendor"],
        "model": disk["model"],
        "serialNumber": disk["serial"],
        "wwn": disk["wwn"],
        "wwnWithExtension": disk["wwn_with_extension"],
        "wwnVendorExtension": disk["wwn_vendor_extension"],
        "hctl": disk["hctl"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_in_other_words() {
        let found = details(&json!({
            "hostname": "h", "memory": {"physical_mb": 2048},
            "cpu": {"architecture": "x86_64", "frequency": "2400.5", "count": 2},
            "interfaces": [{"name": "eth0", "mac_address": "m", "ipv4_address": null, "ipv6_address": "2001:db8::1",
                "vendor": "0x1af4", "product": "0x0001", "speed_mbps": 25000}],
            "disks": [{"name": "/dev/nvme0n1", "rotational": false, "size": 10}, {"name": "/dev/sda", "rotational": true}],
        }));
        assert_eq!((&found["ramMebibytes"], &found["cpu"]["clockMegahertz"]), (&json!(2048), &json!(2400.5)));
        assert_eq!((&found["nics"][0]["ip"], &found["nics"][0]["speedGbps"]), (&json!("2001:db8::1"), &json!(25)));
        assert_eq!((&found["storage"][0]["type"], &found["storage"][1]["type"]), (&json!("NVME"), &json!("HDD")));
        assert_eq!(found["nics"][0]["model"], "0x1af4 0x0001");
    }
}
