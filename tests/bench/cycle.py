#!/usr/bin/env python3
"""Takes machines through their life under a real Ironic, with Ferric's agent and with the Python one in turn, and lets
many agents heartbeat to one Ironic. Replaces the section "Under a real Ironic" of docs/benchmarks.md.

Needs root, `make static`, `.ci/peers`, a network interface with a device behind it and
the devices controller (cgroup version 1). Both agents run in a box (box.sh) from which only a loop device can be reached.
"""
import argparse
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PEERS = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "ferric/peers"
DEVICES = pathlib.Path("/sys/fs/cgroup/devices")
HEADING = "## Under a real Ironic"
MIB = 1 << 20
VERBS = {"inspect": "manageable", "provide": "available", "active": "active", "deleted": "available", "clean": "manageable",
         "manage": "manageable"}
# What differs from the Ironic of the tests: machines without BMC, whose power only this program knows; the agent that
# has inspected goes on to clean and to deploy; no boot loader has to be installed; as many machines at once as come.
CHANGES = {
    "enabled_hardware_types = redfish": "enabled_hardware_types = manual-management",
    "enabled_management_interfaces = redfish": "enabled_management_interfaces = noop",
    "enabled_power_interfaces = redfish": "enabled_power_interfaces = fake",
    "require_managed_boot = true": "require_managed_boot = false",
    "power_off = true": "power_off = false",
    "fast_track = false": "fast_track = true",
    "default_boot_mode = uefi": "default_boot_mode = bios",
    "post_deploy_get_power_state_retries = 5": "post_deploy_get_power_state_retries = 3",
    "[conductor]\n": "[conductor]\nmax_concurrent_clean = 1000\n",
}
PORTS = iter(range(20_000 + os.getpid() % 5_000, 32_000))


def free_port():
    """Below the ports of outgoing connections, which could take it away again."""
    for port in PORTS:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


def until(what, probe, limit=120, pause=0.05):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found = probe()
        if found:
            return found
        time.sleep(pause)
    raise RuntimeError(f"{what}: not within {limit} s")


def start(command, log, **options):
    with open(log, "ab") as file:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, **options)


