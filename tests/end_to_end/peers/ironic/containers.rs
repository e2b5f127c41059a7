//! Container steps as an operator sets them up: a registry with one image, and podman on the machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use ferric_tests::network::{free_port, wait_for_port};
use ferric_tests::process::Process;

/// What the image leaves in the lab's folder when it runs.
const TRACE: &str = "container-ran";

/// A registry on loopback that has one image, and a podman storage of the lab's own that does not have it.
pub(super) struct Containers {
    folder: PathBuf,
    port: u16,
    _registry: Process,
}

impl Containers {
    /// Everything lives below `folder`.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let home = folder.join("containers");
        std::fs::create_dir_all(home.join("image"))?;
        let port = free_port()?;
        let shown = home.display();
        // A directory per layer instead of overlay mounts, so that removing the folder removes everything.
        let storage = format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{shown}/root\"\nrunroot = \"{shown}/run\"\n");
        std::fs::write(home.join("storage.conf"), storage)?;
        // A runtime that knows cgroups of both versions at once, and limits that a shell without all capabilities can set.
        let engine = "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n\
                      [containers]\ndefault_ulimits = [\"nofile=1000:1000\", \"nproc=1000:1000\"]\n";
        std::fs::write(home.join("containers.conf"), engine)?;
        let registry = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {shown}/registry}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\n"
        );
        std::fs::write(home.join("registry.yml"), registry)?;
        let registry = Process::start(Command::new("docker-registry").arg("serve").arg(home.join("registry.yml")))?;
        wait_for_port(port, Duration::from_secs(60))?;
        let containers = Self { folder: folder.to_path_buf(), port, _registry: registry };
        containers.publish(&home.join("image"))?;
        Ok(containers)
    }

    /// Makes the image and puts it into the registry, not into the storage.
    fn publish(&self, context: &Path) -> Result<()> {
        std::fs::copy("/bin/busybox", context.join("busybox"))?;
        let file = format!(
            "FROM scratch\nCOPY busybox /busybox\nCMD [\"/busybox\", \"sh\", \"-c\", \"echo ran >> /lab/{TRACE}\"]\n"
        );
        std::fs::write(context.join("Containerfile"), file)?;
        let image = self.image();
        self.podman(&["build", "--quiet", "--tag", &image, &context.display().to_string()])?;
        self.podman(&["push", "--quiet", "--tls-verify=false", &image])?;
        self.podman(&["rmi", "--force", &image])
    }

    fn podman(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new("podman").envs(self.environment()).args(arguments).output()?;
        ensure!(output.status.success(), "podman {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// The image, as a step names it.
    pub(super) fn image(&self) -> String {
        format!("127.0.0.1:{}/lab:1", self.port)
    }

    /// What podman needs in its environment.
    pub(super) fn environment(&self) -> BTreeMap<&'static str, PathBuf> {
        let home = self.folder.join("containers");
        [("CONTAINERS_CONF", home.join("containers.conf")), ("CONTAINERS_STORAGE_CONF", home.join("storage.conf"))]
            .into()
    }

    /// What Ironic's operator configures: this image alone, and how it runs. Agents get that with the look-up.
    pub(super) fn section(&self) -> String {
        format!(
            "\n[agent_containers]\nallowed_containers = {}\npull_options = --tls-verify=false\n\
             run_options = --rm,--network=host,--volume={}:/lab\n",
            self.image(),
            self.folder.display()
        )
    }

    /// How often the image has run.
    pub(super) fn runs(&self) -> usize {
        std::fs::read_to_string(self.folder.join(TRACE)).unwrap_or_default().lines().count()
    }
}
