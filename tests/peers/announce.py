"""Announces an endpoint as Ironic's conductor does with `[conductor]enable_mdns`, by Ironic's own code, until it is killed.

usage: announce.py ADDRESS SERVICE URL [KEY=VALUE ...]
"""

import signal
import sys

from ironic.common import mdns
from ironic.conf import CONF

address, service, url, *parameters = sys.argv[1:]
CONF([], project="ironic", default_config_files=[])
CONF.set_override("interfaces", [address], group="mdns")
mdns.Zeroconf().register_service(service, url, params=dict(entry.split("=", 1) for entry in parameters))
print("announced", flush=True)
signal.pause()
