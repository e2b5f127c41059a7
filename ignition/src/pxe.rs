//! Booting a CoreOS live system by network: its kernel arguments, and the iPXE script that passes them.

use std::fmt::Write;

use thiserror::Error;

use crate::config::{ConfigError, checked_url};
use crate::kernel_arguments::{self, KernelArgument, KernelArgumentError};

/// What cannot be booted.
#[derive(Debug, Error)]
pub enum PxeError {
    /// A URL.
    #[error(transparent)]
    Url(#[from] ConfigError),
    /// An argument.
    #[error(transparent)]
    Argument(#[from] KernelArgumentError),
}

/// Where the parts of a live system are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePxe {
    kernel_url: String,
    initramfs_url: String,
    arguments: Vec<KernelArgument>,
}

impl LivePxe {
    /// Kernel, initramfs and root file system must be of one build. The live system fetches the root file system and,
    /// by the arguments that its `metal` platform knows, the Ignition config; further arguments follow.
    ///
    /// # Errors
    /// URLs that are not http, https or tftp, or that iPXE would not read as one word.
    pub fn new(
        kernel_url: &str,
        initramfs_url: &str,
        rootfs_url: &str,
        ignition_url: &str,
        further: Vec<KernelArgument>,
    ) -> Result<Self, PxeError> {
        let mut arguments = vec![
            rootfs_argument(rootfs_url)?,
            "ignition.firstboot".parse()?,
            "ignition.platform.id=metal".parse()?,
            KernelArgument::with_value("ignition.config.url", &network_url("Ignition URL", ignition_url)?)?,
            "ip=dhcp".parse()?,
            "rd.neednet=1".parse()?,
        ];
        arguments.extend(further);
        Ok(Self {
            kernel_url: network_url("kernel URL", kernel_url)?,
            initramfs_url: network_url("initramfs URL", initramfs_url)?,
            arguments,
        })
    }

    /// The kernel's command line.
    #[must_use]
    pub fn kernel_arguments(&self) -> String {
        kernel_arguments::join(&self.arguments)
    }

    /// A script that boots the system and, while that fails, tries again. UEFI kernels find the initramfs by the name
    /// given in `initrd=`; the agent learns from `BOOTIF` which interface it was booted by.
    #[must_use]
    pub fn ipxe_script(&self) -> String {
        let mut script = String::from("#!ipxe\n:retry\nimgfree\n");
        let Self { kernel_url, initramfs_url, .. } = self;
        let arguments = self.kernel_arguments();
        writeln!(
            script,
            "kernel --timeout 60000 {kernel_url} initrd=main {arguments} BOOTIF=01-${{mac:hexhyp}} || goto failed\n\
             initrd --timeout 60000 --name main {initramfs_url} || goto failed\n\
             boot || goto failed\n\
             :failed\n\
             echo Booting failed, trying again in 10 seconds\n\
             sleep 10\n\
             goto retry"
        )
        .expect("a string takes all text");
        script
    }
}

/// The kernel argument by which a live system fetches its root file system.
///
/// # Errors
/// A URL that is not http, https or tftp, or not one word.
pub fn rootfs_argument(url: &str) -> Result<KernelArgument, PxeError> {
    Ok(KernelArgument::with_value("coreos.live.rootfs_url", &network_url("root file system URL", url)?)?)
}

fn network_url(what: &'static str, url: &str) -> Result<String, ConfigError> {
    checked_url(what, url, &["http", "https", "tftp"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(ignition_url: &str) -> Result<LivePxe, PxeError> {
        let base = "http://192.0.2.1:8080/coreos";
        LivePxe::new(
            &format!("{base}/vmlinuz"),
            &format!("{base}/initramfs.img"),
            &format!("{base}/rootfs.img"),
            ignition_url,
            vec!["console=ttyS0".parse().unwrap()],
        )
    }

    #[test]
    fn every_line_of_the_script_is_one_command() {
        let script = live("http://192.0.2.1:8080/agent.ign").unwrap().ipxe_script();
        let commands: Vec<_> = script.lines().filter_map(|line| line.split(' ').next()).collect();
        let expected = ["#!ipxe", ":retry", "imgfree", "kernel", "initrd", "boot", ":failed", "echo", "sleep", "goto"];
        assert_eq!(commands, expected);
        assert!(script.contains(" ignition.config.url=http://192.0.2.1:8080/agent.ign "), "{script}");
    }

    #[test]
    fn nothing_gets_into_the_script_by_a_url() {
        for url in [
            "http://192.0.2.1/a b",
            "http://192.0.2.1/a\nshell",
            "http://192.0.2.1/${net0/mac}",
            "http://192.0.2.1/a\u{7f}",
            "file:///etc/shadow",
            "/agent.ign",
        ] {
            assert!(live(url).is_err(), "{url:?}");
        }
    }
}
