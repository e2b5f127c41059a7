#!/usr/bin/env python
"""Makes software RAID as the Python agent does, once for each line of standard input: {"node": {...}, "devices":
["/dev/loop0", ...]}. Partition tables are really made, mdadm is only asked for. Answers with a line: {"create": [arguments,
...]}, or {"error": what it says}."""
import json
import sys
from unittest import mock

from ironic_python_agent import config  # noqa: F401, the options that the others read
from ironic_python_agent import errors, hardware, utils

really = utils.execute


def create(node, devices):
    asked = []

    def execute(*command, **options):
        command = [str(word) for word in command]
        if command[0] in ("parted", "sgdisk"):
            assert any(device in command for device in devices), command
            return really(*command, **options)
        if command[:2] == ["mdadm", "--create"]:
            asked.append(command[1:])
        return "", ""

    manager = hardware.GenericHardwareManager()
    listed = [hardware.BlockDevice(name, "", 0, False) for name in devices]
    manager.list_block_devices = lambda include_partitions=False: listed
    with mock.patch.object(utils, "execute", execute):
        try:
            manager.create_configuration(node, [])
        except errors.SoftwareRAIDError as error:
            return {"error": error.details}
    return {"create": asked}


for line in sys.stdin:
    print(json.dumps(create(**json.loads(line))), flush=True)
