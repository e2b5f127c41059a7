//! The real Ignition, as it runs in the initramfs of a live system, on a root directory of this machine: what it makes of
//! `ferric-ignition`'s config, and what it says when that cannot be applied.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use ferric_tests::disk_image::{digest, run};
use ferric_tests::file_server::FileServer;
use ferric_tests::process::program;

/// Mounts of its own: kernel arguments, and a place for what it remembers between its stages. Debian's Ignition labels all
/// that it writes for SELinux; a program that does nothing stands in for the one that this machine lacks.
const STAGES: &str = "set -e
mount -t tmpfs tmpfs /run
mount --bind \"$FOLDER/cmdline\" /proc/cmdline
for stage in fetch-offline fetch files; do
    /usr/lib/dracut/modules.d/30ignition/ignition --root \"$FOLDER/sysroot\" --platform metal --log-to-stdout --stage $stage
done";

/// A root directory without operating system, and a web server.
struct Lab {
    folder: tempfile::TempDir,
    server: FileServer,
}

impl Lab {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let labels = folder.path().join("sysroot/etc/selinux/none/contexts/files");
        for directory in [&labels, &folder.path().join("bin"), &folder.path().join("web")] {
            fs::create_dir_all(directory)?;
        }
        fs::write(labels.join("file_contexts"), "")?;
        fs::write(folder.path().join("sysroot/etc/selinux/config"), "SELINUXTYPE=none\n")?;
        let setfiles = folder.path().join("bin/setfiles");
        fs::write(&setfiles, "#!/bin/sh\nexec cat >/dev/null\n")?;
        fs::set_permissions(&setfiles, fs::Permissions::from_mode(0o755))?;
        fs::write(folder.path().join("web/ferric-agent"), "the agent\n")?;
        let server = FileServer::start(&folder.path().join("web"))?;
        Ok(Self { folder, server })
    }

    fn sysroot(&self, path: &str) -> PathBuf {
        self.folder.path().join("sysroot").join(path)
    }

    fn sha512(&self) -> Result<String> {
        digest("sha512sum", &self.folder.path().join("web/ferric-agent"))
    }

    /// Applies a config for the agent from `name` on the server; what Ignition said is the error when it fails.
    fn apply(&self, name: &str, sha512: &str) -> Result<()> {
        let config = run(
            &program("ferric-ignition").display().to_string(),
            &[
                "config",
                "--api-url=http://192.0.2.1:6385",
                "--hostname=node-1",
                &format!("--binary-url={}", self.server.url(name)),
                &format!("--binary-sha512={sha512}"),
            ],
        )?;
        fs::write(self.folder.path().join("web/agent.ign"), config)?;
        let arguments = format!("ignition.config.url={}\n", self.server.url("agent.ign"));
        fs::write(self.folder.path().join("cmdline"), arguments)?;
        let path = format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH")?);
        let output = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", STAGES])
            .env("FOLDER", self.folder.path())
            .env("PATH", path)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    }
}

#[test]
fn ignition_fetches_the_binary_and_enables_its_unit() -> Result<()> {
    let lab = Lab::new()?;
    lab.apply("ferric-agent", &lab.sha512()?)?;
    let binary = lab.sysroot("usr/local/bin/ferric-agent");
    assert_eq!(fs::read_to_string(&binary)?, "the agent\n");
    assert_eq!(fs::metadata(&binary)?.permissions().mode() & 0o777, 0o755);
    let configuration = lab.sysroot("etc/ironic-python-agent.conf");
    assert!(fs::read_to_string(&configuration)?.contains("api_url = http://192.0.2.1:6385"));
    assert_eq!(fs::metadata(&configuration)?.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(lab.sysroot("etc/hostname"))?, "node-1\n");
    let unit = fs::read_to_string(lab.sysroot("etc/systemd/system/ferric-agent.service"))?;
    assert!(unit.contains("ExecStart=/usr/local/bin/ferric-agent run"), "{unit}");
    let preset = fs::read_to_string(lab.sysroot("etc/systemd/system-preset/20-ignition.preset"))?;
    assert!(preset.contains("enable ferric-agent.service"), "{preset}");
    Ok(())
}

#[test]
fn a_binary_that_is_another_one_or_missing_is_not_installed() -> Result<()> {
    let lab = Lab::new()?;
    let sha512 = lab.sha512()?;
    for (name, sha512, reason) in
        [("ferric-agent", "0".repeat(128), "hash verification failed"), ("missing", sha512, "resource not found")]
    {
        let said = lab.apply(name, &sha512).unwrap_err().to_string();
        assert!(said.contains(reason), "{said}");
        assert!(!lab.sysroot("usr/local/bin/ferric-agent").exists(), "it was installed all the same");
        assert!(!lab.sysroot("etc/systemd/system-preset/20-ignition.preset").exists(), "the unit is enabled");
    }
    Ok(())
}
