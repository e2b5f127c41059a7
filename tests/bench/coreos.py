#!/usr/bin/env python3
"""Installs the same image of CoreOS' layout with coreos-installer and with the agent itself, in turn, with an Ignition config
and a kernel argument. Replaces the section "Installing CoreOS" of docs/benchmarks.md.

Needs what bench.py needs, and sgdisk, mkfs.ext4 and partx. Touches only loop devices that it makes.
"""
import argparse
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import bench

HEADING = "## Installing CoreOS"
MIB = bench.MIB
BOOT = (18, 160)
IGNITION = {"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/etc/motd", "contents": {"source": "data:,x"}}]}}
KARG = "console=ttyS0"
FORMATS = {
    "raw": "cat {raw}",
    "gzip": "gzip -1 -c {raw}",
    "zstd": "zstd -q -3 -c {raw}",
    "xz, many blocks, as it is published": "xz -T0 -1 --block-size=24MiB -c {raw}",
}
# This machine has no udev: its database is what blkid finds, and its kernel does not read partition tables.
LSBLK = r"""#!/bin/sh
/usr/bin/lsblk "$@" | while read -r line; do
    device=${line#NAME=\"} device=${device%%\"*}
    found() { blkid -p -s "$1" -o value "$device" 2>/dev/null; }
    printf '%s\n' "$line" | sed "s|LABEL=\"\"|LABEL=\"$(found LABEL)\"|
        s|FSTYPE=\"\"|FSTYPE=\"$(found TYPE)\"|; s|UUID=\"\"|UUID=\"$(found UUID)\"|"
done
"""


