//! README and the pages, read by somebody who does what they say: every command that is not marked otherwise (`blocks.rs`) is run,
//! in a Debian in which nothing of ours is but the programs, in a network of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use ferric_tests::image::bootable;
use ferric_tests::process::{Process, program};
use ferric_tests::{artefact, peers};

use super::blocks::{Block, Mark, blocks};
use super::sources::{pages, repository};

/// One page takes seconds.
const LIMIT: Duration = Duration::from_secs(180);

/// In namespaces of its own: `$1` is the system, `$2` a folder for what a page leaves, `$3` that of the programs, `$4` that of Ironic's
/// client, `$5` what is served, `$6` the folder that people stand in.
const ENTER: &str = r#"
set -eu
root=$2/root
mkdir -p "$root" "$2/changes" "$2/work"
mount -t overlay -o "lowerdir=$1,upperdir=$2/changes,workdir=$2/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t devtmpfs devtmpfs "$root/dev"
# The disks of this machine are not there.
for disk in "$root"/dev/sd* "$root"/dev/vd* "$root"/dev/nvme*n* "$root"/dev/mmcblk*; do
    [ ! -b "$disk" ] || mount --bind "$root/dev/null" "$disk"
done
mkdir -p "$root/srv/web" "$root/root/ferric" "$root$4"
for program in ferric-agent ferric-ignition conductor-stub; do
    touch "$root/usr/local/bin/$program"
    mount --bind "$3/$program" "$root/usr/local/bin/$program"
done
mount --bind "$4" "$root$4"
# Its interpreter is where it was installed: here it is Debian's.
printf '#!/bin/sh\nPYTHONPATH=$(echo %s/lib/python3*/site-packages) exec python3 %s/bin/baremetal "$@"\n' "$4" "$4" \
    >"$root/usr/local/bin/baremetal"
chmod 0755 "$root/usr/local/bin/baremetal"
mount --bind "$5" "$root/srv/web"
cp -r "$6/." "$root/root/ferric"
[ ! -d "$root/root/ferric/.ssh" ] || mv "$root/root/ferric/.ssh" "$root/root/"
ip link set lo up
echo '127.0.0.1 localhost server' >"$root/etc/hosts"
exec chroot "$root" /usr/bin/env -i HOME=/root LC_ALL=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    /bin/bash /root/ferric/.page
"#;

/// Before the commands of a page.
const BEGIN: &str = r#"
set -euo pipefail
cd /root/ferric
conductor= server=
stop() { if [ -n "$1" ]; then kill "$1" && wait "$1" || true; fi; }
trap 'code=$?; set +e; stop "$server"; stop "$conductor"; kill $(jobs -p) 2>/dev/null; losetup --detach "${disk:-none}" 2>/dev/null; exit $code' EXIT
# Until it has said something.
began() { while [ ! -s "$2" ]; do kill -0 "$1" || { cat "$2"; exit 1; }; sleep 0.1; done; }
python3 -m http.server --bind 127.0.0.1 --directory /srv/web 80 >/dev/null 2>&1 &
"#;

const CONDUCTOR: &str = r#"
if [ -z "$conductor" ]; then
    conductor-stub serve --state-dir /tmp/needed >/tmp/needed.log 2>&1 &
    conductor=$!
    began "$conductor" /tmp/needed.log
    export OS_AUTH_TYPE=none OS_ENDPOINT=http://127.0.0.1:6385
fi
"#;

/// The system: base, and what all pages find there.
struct Debian {
    folder: tempfile::TempDir,
    client: PathBuf,
}

impl Debian {
    fn new() -> Self {
        let list = repository().join("tests/people/debian_packages");
        let made = said(Command::new(repository().join(".ci/debian")).arg(list));
        let folder = tempfile::Builder::new().prefix("ferric-pages-").tempdir().unwrap();
        let (base, web) = (folder.path().join("base"), folder.path().join("web"));
        fs::create_dir(&base).unwrap();
        fs::create_dir(&web).unwrap();
        said(Command::new("tar").args(["--extract", "--file", made.trim(), "--directory"]).arg(&base));
        let raw = folder.path().join("image.raw");
        fs::write(&raw, bootable(16 << 20)).unwrap();
        said(Command::new("qemu-img").args(["convert", "-O", "qcow2"]).arg(raw).arg(web.join("image.qcow2")));
        let sums = said(Command::new("sha256sum").arg("image.qcow2").current_dir(&web));
        fs::write(web.join("SHA256SUMS"), sums).unwrap();
        Self { folder, client: peers::folder().unwrap().join("venv") }
    }

