"""What dmidecode and the Python agent's reader of its output make of SMBIOS tables, for a batch.

Arguments: files as `dmidecode --dump-bin` writes them. stdout: a JSON list, one entry a file.
"""

import json
import logging
import subprocess
import sys

from ironic_python_agent import dmi_inspector

logging.disable(logging.CRITICAL)


def judge(path):
    command = ["dmidecode", "--from-dump", path, "-t", "bios", "-t", "processor", "-t", "memory"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    try:
        return dmi_inspector.parse_dmi(text)
    except (ValueError, IndexError, KeyError):
        return {}


json.dump([judge(path) for path in sys.argv[1:]], sys.stdout)