def stop(process):
    """The whole session: Ironic's launcher has workers."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Ironic:
    """The real one, on loopback, with an empty database."""

    def __init__(self, folder):
        self.folder = folder / "ironic"
        for name in ("tmp", "locks", "certs", "deploy-logs", "tftpboot/master", "images", "master_images", "http"):
            (self.folder / name).mkdir(parents=True)
        for name in ("kernel", "ramdisk", "tftpboot/pxelinux.0", "tftpboot/bootx64.efi"):
            (self.folder / name).write_text("the machine boots without it\n")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        text = (REPOSITORY / "tests/peers/ironic.conf").read_text()
        for name, value in {"STATE": self.folder, "API_PORT": port, "API_URL": self.url, "REQUIRE_TLS": "False"}.items():
            text = text.replace(f"@{name}@", str(value))
        for before, after in CHANGES.items():
            assert before in text, before
            text = text.replace(before, after, 1)
        (self.folder / "ironic.conf").write_text(text)
        self.programs = PEERS / "venv/bin"
        self.environment = os.environ | {"PATH": f"{self.programs}:{os.environ['PATH']}"}
        subprocess.run(self.command("ironic-dbsync") + ["create_schema"], check=True, capture_output=True, env=self.environment)
        self.process = start(self.command("ironic"), self.folder / "output", env=self.environment)
        until("Ironic's conductor", self.alive, pause=0.25)

    def command(self, program):
        return [self.programs / program, "--config-file", self.folder / "ironic.conf"]

    def alive(self):
        with contextlib.suppress(OSError):
            return any(conductor["alive"] for conductor in self.call("GET", "/v1/conductors")["conductors"])

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json", "Accept": "application/json", "X-OpenStack-Ironic-API-Version": "1.90"}
        data = None if body is None else json.dumps(body).encode()
        for _ in range(600):
            request = urllib.request.Request(self.url + path, data, headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=120) as answer:
                    text = answer.read()
                    return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                # The node is locked: its conductor is at work.
                if error.code != 409:
                    raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from None
                time.sleep(0.05)
        raise RuntimeError(f"{method} {path}: locked for ever")

    def node(self, uuid):
        return self.call("GET", f"/v1/nodes/{uuid}?fields=provision_state,last_error,driver_internal_info")

    def enrol(self, name, mac, disk):
        node = self.call("POST", "/v1/nodes", {
            "name": name, "driver": "manual-management", "properties": {"root_device": {"name": disk}, "cpu_arch": "x86_64"},
            "driver_info": {"deploy_kernel": f"file://{self.folder}/kernel", "deploy_ramdisk": f"file://{self.folder}/ramdisk"}})
        self.call("POST", "/v1/ports", {"node_uuid": node["uuid"], "address": mac})
        return node["uuid"]

    def begin(self, uuid, verb, **arguments):
        self.call("PUT", f"/v1/nodes/{uuid}/states/provision", {"target": verb, **arguments})

    def ended(self, uuid, verb):
        """None while it is on its way."""
        node = self.node(uuid)
        state = node["provision_state"]
        if state.endswith(("failed", "error")) or (state == "enroll" and node["last_error"]):
            raise RuntimeError(f"{verb}: {state}: {node['last_error']}")
        return state if state == VERBS[verb] else None

    def move(self, uuid, verb, **arguments):
        """Seconds from the request to the state that it leads to."""
        started = time.monotonic()
        self.begin(uuid, verb, **arguments)
        until(verb, lambda: self.ended(uuid, verb), 600)
        return time.monotonic() - started


class Disk:
    """A loop device, and the cgroup in which it is the only disk."""

    def __init__(self, folder, size_mib):
        self.file = folder / f"disk-{uuid.uuid4()}"
        self.file.write_bytes(b"")
        os.truncate(self.file, size_mib * MIB)
        command = ["losetup", "--find", "--show", "--partscan", self.file]
        self.device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        self.cgroup = DEVICES / f"ferric-bench-{os.getpid()}-{pathlib.Path(self.device).name}"
        self.cgroup.mkdir()
        number = os.stat(self.device).st_rdev
        (self.cgroup / "devices.deny").write_text("a")
        for rule in ("c *:* rwm", f"b {os.major(number)}:{os.minor(number)} rwm", "b 259:* rwm"):
            (self.cgroup / "devices.allow").write_text(rule)

    def box(self, arguments, command):
        return [REPOSITORY / "tests/bench/box.sh", self.cgroup, self.device, arguments, *command]

    def processes(self):
        return [int(line) for line in (self.cgroup / "cgroup.procs").read_text().split()]

    def largest_mib(self):
        """Resident memory of the largest process in the box."""
        return max(map(resident_mib, self.processes()), default=0)

    def close(self):
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        until("the end of the box", lambda: not self.processes())
        self.cgroup.rmdir()
        subprocess.run(["partx", "--delete", self.device], capture_output=True)
        subprocess.run(["losetup", "--detach", self.device], check=True)
        self.file.unlink()


class Agents:
    """How the contenders are started."""

    def __init__(self, arguments, folder):
        self.ferric, self.folder = arguments.agent, folder

    def command(self, who, port, disk):
        conf = self.folder / f"agent-{port}.conf"
        conf.write_text(f"[DEFAULT]\nlisten_host = 127.0.0.1\nlisten_port = {port}\nadvertise_host = 127.0.0.1\n"
                        f"advertise_port = {port}\ninspection_collectors = default,logs\ndebug = true\nuse_stderr = true\n")
        if who == "ferric":
            return [self.ferric, "run", "--config-file", conf, "--allow-device", disk, "--state-dir", "/tmp/state"]
        return [PEERS / "venv/bin/ironic-python-agent", "--config-file", conf]


class Watcher:
    """An Ironic that only notes when it is asked: for what an agent does before there is any."""

    def __init__(self):
        self.seen = {}
        watcher = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                now = time.monotonic()
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                path = self.path.split("?")[0]
                watcher.seen.setdefault("/v1/heartbeat" if "heartbeat" in path else path, now)
                body, status = b"{}", 202 if "heartbeat" in path else 200
                if path == "/":
                    version = {"id": "v1", "status": "CURRENT", "min_version": "1.1", "version": "1.115", "links": []}
                    body = json.dumps({"default_version": version, "versions": [version]}).encode()
                if path == "/v1/lookup":
                    config = {"heartbeat_timeout": 300, "agent_token": "t" * 43, "agent_token_required": True}
                    node = {"uuid": str(uuid.uuid4()), "properties": {}, "instance_info": {}, "driver_internal_info": {}}
                    body = json.dumps({"node": node, "config": config}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # Whoever asks only for the time of the question does not wait for the answer.
        self.server.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def starting(who, agents, folder):
    """Milliseconds from the start of the process to the first look-up; resident MiB when nothing is to be done."""
    disk, watcher, port = Disk(folder, 4500), Watcher(), free_port()
    try:
        # No inspection: it would come first. The shell asks for /start when the agent takes its place.
        command = agents.command(who, port, disk.device)
        conf = agents.folder / f"agent-{port}.conf"
        conf.write_text(conf.read_text().replace("inspection_collectors = default,logs\n", ""))
        host, number = watcher.url.removeprefix("http://").split(":")
        script = (f"exec 3<>/dev/tcp/{host}/{number}; printf 'GET /start HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' >&3; read -r <&3;"
                  " exec 3>&-; exec \"$@\"")
        box = disk.box(f"ipa-api-url={watcher.url}", ["bash", "-c", script, "agent", *command])
        process = start(box, folder / f"{who}-start.log")
        until(f"{who}: the heartbeat", lambda: "/v1/heartbeat" in watcher.seen)
        # What the start needed may be given back yet.
        time.sleep(5)
        memory = disk.largest_mib()
        stop(process)
        return {"lookup_ms": (watcher.seen["/v1/lookup"] - watcher.seen["/start"]) * 1000, "memory_mib": memory}
    finally:
        disk.close()
        watcher.server.shutdown()


def cycle(who, agents, ironic, folder, mac, image, size_mib):
    """Seconds of each part of a machine's life."""
    disk, port = Disk(folder, max(4500, 2 * size_mib)), free_port()
    box = disk.box(f"ipa-api-url={ironic.url}", agents.command(who, port, disk.device))
    machine, node, took = None, ironic.enrol(f"{who}-{port}", mac, disk.device), {}
    try:
        ironic.move(node, "manage")
        for part, verb in {"inspect": "inspect", "clean": "provide", "deploy": "active", "undeploy": "deleted"}.items():
            if verb == "active":
                change = [{"op": "replace", "path": "/instance_info", "value": image}]
                ironic.call("PATCH", f"/v1/nodes/{node}", change)
            if part == "undeploy":
                # At the end of the deployment Ironic has switched it off, or takes that for done.
                stop(machine)
                machine = None
            machine = machine or start(box, folder / f"{who}.log")
            took[part] = ironic.move(node, verb)
        return took
    finally:
        # The next machine has the same address.
        with contextlib.suppress(RuntimeError):
            ironic.call("PUT", f"/v1/nodes/{node}/maintenance", {"reason": "the bench is through with it"})
            ironic.call("DELETE", f"/v1/nodes/{node}")
        if machine:
            stop(machine)
        disk.close()


