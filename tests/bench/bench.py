#!/usr/bin/env python3
"""Writes the same images to the same disks with Ferric and with what else there is, in turn, and says who took how long.

Needs root, a release build of ferric-agent, nginx, curl, openssl, qemu-img, gzip, zstd, pzstd, xz and lbzip2; the
Python agent and coreos-installer are used where `.ci/peers` has installed them. Touches only loop devices that it makes.
"""
import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PEERS = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "ferric/peers"
MIB = 1 << 20
# Where a disk can be the slowest stage; where decoding is, one target tells all.
ON_DISK = ("raw,", "qcow2,")
# What is done once more where there is but one core.
ON_ONE_CORE = ("raw, sha256", "qcow2, sha256", "zstd, many frames, sha256", "raw over TLS, sha256")
# Cases of minutes, whose outcomes lie far apart: one round, and none to warm up.
LONG = ("xz, one block", "bzip2")


def end_in_order():
    """Lets SIGTERM end this program by way of its `finally` blocks, which remove loop devices."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def directory(text):
    """A directory that exists; as type of an argument."""
    if not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text} is not a directory")
    return pathlib.Path(text)


def program(text):
    """A program that can be run; as type of an argument."""
    if not os.path.isfile(text) or not os.access(text, os.X_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be run (`make bench` builds it)")
    return pathlib.Path(text)


def sh(command, **options):
    return subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, capture_output=True, text=True, **options)


def machine_cpu_seconds():
    """Busy seconds of all cores since boot: what servers and kernel threads use counts too."""
    fields = [int(n) for n in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")


def measure(command):
    """Runs a shell command; wall seconds, CPU seconds of its processes and of the whole machine, largest resident MiB."""
    busy, start = machine_cpu_seconds(), time.monotonic()
    with tempfile.NamedTemporaryFile() as account:
        # A small program in between: the memory of a new process begins with that of the one that started it.
        timed = ["time", "--quiet", "--format", "%U %S %M", "--output", account.name]
        done = subprocess.run([*timed, "bash", "-o", "pipefail", "-c", command], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE)
        wall = time.monotonic() - start
        if done.returncode:
            raise RuntimeError(f"{command}\n{done.stderr.decode(errors='replace')[-2000:]}")
        user, system, kib = account.read().split()
    return {"wall": wall, "cpu": float(user) + float(system), "machine": machine_cpu_seconds() - busy,
            "memory": int(kib) / 1024}


TABLE_AT = 440


def partition_table(size_mib):
    """From `TABLE_AT` to the end of the first sector: a DOS partition table with one partition behind the first MiB. Ferric
    refuses a disk image without a table; this one is good on larger disks as it is."""
    entry = struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", 2048, (size_mib - 1) * 2048)
    return bytes(6) + entry + bytes(48) + b"\x55\xaa"


class Images:
    """The images, made once: incompressible, compressible and zero pieces take turns."""

    def __init__(self, folder, size_mib):
        self.folder, self.size_mib = folder, size_mib
        self.digests = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.raw()
        raw = folder / "image.raw"
        for name, command in {
            "image.raw.gz": "gzip -1 -c {raw}",
            "image.raw.zst": "zstd -q -3 -c {raw}",
            "image.frames.zst": "pzstd -q -3 -c {raw}",
            "image.blocks.xz": "xz -T0 -1 --block-size=8MiB -c {raw}",
            "image.one.xz": "xz -T1 -0 -c {raw}",
            "image.raw.bz2": "lbzip2 -9 -c {raw}",
        }.items():
            self.make(name, (command + " > {out}").format(raw=raw, out=folder / (name + ".part")))
        self.make("image.qcow2", f"qemu-img convert -f raw -O qcow2 {raw} {folder}/image.qcow2.part")
        self.make("compressed.qcow2", f"qemu-img convert -c -f raw -O qcow2 {raw} {folder}/compressed.qcow2.part")

    def raw(self):
        path = self.folder / "image.raw"
        table = partition_table(self.size_mib)
        if path.exists() and path.stat().st_size == self.size_mib * MIB:
            with open(path, "rb") as file:
                if file.read(512)[TABLE_AT:] == table:
                    return
        for old in self.folder.glob("*image*"):
            old.unlink()
        (self.folder / "compressed.qcow2").unlink(missing_ok=True)
        generator = random.Random(1)
        words = [generator.randbytes(generator.randint(2, 9)).hex() for _ in range(4000)]
        with open(path, "wb") as file:
            for piece in range(self.size_mib // 4):
                if piece % 4 in (0, 2):
                    file.write(generator.randbytes(4 * MIB))
                elif piece % 4 == 1:
                    text = " ".join(generator.choices(words, k=400_000)).encode()
                    file.write(text[:4 * MIB].ljust(4 * MIB, b"x"))
                else:
                    file.write(bytes(4 * MIB))
            file.seek(TABLE_AT)
            file.write(table)

    def make(self, name, command):
        if not (self.folder / name).exists():
            print(f"making {name}", file=sys.stderr)
            sh(command)
            (self.folder / (name + ".part")).rename(self.folder / name)

    def digest(self, name, algorithm):
        if (name, algorithm) not in self.digests:
            with open(self.folder / name, "rb") as file:
                self.digests[name, algorithm] = hashlib.file_digest(file, algorithm).hexdigest()
        return self.digests[name, algorithm]


def free_ports(count):
    """Ports of loopback that nobody has, all different."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Server:
    """nginx on free ports of loopback: as it comes, with TLS 1.3, and without ranges of bytes."""

    def __init__(self, folder):
        self.state = tempfile.TemporaryDirectory()
        self.port, self.tls_port, self.whole_port = free_ports(3)
        state = pathlib.Path(self.state.name)
        self.authority, key = state / "certificate.pem", state / "key.pem"
        sh(f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
           f" -keyout {key} -out {self.authority}")
        config = state / "nginx.conf"
        config.write_text(f"""
            daemon off; worker_processes 1; pid {state}/pid; error_log stderr; user root;
            events {{}}
            http {{
                access_log off; sendfile on; root {folder};
                server {{ listen 127.0.0.1:{self.port}; }}
                server {{ listen 127.0.0.1:{self.whole_port}; max_ranges 0; }}
                server {{
                    listen 127.0.0.1:{self.tls_port} ssl; ssl_protocols TLSv1.3;
                    ssl_certificate {self.authority}; ssl_certificate_key {key};
                }}
            }}
        """)
        self.process = subprocess.Popen(["nginx", "-p", self.state.name, "-e", "stderr", "-c", str(config)],
                                        stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except OSError:
                time.sleep(0.05)

    def url(self, name, way="plain"):
        return {
            "plain": f"http://127.0.0.1:{self.port}/{name}",
            "tls": f"https://127.0.0.1:{self.tls_port}/{name}",
            "whole": f"http://127.0.0.1:{self.whole_port}/{name}",
        }[way]

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.state.cleanup()


class Disk:
    """A loop device over a preallocated file."""

    def __init__(self, name, folder, size_mib, direct):
        self.name, self.size_mib, self.direct = name, size_mib, direct
        self.file = pathlib.Path(tempfile.mkdtemp(prefix="ferric-bench-", dir=folder)) / "disk.raw"
        with open(self.file, "wb") as file:
            for _ in range(size_mib):
                file.write(b"\xa5" * MIB)
        options = "--direct-io=on" if direct else ""
        self.device = sh(f"losetup --find --show --partscan {options} {self.file}").stdout.strip()

    def holds(self, image, size):
        return subprocess.run(["cmp", "-s", "-n", str(size), image, self.device]).returncode == 0

    def spoil(self, wholly):
        """Before every turn: all blocks of the file exist (on a disk: were written), and its start, or all of it, is not the
        image's."""
        if not self.direct:
            with open(self.file, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, self.size_mib * MIB)
        with open(self.device, "wb") as device:
            for _ in range(self.size_mib if wholly or self.direct else 8):
                device.write(b"\xa5" * MIB)
            device.flush()
            os.fsync(device.fileno())

    def stop(self):
        sh(f"losetup --detach {self.device}")
        shutil.rmtree(self.file.parent)


def box(device):
    """A prefix for commands of the Python agent: of all disks of this machine they see only `device`."""
    others = [f"/dev/{name}" for name in sorted(os.listdir("/sys/class/block")) if f"/dev/{name}" != device]
    # One that has gone since needs no wall.
    walls = " && ".join(f"{{ ! test -e {other} || mount --bind /dev/null {other}; }}" for other in others)
    return f"unshare --mount --pid --fork --kill-child --mount-proc bash -c '{walls or 'true'} && exec \"$@\"' box"


def contenders(images, server, disk, agent, folder):
    """case -> {who: command}. Every command ends when the data are on the medium."""
    dev, raw = disk.device, images.folder / "image.raw"
    sync = f"blockdev --flushbufs {dev}"
    direct = f"dd of={dev} bs=1M oflag=direct iflag=fullblock conv=fsync status=none"

    def ferric(name, algorithm, way="plain"):
        return (f"{agent} write-image --allow-device {dev} --device {dev} --progress none --url {server.url(name, way)}"
                f" --cafile {server.authority} --checksum {algorithm}:{images.digest(name, algorithm)}")

    def ipa(name, algorithm, disk_format, way="plain"):
        python = PEERS / "venv/bin/python"
        if not python.exists():
            return None
        digest = images.digest(name, algorithm)
        return (f"TMPDIR={folder} OS_DEFAULT__CAFILE={server.authority} {box(dev)} {python} {REPOSITORY}/tests/bench/ipa.py"
                f" {server.url(name, way)} {dev} {algorithm} {digest} {disk_format} && {sync}")

    def coreos(name, way="plain"):
        program = PEERS / "bin/coreos-installer"
        if not program.exists():
            return None
        shims = folder / "shims"
        shims.mkdir(exist_ok=True)
        (shims / "udevadm").write_text("#!/bin/sh\nexit 0\n")
        (shims / "udevadm").chmod(0o755)
        inside = (f"mount -t tmpfs none /run && mkdir /run/udev && touch /run/udev/control &&"
                  f" SSL_CERT_FILE={server.authority} PATH={shims}:$PATH {program} install --insecure"
                  f" --image-url {server.url(name, way)} {dev}")
        return f"unshare -m bash -c '{inside}'"

    def curl(name, way="plain"):
        return f"curl -s --cacert {server.authority} {server.url(name, way)}"

    def download_convert(name, way="plain"):
        spool = folder / "spool.qcow2"
        return (f"{curl(name, way)} -o {spool} && qemu-img convert -n -W -m 16 -t none -O raw {spool} {dev}"
                f" && {sync}; code=$?; rm -f {spool}; exit $code")

    def openssl(name, algorithm):
        return f"openssl dgst -{algorithm} {images.folder / name}"

    def receive(name, way="plain"):
        return f"{curl(name, way)} -o /dev/null"

    write = f"dd if={raw} of={dev} bs=1M oflag=direct conv=fsync status=none"
    cases = {}
    for algorithm in ("sha256", "sha512"):
        cases[f"raw, {algorithm}"] = ("image.raw", {
            "limit: receive": receive("image.raw"),
            "limit: hash": openssl("image.raw", algorithm),
            "limit: write": write,
            "ferric": ferric("image.raw", algorithm),
            "ironic-python-agent": ipa("image.raw", algorithm, "raw"),
            "curl, openssl, dd": f"{curl('image.raw')} | tee >(openssl dgst -{algorithm} >/dev/null) | {direct}",
            "coreos-installer (no digest)": coreos("image.raw") if algorithm == "sha256" else None,
        })
    for name, decode, label in (
        ("image.raw.gz", "gzip -dc", "gzip"),
        ("image.raw.zst", "zstd -qdc", "zstd, one frame"),
        ("image.frames.zst", "zstd -qdc", "zstd, many frames"),
        ("image.one.xz", "xz -T0 -dc", "xz, one block"),
        ("image.blocks.xz", "xz -T0 -dc", "xz, many blocks"),
        ("image.raw.bz2", "lbzip2 -dc", "bzip2"),
    ):
        parallel = f"{curl(name)} | pzstd -qdc | {direct}" if "frames" in name else None
        cases[f"{label}, sha256"] = (name, {
            "limit: receive": receive(name),
            "limit: hash": openssl(name, "sha256"),
            "limit: decode": f"{decode} {images.folder / name}",
            "limit: write": write,
            "ferric": ferric(name, "sha256"),
            f"curl, {decode.split()[0]}, dd (no digest)": f"{curl(name)} | {decode} | {direct}",
            "curl, pzstd, dd (no digest)": parallel,
            # It does not know bzip2.
            "coreos-installer (no digest)": None if name.endswith("bz2") else coreos(name),
        })
    for name, label in (("image.qcow2", "qcow2"), ("compressed.qcow2", "qcow2 compressed")):
        cases[f"{label}, sha256"] = (name, {
            "limit: receive": receive(name),
            "limit: hash": openssl(name, "sha256"),
            "limit: decode": f"qemu-img convert -W -m 16 -O raw {images.folder / name} {folder}/decoded"
            if "compressed" in name else None,
            "limit: write": write,
            "ferric": ferric(name, "sha256"),
            "ironic-python-agent": ipa(name, "sha256", "qcow2"),
            "curl -o, qemu-img (no digest)": download_convert(name),
        })
    for way, label in (("tls", "over TLS"), ("whole", "without ranges")):
        cases[f"raw {label}, sha256"] = ("image.raw", {
            "limit: receive": receive("image.raw", way),
            "limit: hash": openssl("image.raw", "sha256"),
            "limit: write": write,
            "ferric": ferric("image.raw", "sha256", way),
            "ironic-python-agent": ipa("image.raw", "sha256", "raw", way),
            "curl, openssl, dd": f"{curl('image.raw', way)} | tee >(openssl dgst -sha256 >/dev/null) | {direct}",
            "coreos-installer (no digest)": coreos("image.raw", way),
        })
        # Its tables are at the end: without ranges they cannot be read first.
        cases[f"qcow2 {label}, sha256"] = ("image.qcow2", {
            "limit: receive": receive("image.qcow2", way),
            "limit: hash": openssl("image.qcow2", "sha256"),
            "limit: write": write,
            "ferric": ferric("image.qcow2", "sha256", way),
            "ironic-python-agent": ipa("image.qcow2", "sha256", "qcow2", way),
            "curl -o, qemu-img (no digest)": download_convert("image.qcow2", way),
        })
    return {case: (name, {who: c for who, c in commands.items() if c}) for case, (name, commands) in cases.items()}


def run(images, server, disk, agent, rounds, wanted, folder):
    """(case, who) -> measurements of the cases that are wanted; everybody has a turn before anybody has a second."""
    results, absent = {}, {}
    cases = {case: x for case, x in contenders(images, server, disk, agent, folder).items()
             if wanted(case) and (disk.name == "memory" or case.startswith(ON_DISK))}
    size = images.size_mib * MIB
    for case, (name, commands) in cases.items():
        # The first round warms memory and proves that the disk is right.
        for turn in range(1 if case.startswith(LONG) else rounds + 1):
            for who, command in commands.items():
                if (case, who) in absent:
                    continue
                if who not in ("limit: receive", "limit: hash", "limit: decode"):
                    disk.spoil(wholly=turn == 0)
                try:
                    measured = measure(command)
                except RuntimeError as error:
                    absent[case, who] = str(error)
                    print(f"{disk.name}: {case}: {who} does not run here: {error}", file=sys.stderr)
                    continue
                (folder / "decoded").unlink(missing_ok=True)
                if turn == 0 and not who.startswith("limit") and not disk.holds(images.folder / "image.raw", size):
                    absent[case, who] = "wrote something else"
                    print(f"{disk.name}: {case}: {who} wrote something else", file=sys.stderr)
                    continue
                if turn == 0 and not case.startswith(LONG):
                    continue
                results.setdefault((case, who), []).append(measured)
                print(f"{disk.name:8} {case:26} {who:32} {measured['wall']:7.2f} s", file=sys.stderr)
    return results


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def table(results, cores):
    lines = []
    for case in dict.fromkeys(case for case, _ in results):
        rows = {who: runs for (c, who), runs in results.items() if c == case}
        limits = {who: runs for who, runs in rows.items() if who.startswith("limit")}
        slowest = max((median(runs, "wall"), who) for who, runs in limits.items())
        shared = sum(median(runs, "machine") for runs in limits.values()) / cores
        limit = max(slowest[0], shared)
        why = slowest[1].removeprefix("limit: ") if slowest[0] >= shared else f"CPU of all stages on {cores} cores"
        lines += [f"### {case}", "", f"L = {limit:.2f} s ({why})", "",
                  "| | wall s | of L | Ferric takes | CPU s | machine CPU s | memory MiB |", "|---|---|---|---|---|---|---|"]
        ferric = median(rows["ferric"], "wall") if "ferric" in rows else None
        for who, runs in rows.items():
            wall = median(runs, "wall")
            ratio = f"{ferric / wall:.2f}" if ferric and not who.startswith("limit") and who != "ferric" else ""
            name = "**Ferric**" if who == "ferric" else who
            lines.append(f"| {name} | {wall:.2f} | {wall / limit:.2f} | {ratio} | {median(runs, 'cpu'):.2f} |"
                         f" {median(runs, 'machine'):.2f} | {median(runs, 'memory'):.0f} |")
        lines.append("")
    return lines


def version(command):
    try:
        return sh(command).stdout.strip().splitlines()[0]
    except (subprocess.CalledProcessError, IndexError):
        return "absent"


def heading(arguments, load):
    cpu = version("grep -m1 'model name' /proc/cpuinfo | cut -d: -f2").strip()
    memory = version("free -h | awk '/Mem/ {print $2}'")
    return [
        "# Benchmarks", "",
        "Made by `make bench`; every run writes this file anew. The contenders take turns on the same image, server (nginx on",
        "loopback; over TLS 1.3, or without ranges of bytes, where that is said) and disk; medians of the rounds after a first one",
        "that warms memory and is not counted. A run ends when the data are durable. *L* is the larger of the slowest stage alone and the CPU seconds of all stages (server and kernel",
        "included) divided by the cores: what a perfect pipeline could reach on this machine. *Ferric takes* is Ferric's wall",
        "time as a part of the other's. Ferric always checks the digest; who does not is marked. Before every turn all blocks of",
        "the target exist. Where decoding is the slowest stage, the target is in memory only; xz in one block and bzip2 have one",
        "round, and none before it.", "",
        "| | |", "|---|---|",
        f"| Machine | {os.cpu_count()} cores, {cpu}, {memory} memory,"
        f" Linux {os.uname().release} |",
        f"| Load before the run | {load} |",
        f"| Image | {arguments.size_mib} MiB: half incompressible, a quarter compressible, a quarter zeroes; {arguments.rounds} rounds |",
        f"| Ferric | {version(f'git -C {REPOSITORY} rev-parse --short HEAD')} |",
        f"| ironic-python-agent | {version(f'{PEERS}/venv/bin/pip show ironic-python-agent | grep ^Version').split()[-1]} |",
        f"| coreos-installer | {version(f'{PEERS}/bin/coreos-installer --version').split()[-1]} |",
        f"| qemu-img | {version('qemu-img --version')} |",
        f"| curl | {version('curl --version | cut -c1-11')} |",
        f"| xz, zstd | {version('xz --version')}, {version('zstd --version').split(',')[0]} |", "",
    ]


def other_sections(output):
    """What memory.py and cycle.py write, and people, as it is."""
    text = output.read_text() if output.exists() else ""
    start = text.find("## Memory")
    return "" if start < 0 else "\n" + text[start:]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=2048, help="size of the image (default 2048)")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds (default 3)")
    parser.add_argument("--quick", action="store_true", help="does everything work? 256 MiB, one round; the figures mean little")
    parser.add_argument("--all-cores-only", action="store_true", help="not once more on one core")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    parser.add_argument("--memory", type=directory, default="/dev/shm", help="a folder in memory")
    parser.add_argument("--disk", type=pathlib.Path, default=pathlib.Path("/var/tmp"), help="a folder on a disk; 'none' for none")
    parser.add_argument("--agent", type=program, default=str(REPOSITORY / "target/release/ferric-agent"))
    parser.add_argument("--output", type=pathlib.Path, help="default: docs/benchmarks.md, or with --quick a file in memory")
    arguments = parser.parse_args()
    end_in_order()
    if arguments.quick:
        arguments.size_mib, arguments.rounds = 256, 1
    load = pathlib.Path("/proc/loadavg").read_text().split()[0]
    folder = arguments.memory / "ferric-bench"
    output = arguments.output or (folder / "quick.md" if arguments.quick else REPOSITORY / "docs/benchmarks.md")
    images = Images(folder, arguments.size_mib)
    lines, raw = heading(arguments, load), {}
    cores = sorted(os.sched_getaffinity(0))
    targets = [("memory", arguments.memory, False, cores)]
    if str(arguments.disk) != "none":
        targets.append(("disk", arguments.disk, True, cores))
    if len(cores) > 1 and not arguments.all_cores_only:
        targets.append(("memory", arguments.memory, False, cores[:1]))
    for name, parent, direct, used in targets:
        # What is started from here on, the server too, has these; threads of the kernel go where they like.
        os.sched_setaffinity(0, used)
        is_part = len(used) < len(cores)
        title = f"{name}, everybody on one core" if is_part else name
        disk = Disk(name, parent, arguments.size_mib + 64, direct)
        try:
            server = Server(folder)
            try:
                results = run(images, server, disk, arguments.agent, arguments.rounds,
                              lambda case: arguments.only in case and (not is_part or case in ON_ONE_CORE), folder)
            finally:
                server.stop()
        finally:
            disk.stop()
        lines += [f"## Target: loop device over a preallocated file, {title}", ""] + table(results, len(used))
        raw[title] = {f"{case} / {who}": runs for (case, who), runs in results.items()}
    os.sched_setaffinity(0, cores)
    output.parent.mkdir(exist_ok=True)
    output.write_text("\n".join(lines) + other_sections(output))
    (folder / "measurements.json").write_text(json.dumps(raw, indent=1))
    print(output)


if __name__ == "__main__":
    main()