def make_image(path, size_mib):
    """CoreOS' partitions; what is in the root partition is half incompressible, a quarter text, a quarter zeroes."""
    start, length = BOOT
    tree = pathlib.Path(tempfile.mkdtemp(dir=path.parent))
    for name, text in {
        "ignition.firstboot": "",
        "grub2/grub.cfg": "# CONSOLE-SETTINGS-START\n# CONSOLE-SETTINGS-END\n",
        "coreos/platforms.json": '{"metal": {"kernel_arguments": []}}',
        "loader/entries/ostree-1.conf": "title CoreOS\nversion 1\noptions root=LABEL=root\nlinux /vmlinuz\ninitrd /initramfs.img\n",
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    with open(path, "wb") as file:
        file.truncate(size_mib * MIB)
    bench.sh(f"sgdisk -n 1:1M:+1M -c 1:BIOS-BOOT -n 2:2M:+16M -c 2:EFI-SYSTEM -n 3:{start}M:+{length}M -c 3:boot"
             f" -n 4:{start + length}M:0 -c 4:root {path}")
    bench.sh(f"mkfs.ext4 -q -L boot -d {tree} -E offset={start * MIB} {path} {length}M")
    shutil.rmtree(tree)
    generator = random.Random(1)
    words = [generator.randbytes(generator.randint(2, 9)).hex() for _ in range(4000)]
    with open(path, "r+b") as file:
        for at in range(start + length, size_mib - 8, 4):
            file.seek(at * MIB)
            if at % 16 < 8:
                file.write(generator.randbytes(4 * MIB))
            elif at % 16 < 12:
                file.write(" ".join(generator.choices(words, k=400_000)).encode()[:4 * MIB].ljust(4 * MIB, b"x"))


class Agent:
    """An agent of its own with one disk, which does without coreos-installer."""

    def __init__(self, program, device, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [program, "run", "--standalone", "--agent-token", "t", "--listen-host", "127.0.0.1", "--listen-port", str(self.port),
             "--allow-device", device, "--host-root", "/nonexistent", "--state-dir", folder / "state", "--coreos-native-install"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except OSError:
                time.sleep(0.05)

    def install(self, url, digest):
        """Wall seconds and CPU seconds of one installation."""
        info = {"image_source": url, "image_os_hash_algo": "sha256", "image_os_hash_value": digest,
                "configdrive": {"user_data": IGNITION, "meta_data": {"coreos_append_karg": [KARG]}}}
        node = {"uuid": "11111111-1111-1111-1111-111111111111", "automated_clean": False, "instance_info": info}
        step = {"step": "install_coreos", "interface": "deploy", "args": {}}
        body = {"name": "deploy.execute_deploy_step", "params": {"node": node, "ports": [], "step": step}}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/commands/?wait=true&agent_token=t",
                                         json.dumps(body).encode(), {"Content-Type": "application/json"})
        busy, start = self.cpu(), time.monotonic()
        with urllib.request.urlopen(request, timeout=900) as answer:
            ended = json.load(answer)
        if ended["command_status"] != "SUCCEEDED":
            raise RuntimeError(ended["command_error"])
        return {"wall": time.monotonic() - start, "cpu": self.cpu() - busy, "memory": self.memory()}

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s*(\d+)", status)[1]) / 1024

    def stop(self):
        self.process.kill()
        self.process.wait()


def installer(url, device, folder):
    """The command of coreos-installer."""
    shims, config = folder / "shims", folder / "config.ign"
    shims.mkdir(exist_ok=True)
    for name, text in {"lsblk": LSBLK, "udevadm": f"#!/bin/sh\npartx -u {device} 2>/dev/null || partx -a {device}\n"}.items():
        (shims / name).write_text(text)
        (shims / name).chmod(0o755)
    config.write_text(json.dumps(IGNITION))
    inside = (f"mount -t tmpfs none /run && mkdir /run/udev && touch /run/udev/control && PATH={shims}:$PATH"
              f" {bench.PEERS}/bin/coreos-installer install --insecure --image-url {url} --ignition-file {config}"
              f" --append-karg {KARG} {device}")
    return f"unshare -m bash -c '{inside}'"


def measured(arguments, folder):
    """format -> (who -> runs)."""
    raw, found = folder / "coreos.raw", {}
    make_image(raw, arguments.size_mib)
    server, disk = bench.Server(folder), bench.Disk("memory", folder, arguments.size_mib + 64, False)
    try:
        for number, (name, command) in enumerate(FORMATS.items()):
            image = folder / f"image{number}"
            bench.sh((command + " > {out}").format(raw=raw, out=image))
            digest = bench.sh(f"sha256sum {image}").stdout.split()[0]
            url = server.url(image.name)
            for turn in range(arguments.rounds + 1):
                for who in ("ferric", "coreos-installer"):
                    subprocess.run(["partx", "-d", disk.device], capture_output=True)
                    disk.spoil(wholly=turn == 0)
                    if who == "ferric":
                        agent = Agent(arguments.agent, disk.device, folder)
                        try:
                            run = agent.install(url, digest)
                        finally:
                            agent.stop()
                    else:
                        run = bench.measure(installer(url, disk.device, folder))
                    # The first round warms memory.
                    if turn:
                        found.setdefault(name, {}).setdefault(who, []).append(run)
                    print(f"{name:40} {who:18} {run['wall']:7.2f} s", file=sys.stderr)
            image.unlink()
    finally:
        subprocess.run(["partx", "-d", disk.device], capture_output=True)
        disk.stop()
        server.stop()
    return found


def section(found, arguments):
    load = pathlib.Path("/proc/loadavg").read_text().split()[0]
    commit = bench.version(f"git -C {bench.REPOSITORY} rev-parse --short HEAD")
    lines = [
        HEADING, "",
        f"Made by `tests/bench/coreos.py` with Ferric {commit} and {bench.version(f'{bench.PEERS}/bin/coreos-installer --version')}: the",
        f"whole of `install_coreos` on a loop device in memory, with an Ignition config and a kernel argument; an image of {arguments.size_mib} MiB,",
        f"{arguments.rounds} rounds, medians, load {load} at the end. Ferric checks the digest, coreos-installer nothing.", "",
        "| image | Ferric: wall s | CPU s | MiB | coreos-installer: wall s | CPU s | MiB | Ferric takes |", "|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        cells = [f"{bench.median(runs[who], key):.{digits}f}" for who in ("ferric", "coreos-installer")
                 for key, digits in (("wall", 2), ("cpu", 2), ("memory", 0))]
        ratio = bench.median(runs["ferric"], "wall") / bench.median(runs["coreos-installer"], "wall")
        lines.append(f"| {name} | {' | '.join(cells)} | {ratio:.2f} |")
    return "\n".join(lines) + "\n\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=2048, help="size of the image (default 2048)")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds (default 3)")
    parser.add_argument("--memory", type=bench.directory, default="/dev/shm", help="a folder in memory")
    parser.add_argument("--agent", type=bench.program, default=str(bench.REPOSITORY / "target/release/ferric-agent"))
    parser.add_argument("--output", type=pathlib.Path, default=bench.REPOSITORY / "docs/benchmarks.md")
    arguments = parser.parse_args()
    bench.end_in_order()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ferric-bench-coreos-", dir=arguments.memory))
    try:
        text = section(measured(arguments, folder), arguments)
    finally:
        shutil.rmtree(folder)
    page = arguments.output.read_text() if arguments.output.exists() else ""
    before, found, after = page.partition(HEADING)
    if found:
        rest = after.find("\n## ")
        after = after[rest + 1:] if rest >= 0 else ""
    else:
        before, mark, after = page.partition("## Chosen by measurement")
        after = mark + after
    arguments.output.write_text(before + text + after)
    print(text)


if __name__ == "__main__":
    main()