PLUGIN = """#!/bin/sh
if [ "$1" = list ]; then
    echo '{"manager": "BenchHardwareManager", "steps": {"clean": [{"step": "pause", "timeout_seconds": 86400}]}}'
else
    while [ ! -e GO ]; do sleep 1; done
fi
"""


def many(count, seconds, agents, ironic, folder):
    """That many agents in a clean step, heartbeating; what became of them."""
    go, plugins = folder / "go", folder / "steps.d"
    plugins.mkdir()
    (plugins / "pause").write_text(PLUGIN.replace("GO", str(go)))
    (plugins / "pause").chmod(0o755)
    conf = folder / "many.conf"
    conf.write_text("[DEFAULT]\ndisk_wait_attempts = 0\n")
    nodes, machines = [], []
    for number in range(count):
        mac = f"52:54:00:be:{number // 256:02x}:{number % 256:02x}"
        hardware = folder / f"hardware-{number}.json"
        hardware.write_text(json.dumps({"interfaces": [{"name": "eth0", "mac_address": mac, "has_carrier": True}]}))
        nodes.append(ironic.enrol(f"many-{number}", mac, "/dev/no-such-device"))
        ironic.begin(nodes[-1], "manage")
    for node in nodes:
        until("manage", lambda: ironic.ended(node, "manage"), 600)

    def logs(text):
        files = [folder / f"many-{number}.log" for number in range(count)]
        return [file.read_text().count(text) if file.exists() else 0 for file in files]
    try:
        began = time.monotonic()
        for number, node in enumerate(nodes):
            ironic.begin(node, "clean", clean_steps=[{"interface": "deploy", "step": "pause"}])
            command = [agents.ferric, "run", "--config-file", conf, "--api-url", ironic.url, "--listen-host", "127.0.0.1",
                       "--listen-port", free_port(), "--advertise-host", "127.0.0.1", "--allow-device", "/dev/no-such-device",
                       "--steps-dir", plugins, "--simulated-hardware", folder / f"hardware-{number}.json",
                       "--state-dir", folder / f"state-{number}"]
            machines.append(start([str(word) for word in command], folder / f"many-{number}.log"))
        until("every agent in its step", lambda: all(logs("executing step")), 1200, 1)
        together = time.monotonic() - began
        before, failed = logs("heartbeat sent"), sum(logs("heartbeat failed"))
        memory = [resident_mib(machine.pid) for machine in machines]
        busy = machine_cpu_seconds()
        time.sleep(seconds)
        busy = machine_cpu_seconds() - busy
        sent = [after - first for after, first in zip(logs("heartbeat sent"), before)]
        lost = sum(logs("heartbeat failed")) - failed
        go.touch()
        for node in nodes:
            until("the end of the step", lambda: ironic.ended(node, "clean"), 1200)
        return {"count": count, "together": together, "seconds": seconds, "sent": sum(sent), "fewest": min(sent),
                "lost": lost, "memory_mib": statistics.median(memory), "cpu": busy / seconds}
    finally:
        for machine in machines:
            stop(machine)