    /// Runs a page's script, with these files around it. Returns what it said, and whether all went well.
    fn run(&self, name: &str, script: &str) -> (String, bool) {
        let page = self.folder.path().join(name.replace('/', "-"));
        let home = page.join("home");
        fs::create_dir_all(&home).unwrap();
        said(Command::new("cp").arg("-r").arg(repository().join("examples")).arg(&home));
        around(name, &home);
        fs::write(home.join(".page"), script).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", ENTER, "enter"]);
        let folder = |name: &str| self.folder.path().join(name);
        let programs = program("ferric-agent").parent().unwrap().to_owned();
        for path in [folder("base"), page.clone(), programs, self.client.clone(), folder("web"), home] {
            command.arg(path);
        }
        let mut process = Process::start(&mut command).unwrap();
        let code = process.wait(LIMIT).unwrap();
        let _ = fs::remove_dir_all(&page);
        (process.log(), code == Some(0))
    }
}

/// What the commands of a page take for given.
fn around(page: &str, home: &Path) {
    let file = |name: &str, text: &str| fs::write(home.join(name), text).unwrap();
    match page {
        "docs/coreos.md" => {
            for script in [
                "mkdir .ssh nmconnections && ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519",
                "mkdir -p etc/coreos && touch etc/coreos-live-initramfs && echo '{\"live-initrd-network\": true, \"installer-config\": true}' >etc/coreos/features.json",
                "find etc | cpio --quiet -o -H newc >initramfs.img && rm -r etc",
                "openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -out ca.pem -subj /CN=lab 2>/dev/null",
            ] {
                said(Command::new("bash").args(["-euc", script]).current_dir(home));
            }
            let iso = peers::folder().unwrap().join("live-isos/embed-areas-2023-07.x86_64.iso.xz");
            let unpacked = Command::new("xz").args(["--decompress", "--stdout"]).arg(iso).output().unwrap();
            fs::write(home.join("fcos-live.iso"), unpacked.stdout).unwrap();
            file("auth.json", "{\"auths\": {}}");
            file("site.ign", "{\"ignition\": {\"version\": \"3.2.0\"}}");
            file(
                "eth0.nmconnection",
                "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=auto\n",
            );
            fs::copy(home.join("eth0.nmconnection"), home.join("nmconnections/eth0.nmconnection")).unwrap();
            file(
                "network.yml",
                "interfaces:\n- name: eth0\n  type: ethernet\n  state: up\n  ipv4: {enabled: true, dhcp: true}\n",
            );
            fs::copy(program("ferric-agent"), home.join("ferric-agent")).unwrap();
        }
        "docs/migrate.md" => {
            let folder = home.join("target/ramdisk");
            fs::create_dir_all(&folder).unwrap();
            for name in ["ironic-python-agent.kernel", "ironic-python-agent.initramfs"] {
                fs::copy(artefact::ramdisk(name).unwrap(), folder.join(name)).unwrap();
            }
        }
        "docs/ramdisk.md" => {
            fs::copy(artefact::ramdisk("ferric.iso").unwrap(), home.join("node.iso")).unwrap();
        }
        _ => {}
    }
}

/// What a command that succeeds prints.
fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// What a block's commands are in the page's script.
fn commands(page: &str, block: &Block) -> String {
    let mut script = format!("\necho '--- {page}:{}'\n", block.line);
    if block.has(&Mark::NeedsConductor) {
        script += CONDUCTOR;
    }
    let mut lines = block.lines();
    lines.retain(|line| !line.trim().is_empty());
    let server = lines.pop_if(|_| block.has(&Mark::Stays));
    for line in lines {
        script += &format!("{line}\n");
    }
    if let Some(server) = server {
        let log = format!("/tmp/stays-{}.log", block.line);
        script += &format!(
            "stop \"$server\"; server=\n{{ exec env \\\n{server}\n}} >{log} 2>&1 &\nserver=$!\nbegan \"$server\" {log}\n"
        );
    }
    script
}

#[test]
fn a_reader_can_do_what_the_pages_say() {
    let debian = Debian::new();
    let (mut failed, mut ran, mut rest) = (Vec::new(), 0, Vec::new());
    for (page, text) in pages() {
        let all = blocks(&text);
        let mut script = BEGIN.to_owned();
        for block in all.iter().filter(|block| block.file().is_some()) {
            script += &format!("cat >{} <<'END OF FILE'\n{}END OF FILE\n", block.file().unwrap(), block.text);
        }
        let before = ran;
        for block in all.iter().filter(|block| block.is_commands()) {
            match block.not_run() {
                Some(why) => rest.push(format!("{page}:{}: {why}", block.line)),
                None => {
                    script += &commands(&page, block);
                    ran += 1;
                }
            }
        }
        if ran > before {
            let (said, is_well) = debian.run(&page, &script);
            if !is_well {
                failed.push(format!("{page}\n{said}"));
            }
        }
    }
    println!("{ran} blocks were run, and not run:\n{}", rest.join("\n"));
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(ran > 15, "only {ran} blocks");
}
