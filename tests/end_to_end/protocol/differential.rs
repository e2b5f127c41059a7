//! The real Python agent and ours, each on the same captured machine under a conductor that says the same: what they tell
//! it and how they answer must agree, value by value, but for what stands in [`allowed::DIFFERENCES`].

mod allowed;
mod compare;
mod requests;
mod session;

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;

use session::{Contender, Record};

#[test]
fn ferric_says_what_ipa_says() {
    let play = |contender| {
        move || -> anyhow::Result<Vec<Record>> {
            requests::sessions().iter().map(|session| session::play(contender, session)).collect()
        }
    };
    // Both at the same time; each in networks and on machines of its own.
    let (ipa, ferric) = (thread::spawn(play(Contender::Ipa)), thread::spawn(play(Contender::Ferric)));
    let (ipa, ferric) = (ipa.join().unwrap().unwrap().concat(), ferric.join().unwrap().unwrap().concat());
    let mut differences = compare::records(&ipa, &ferric);
    let mut unused: BTreeSet<usize> = (0..allowed::DIFFERENCES.len()).collect();
    differences.retain(|difference| {
        let allowed = allowed::DIFFERENCES.iter().position(|allowed| allowed.covers(difference));
        allowed.is_none_or(|index| {
            unused.remove(&index);
            false
        })
    });
    let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
    let unused: Vec<_> = unused.into_iter().map(|index| &allowed::DIFFERENCES[index]).collect();
    assert!(differences.is_empty(), "not allowed:\n{}", differences.join("\n"));
    assert!(unused.is_empty(), "no longer seen: {unused:#?}");
}

/// What an agent could do to this machine, tried from within.
const ESCAPES: &str = r#"
import ctypes, os, sys
def refused(what, action):
    try:
        action()
    except OSError:
        return
    sys.exit(what + " is possible in the box")
for name in os.listdir("/sys/class/block"):
    for flags in (os.O_RDONLY, os.O_RDWR):
        refused("opening " + name, lambda: os.open("/dev/" + name, flags))
real = [line.split() for line in open("/proc/partitions").read().splitlines()[2:]]
assert real, "a machine without disks proves nothing"
for major, minor, _, name in real:
    number = os.makedev(int(major), int(minor))
    refused("a node for " + name, lambda: os.mknod("/tmp/node", 0o60600, number))
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *arguments):
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "")
# A command that no kernel knows: with the right to reboot, the error would be another one.
libc.reboot(0x7fffffff)
assert ctypes.get_errno() == 1, "reboot(2) is possible in the box"
refused("mounting", lambda: call(libc.mount, b"none", b"/tmp", b"tmpfs", 0, 0))
for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/hostname", "/usr/bin/env", "/sys/block/sda/dev"):
    refused("writing " + path, lambda: os.open(path, os.O_WRONLY))
print("nothing gets out")
"#;

#[test]
fn the_box_lets_nothing_out() {
    let mut command = session::agent_box("").unwrap().command(&session::python().unwrap());
    let output = command.args(["-c", ESCAPES]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), "nothing gets out", "{}", String::from_utf8_lossy(&output.stderr));
    // The proof can fail: with these rights, outside, nodes for disks can be made.
    let directory = tempfile::tempdir().unwrap();
    let made = Command::new("mknod").arg(directory.path().join("node")).args(["b", "2008", "0"]).status().unwrap();
    assert!(made.success());
}