def resident_mib(process):
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return 0


def machine_cpu_seconds():
    fields = [int(n) for n in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def make_image(folder, size_mib):
    """A raw image, incompressible, with a partition table."""
    path = folder / "www/image.raw"
    path.parent.mkdir()
    generator = random.Random(1)
    with open(path, "wb") as file:
        for _ in range(size_mib):
            file.write(generator.randbytes(MIB))
    subprocess.run(["sgdisk", "--zap-all", "--new=1:2048:0", path], check=True, capture_output=True)
    with open(path, "rb") as file:
        return path, hashlib.file_digest(file, "sha256").hexdigest()


def version(command):
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True).stdout.strip()


def report(arguments, load, startings, cycles, crowd):
    cpu = version("grep -m1 'model name' /proc/cpuinfo | cut -d: -f2").strip()
    versions = {name: version(f"{PEERS}/venv/bin/pip show {name} | sed -n 's/^Version: //p'")
                for name in ("ironic", "ironic-python-agent")}

    def median(runs, key):
        return statistics.median(run[key] for run in runs)
    lines = [
        HEADING, "",
        f"Made by `tests/bench/cycle.py` with Ferric {version(f'git -C {REPOSITORY} rev-parse --short HEAD')} (release build),"
        f" ironic-python-agent {versions['ironic-python-agent']}", f"and Ironic {versions['ironic']} on {os.cpu_count()} cores"
        f" ({cpu}), Linux {os.uname().release}; load before the run {load}. Both agents run in the same box, on",
        "a loop device, and take turns; medians. The machine starts at once, and Ironic knows its power (no BMC is asked).", "",
        f"| {len(startings['ferric'])} starts each | Ferric | ironic-python-agent |", "|---|---|---|",
    ]
    for key, label in (("lookup_ms", "start of the process to the first look-up, ms"), ("memory_mib", "resident when idle, MiB")):
        lines.append(f"| {label} | {median(startings['ferric'], key):.1f} | {median(startings['ipa'], key):.1f} |")
    lines += ["", f"| seconds, {len(cycles['ferric'])} lives each, image of {arguments.size_mib} MiB | Ferric | ironic-python-agent"
              " | Ferric takes |", "|---|---|---|---|"]
    totals = {who: statistics.median(sum(run.values()) for run in runs) for who, runs in cycles.items()}
    for part in ("inspect", "clean", "deploy", "undeploy"):
        ours, theirs = median(cycles["ferric"], part), median(cycles["ipa"], part)
        lines.append(f"| {part} | {ours:.1f} | {theirs:.1f} | {ours / theirs:.2f} |")
    lines.append(f"| **whole life** | {totals['ferric']:.1f} | {totals['ipa']:.1f} | {totals['ferric'] / totals['ipa']:.2f} |")
    if crowd:
        lines += ["", f"{crowd['count']} Ferric agents under one Ironic, each in a clean step that waits: all were there after"
                  f" {crowd['together']:.0f} s. In the", f"{crowd['seconds']} s that followed they sent {crowd['sent']} heartbeats"
                  f" (none fewer than {crowd['fewest']}), of which {crowd['lost']} failed; then all {crowd['count']} nodes ended",
                  f"their cleaning well. Each agent had {crowd['memory_mib']:.1f} MiB resident; agents and Ironic together used"
                  f" {crowd['cpu']:.2f} cores."]
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="lives and starts of each agent (default 3)")
    parser.add_argument("--size-mib", type=int, default=256, help="size of the image (default 256)")
    parser.add_argument("--agents", type=int, default=100, help="agents under one Ironic; 0: leave that out (default 100)")
    parser.add_argument("--seconds", type=int, default=120, help="how long they heartbeat (default 120)")
    parser.add_argument("--agent", type=pathlib.Path, default=REPOSITORY / "target/x86_64-unknown-linux-gnu/release/ferric-agent",
                        help="the agent (default: what `make static` builds, which is what machines run)")
    parser.add_argument("--output", type=pathlib.Path, default=REPOSITORY / "docs/benchmarks.md")
    arguments = parser.parse_args()
    load = pathlib.Path("/proc/loadavg").read_text().split()[0]
    nic = next(path for path in sorted(pathlib.Path("/sys/class/net").iterdir()) if (path / "device").exists())
    mac = (nic / "address").read_text().strip()
    # Not below /tmp, which is another one in the box.
    with tempfile.TemporaryDirectory(prefix="ferric-cycle-", dir="/var/tmp") as name, contextlib.ExitStack() as cleanup:
        folder = pathlib.Path(name)
        agents = Agents(arguments, folder)
        path, digest = make_image(folder, arguments.size_mib)
        port = free_port()
        web = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", path.parent, str(port)]
        cleanup.callback(stop, start(web, folder / "web.log"))
        image = {"image_source": f"http://127.0.0.1:{port}/image.raw", "image_disk_format": "raw",
                 "image_os_hash_algo": "sha256", "image_os_hash_value": digest}
        startings, cycles, crowd = {"ferric": [], "ipa": []}, {"ferric": [], "ipa": []}, None
        try:
            for _ in range(arguments.rounds):
                for who in startings:
                    startings[who].append(starting(who, agents, folder))
                    print(who, startings[who][-1], file=sys.stderr)
            ironic = Ironic(folder)
            cleanup.callback(stop, ironic.process)
            for _ in range(arguments.rounds):
                for who in cycles:
                    cycles[who].append(cycle(who, agents, ironic, folder, mac, image, arguments.size_mib))
                    print(who, cycles[who][-1], file=sys.stderr)
            if arguments.agents:
                crowd = many(arguments.agents, arguments.seconds, agents, ironic, folder)
                print(crowd, file=sys.stderr)
        except BaseException:
            for log in sorted(folder.glob("*.log")) + [folder / "ironic/ironic.log"]:
                if log.exists() and "many-" not in log.name:
                    print(f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-40:], sep="\n", file=sys.stderr)
            raise
        lines = report(arguments, load, startings, cycles, crowd)
    before = arguments.output.read_text().split(HEADING)[0].rstrip() if arguments.output.exists() else "# Benchmarks"
    arguments.output.write_text(before + "\n\n" + "\n".join(lines) + "\n")
    print(arguments.output)


if __name__ == "__main__":
    main()
