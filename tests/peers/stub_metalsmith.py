"""Has metalsmith, unmodified, choose a machine of a conductor-stub, deploy it and take it back.

usage: stub_metalsmith.py URL

Nothing runs on the machine: the deployment waits for its agent. Ends with 0 and a line `all done`.
"""

import json
import os
import subprocess
import sys

import openstack

(url,) = sys.argv[1:]
connection = openstack.connection.Connection(auth_type="none", endpoint=url, baremetal_endpoint_override=url)
baremetal = connection.baremetal


def metalsmith(*words):
    """Runs `metalsmith` and returns what it says."""
    program = os.path.join(os.path.dirname(sys.executable), "metalsmith")
    access = ["--os-auth-type", "none", "--os-endpoint", url]
    result = subprocess.run([program, *access, *words], capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"metalsmith {' '.join(words)}: {result.stdout}{result.stderr}")
    return result.stdout


for name, resource_class in (("small", "silver"), ("large", "gold")):
    properties = {"cpu_arch": "x86_64", "cpus": 8, "memory_mb": 4096, "local_gb": 50}
    node = baremetal.create_node(
        name=name, driver="fake-hardware", resource_class=resource_class, automated_clean=False, properties=properties
    )
    node = baremetal.set_node_provision_state(baremetal.get_node(name), "manage", wait=True, timeout=60)
    node = baremetal.set_node_provision_state(node, "provide", wait=True, timeout=60)

image = ["--image", "http://192.0.2.1/image.raw", "--image-checksum", "0" * 32]
wanted = ["--resource-class", "gold", "--hostname", "db-1", "--capability", "boot_mode=uefi"]
refused = subprocess.run(
    [os.path.join(os.path.dirname(sys.executable), "metalsmith"), "--os-auth-type", "none", "--os-endpoint", url]
    + ["deploy", "--no-wait", "--resource-class", "lead", *image],
    capture_output=True,
    text=True,
)
assert refused.returncode and "lead" in refused.stderr, refused
baremetal.patch_node("large", [{"op": "add", "path": "/properties/capabilities", "value": "boot_mode:uefi"}])
metalsmith("deploy", "--no-wait", *wanted, *image)
node = baremetal.get_node("large")
assert node.instance_id and node.allocation_id == node.instance_id, node
assert node.instance_info["image_source"] == "http://192.0.2.1/image.raw", node.instance_info
assert node.instance_info["configdrive"] == "******", node.instance_info
assert baremetal.get_allocation("db-1").node_id == node.id
shown = metalsmith("--format", "value", "-c", "Node Name", "-c", "State", "list").split()
assert shown == ["large", "DEPLOYING"], shown

# An allocation stays as long as an agent is awaited: metalsmith asks for some seconds, then undeploys.
metalsmith("undeploy", "--wait", "60", "db-1")
node = baremetal.get_node("large")
assert (node.provision_state, node.instance_id, node.instance_info) == ("available", None, {}), node
assert not list(baremetal.allocations())
print("all done")
