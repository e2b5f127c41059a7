"""Drives a conductor-stub through openstacksdk and the `baremetal` command, both unmodified.

usage: stub_clients.py URL DRIVER_INFO.json MAC IMAGE

Ends with 0 and a line `all done` when a machine went through its whole life.
"""

import json
import os
import subprocess
import sys

import openstack

url, driver_info, mac, image = sys.argv[1:]
connection = openstack.connection.Connection(
    auth_type="none", endpoint=url, baremetal_endpoint_override=url
)
baremetal = connection.baremetal


def cli(*words):
    """Runs `baremetal` and returns its JSON."""
    environment = dict(os.environ, OS_AUTH_TYPE="none", OS_ENDPOINT=url)
    program = os.path.join(os.path.dirname(sys.executable), "baremetal")
    show = ["-f", "json"] if words[1] in ("list", "show") else []
    result = subprocess.run([program, *words, *show], env=environment, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"baremetal {' '.join(words)}: {result.stderr}")
    return json.loads(result.stdout) if show else result.stdout


with open(driver_info) as file:
    node = baremetal.create_node(name="peer", driver="local-process", driver_info=json.load(file))
# openstacksdk creates nodes in `enroll` only below 1.11 and moves them on its own above.
baremetal.create_port(node_id=node.id, address=mac)
node = baremetal.get_node("peer")
if node.provision_state == "enroll":
    node = baremetal.set_node_provision_state(node, "manage", wait=True, timeout=60)
assert node.provision_state in ("manageable", "available"), node.provision_state

node = baremetal.set_node_provision_state(node, "inspect", wait=True, timeout=120)
assert node.provision_state == "manageable", node.provision_state
inventory = baremetal.get_node_inventory(node)
assert inventory["inventory"]["disks"], inventory
assert node.properties["cpu_arch"], node.properties

node = baremetal.set_node_provision_state(node, "provide", wait=True, timeout=120)
assert node.provision_state == "available", node.provision_state

assert [entry["name"] for entry in cli("node", "list")] == ["peer"]
cli("node", "maintenance", "set", "peer", "--reason", "a reason")
assert cli("node", "show", "peer")["maintenance_reason"] == "a reason"
cli("node", "maintenance", "unset", "peer")
assert cli("node", "show", "peer")["maintenance"] is False

node = baremetal.update_node(node, instance_info={"image_source": f"file://{image}"})
checks = baremetal.validate_node(node, required=("boot", "deploy", "power"))
assert checks["deploy"].result, checks
node = baremetal.set_node_provision_state(
    node, "active", config_drive={"meta_data": {"name": "peer"}}, wait=True, timeout=170
)
assert (node.provision_state, node.power_state) == ("active", "power on"), node

cli("node", "power", "off", "peer")
baremetal.wait_for_node_power_state(node, "power off", timeout=30)

node = baremetal.set_node_provision_state(node, "deleted", wait=True, timeout=120)
assert node.provision_state == "available", node.provision_state
cli("node", "manage", "peer", "--wait", "30")
baremetal.delete_node(node)
assert not list(baremetal.nodes())
print("all done")
