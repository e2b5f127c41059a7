"""Ironic's official client as a service for tests: a JSON request a line on stdin, a JSON answer a line on stdout.

Requests: {"call": NAME, ...arguments}. Answers: {"ok": value} or {"error": text}.
"""

import json
import sys

import openstack


class Client:
    def __init__(self, endpoint):
        self.baremetal = openstack.connect(
            auth_type="none", endpoint=endpoint, baremetal_endpoint_override=endpoint
        ).baremetal

    def create_node(self, **fields):
        return self.baremetal.create_node(**fields).id

    def create_port(self, node, address):
        return self.baremetal.create_port(node_id=node, address=address).id

    def patch_node(self, node, patch):
        self.baremetal.patch_node(node, patch)

    def get_node(self, node):
        return self.baremetal.get_node(node).to_dict()

    def provision(self, node, target, wait=None, **arguments):
        """Starts `target`; with `wait` (seconds) returns only when the expected state is reached."""
        known = self.baremetal.get_node(node)
        known.set_provision_state(self.baremetal, target, wait=False, **arguments)
        if wait is not None:
            expected = {
                "manage": "manageable", "inspect": "manageable", "provide": "available", "clean": "manageable",
                "active": "active", "deleted": "available", "rescue": "rescue", "unrescue": "active",
                "service": "active", "rebuild": "active",
            }[target]
            return self.wait(node, expected, wait)

    def wait(self, node, state, timeout):
        try:
            self.baremetal.wait_for_nodes_provision_state([node], state, timeout=timeout)
        except openstack.exceptions.ResourceFailure:
            pass
        known = self.baremetal.get_node(node)
        return {"provision_state": known.provision_state, "last_error": known.last_error}

    def end_maintenance(self, node):
        self.baremetal.unset_node_maintenance(node)

    def detach_media(self, node):
        self.baremetal.detach_vmedia_from_node(node)

    def inventory(self, node):
        return self.baremetal.get_node_inventory(node)

    def ports(self, node):
        return [port.address for port in self.baremetal.ports(details=True, node=node)]

    def delete_node(self, node):
        self.baremetal.delete_node(node)


def main():
    client = Client(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": getattr(client, request.pop("call"))(**request)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=str), flush=True)


main()
