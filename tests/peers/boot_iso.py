"""Has Ironic's own code make a node's ISO, out of what a JSON object on standard input names: `output`, `kernel`, `ramdisk`,
`bootloader` (files), `parameters` (of the kernel), `files` (path on the ISO to text) and `publisher`."""

import json
import os
import sys

from ironic.common import images
from ironic.common import kernel_parameters
from ironic.conf import CONF

wanted = json.load(sys.stdin)
CONF([], project='ironic')
folders = [os.path.dirname(wanted[name]) for name in ('kernel', 'ramdisk', 'bootloader')]
CONF.set_override('file_url_allowed_paths', folders, group='conductor')
images.create_boot_iso(
    None, wanted['output'],
    'file://' + wanted['kernel'], 'file://' + wanted['ramdisk'],
    esp_image_href='file://' + wanted['bootloader'],
    kernel_cmd_line=kernel_parameters.KernelCommandLine.parse(wanted['parameters']),
    boot_mode='uefi',
    inject_files={text.encode(): path for path, text in wanted['files'].items()},
    publisher_id=wanted['publisher'])
