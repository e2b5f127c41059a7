"""What openstacksdk and the `baremetal` command ask of a conductor-stub beside a machine's life, both unmodified.

usage: stub_api.py URL BMC_URL

There is a Redfish emulator with one machine at BMC_URL. Ends with 0 and a line `all done`.
"""

import json
import os
import subprocess
import sys

import openstack

url, bmc = sys.argv[1:]
connection = openstack.connection.Connection(auth_type="none", endpoint=url, baremetal_endpoint_override=url)
baremetal = connection.baremetal


def cli(*words, shows=False):
    """Runs `baremetal`; its JSON when it `shows` something."""
    environment = dict(os.environ, OS_AUTH_TYPE="none", OS_ENDPOINT=url)
    program = os.path.join(os.path.dirname(sys.executable), "baremetal")
    show = ["-f", "json"] if shows else []
    result = subprocess.run([program, *words, *show], env=environment, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"baremetal {' '.join(words)}: {result.stderr}")
    return json.loads(result.stdout) if show else result.stdout


node = baremetal.create_node(
    name="peer", driver="redfish", resource_class="gold", automated_clean=False, driver_info={"redfish_address": bmc}
)
baremetal.create_port(node_id=node.id, address="52:54:00:aa:bb:01")
node = baremetal.set_node_provision_state(baremetal.get_node("peer"), "manage", wait=True, timeout=60)
assert node.provision_state == "manageable", node.provision_state

assert [found.name for found in baremetal.nodes(details=True, resource_class="gold")] == ["peer"]
assert [found.address for found in baremetal.ports(details=True, node="peer")] == ["52:54:00:aa:bb:01"]
assert {driver.name for driver in baremetal.drivers(details=True)} >= {"redfish"}
assert [found.hostname for found in baremetal.conductors()] == ["conductor-stub"]
assert "redfish_address" in str(cli("driver", "property", "list", "redfish", shows=True))

baremetal.set_node_traits(node, ["CUSTOM_A", "CUSTOM_B"])
baremetal.remove_node_trait(node, "CUSTOM_B")
assert [list(row.values()) for row in cli("node", "trait", "list", "peer", shows=True)] == [["CUSTOM_A"]]
baremetal.attach_vif_to_node(node, "fd5ba1b8-9ba4-46b5-8b1a-f8e5f4a8f7b9")
baremetal.detach_vif_from_node(node, "fd5ba1b8-9ba4-46b5-8b1a-f8e5f4a8f7b9")

baremetal.set_node_boot_device(node, "pxe", persistent=True)
assert baremetal.get_node_boot_device(node) == {"boot_device": "pxe", "persistent": True}
assert "disk" in baremetal.get_node_supported_boot_devices(node)["supported_boot_devices"]
cli("node", "boot", "device", "set", "peer", "disk")
cli("node", "secure", "boot", "on", "peer")
cli("node", "power", "on", "peer")
baremetal.wait_for_node_power_state(node, "power on", timeout=30)
assert cli("node", "show", "peer", shows=True)["secure_boot"] is True
cli("node", "power", "off", "peer", "--soft")
baremetal.wait_for_node_power_state(node, "power off", timeout=30)
assert len(cli("node", "history", "list", "peer", shows=True)) > 2

settings = dict(list(row.values()) for row in cli("node", "bios", "setting", "list", "peer", shows=True))
assert settings == {"Cores": "1", "BootMode": "Uefi", "AssetTag": ""}, settings
assert cli("node", "bios", "setting", "show", "peer", "Cores", shows=True)["upper_bound"] == 16

(bios, bmc_firmware) = [list(row.values()) for row in cli("node", "firmware", "list", "peer", shows=True)]
assert bios[0] == "bios" and "1.0.0" in bios and bmc_firmware[0] == "bmc", (bios, bmc_firmware)
assert {one["component"] for one in baremetal.list_node_firmware(node)["firmware"]} == {"bios", "bmc"}
cli("node", "set", "peer", "--inspect-interface", "redfish")
cli("node", "inspect", "peer", "--wait", "60")
node = baremetal.get_node("peer")
assert node.power_state == "power off" and node.properties["memory_mb"] == 1024, node.properties
inventory = baremetal.get_node_inventory(node)["inventory"]
assert inventory["system_vendor"]["manufacturer"] == "Ferric", inventory

node = baremetal.set_node_provision_state(node, "provide", wait=True, timeout=60)
assert node.provision_state == "available", node.provision_state
allocation = baremetal.create_allocation(name="mine", resource_class="gold", traits=["CUSTOM_A"])
allocation = baremetal.wait_for_allocation(allocation, timeout=30)
assert allocation.node_id == node.id, allocation
assert baremetal.get_node("peer").instance_id == allocation.id
cli("allocation", "delete", "mine")
cli("node", "delete", "peer")
assert not list(baremetal.nodes())

try:
    list(baremetal.chassis())
except openstack.exceptions.NotFoundException as error:
    assert "conductor-stub has no chassis." in str(error), error
else:
    sys.exit("there are chassis")
print("all done")
