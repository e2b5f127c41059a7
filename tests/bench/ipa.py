"""Writes one image with ironic-python-agent, as its standby extension does: URL DEVICE ALGORITHM DIGEST FORMAT."""
import sys

from oslo_config import cfg

from ironic_python_agent import config  # noqa: F401 (registers the options)
from ironic_python_agent.extensions import standby

url, device, algorithm, digest, disk_format = sys.argv[1:]
cfg.CONF([], project="ironic-python-agent")
info = {"id": "bench", "urls": [url], "os_hash_algo": algorithm, "os_hash_value": digest, "disk_format": disk_format,
        "image_type": "whole-disk-image"}
if disk_format == "raw":
    extension = standby.StandbyExtension()
    # As prepare_image leaves it before it streams.
    extension.partition_uuids = {}
    extension._stream_raw_image_onto_device(info, device)
else:
    standby._download_image(info)
    standby._write_image(info, device)
