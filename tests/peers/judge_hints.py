"""What the Python agent's own matcher says of root device hints, for a batch.

stdin: a JSON list of [hints, device]. stdout: a JSON list of [parsed hints or null, true | false | null]; null is an
exception, of whatever kind.
"""

import json
import logging
import sys

from ironic_python_agent import device_hints

logging.disable(logging.CRITICAL)


def judge(hints, device):
    try:
        parsed = device_hints.parse_root_device_hints(hints)
    except Exception:
        return [None, None]
    try:
        found = list(device_hints.find_devices_by_hints([device], hints))
    except Exception:
        return [parsed, None]
    return [parsed, bool(found)]


json.dump([judge(hints, device) for hints, device in json.load(sys.stdin)], sys.stdout)
