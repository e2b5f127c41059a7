#!/usr/bin/env python3
"""Writes images of growing size, almost all of them holes, and says how much memory Ferric takes for each. Replaces the
section "Memory" of docs/benchmarks.md.

Needs what bench.py needs. Source and target are sparse files in memory; touches only loop devices that it makes.
"""
import argparse
import hashlib
import os
import pathlib
import re
import shutil
import sys
import tempfile

import bench

HEADING = "## Memory"
MIB = bench.MIB
FORMATS = {
    "raw": ("image.raw", None),
    "qcow2, all clusters allocated": ("image.qcow2", "qemu-img convert -q -f raw -O qcow2 -o preallocation=metadata {raw} {out}"),
    "zstd, one frame": ("image.zst", "zstd -q -3 -c {raw} > {out}"),
    "gzip": ("image.gz", "pigz -1 -c {raw} > {out}"),
}


def make_raw(path, size_mib):
    """Something at either end and in the middle, holes between."""
    with open(path, "wb") as file:
        file.truncate(size_mib * MIB)
        for at in (0, size_mib // 2, size_mib - 1):
            file.seek(at * MIB)
            file.write(os.urandom(MIB))
        file.seek(bench.TABLE_AT)
        file.write(bench.partition_table(size_mib))


def digest(path):
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def peaks(folder, sizes_gib, agent):
    """format -> size in GiB -> largest resident MiB."""
    found = {name: {} for name in FORMATS}
    server = bench.Server(folder)
    target = pathlib.Path(tempfile.mkstemp(prefix="ferric-bench-", dir=folder)[1])
    try:
        for gib in sizes_gib:
            raw = folder / "image.raw"
            make_raw(raw, gib * 1024)
            for name, (file, command) in FORMATS.items():
                if command:
                    bench.sh(command.format(raw=raw, out=folder / file))
                target.unlink(missing_ok=True)
                target.touch()
                os.truncate(target, gib * 1024 * MIB)
                device = bench.sh(f"losetup --find --show {target}").stdout.strip()
                try:
                    measured = bench.measure(
                        f"{agent} write-image --allow-device {device} --device {device} --progress none"
                        f" --url {server.url(file)} --checksum {digest(folder / file)}")
                    bench.sh(f"cmp {raw} {device}")
                finally:
                    bench.sh(f"losetup --detach {device}")
                found[name][gib] = measured["memory"]
                print(f"{name:36} {gib:4} GiB {measured['memory']:6.0f} MiB {measured['wall']:7.2f} s", file=sys.stderr)
                if command:
                    (folder / file).unlink()
    finally:
        server.stop()
    return found


def section(found, sizes_gib, commit):
    lines = [
        HEADING, "",
        f"Made by `tests/bench/memory.py` with Ferric {commit}: largest resident MiB of `ferric-agent write-image`, digest included,",
        "by size of the disk image. Three MiB of each image are data, the others holes.", "",
        "| | " + " | ".join(f"{gib} GiB" for gib in sizes_gib) + " |",
        "|---" * (len(sizes_gib) + 1) + "|",
    ]
    for name, by_size in found.items():
        lines.append(f"| {name} | " + " | ".join(f"{by_size[gib]:.0f}" for gib in sizes_gib) + " |")
    return "\n".join(lines) + "\n\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes-gib", type=int, nargs="+", default=[1, 8, 64], help="sizes of the image (default 1 8 64)")
    parser.add_argument("--memory", type=bench.directory, default="/dev/shm", help="a folder in memory")
    parser.add_argument("--agent", type=bench.program, default=str(bench.REPOSITORY / "target/release/ferric-agent"))
    parser.add_argument("--output", type=pathlib.Path, default=bench.REPOSITORY / "docs/benchmarks.md")
    arguments = parser.parse_args()
    bench.end_in_order()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ferric-memory-", dir=arguments.memory))
    try:
        found = peaks(folder, arguments.sizes_gib, arguments.agent)
    finally:
        shutil.rmtree(folder)
    new = section(found, arguments.sizes_gib, bench.version(f"git -C {bench.REPOSITORY} rev-parse --short HEAD"))
    text = arguments.output.read_text() if arguments.output.exists() else "# Benchmarks\n\n"
    if HEADING in text:
        text = re.sub(rf"{HEADING}\n.*?(?=\n## |\Z)", lambda _: new.rstrip() + "\n", text, flags=re.DOTALL)
    else:
        text += new
    arguments.output.write_text(text)
    print(arguments.output)


if __name__ == "__main__":
    main()
