//! Scripts for iPXE: what a machine boots, and what it does while that fails.
//!
//! Nothing in them is a text of somebody else's: URLs are [`BootUrl`]s, arguments [`KernelArgument`]s, both of which are one
//! word to iPXE, in which it expands nothing.

use std::fmt::Write;

use ferric_ignition::kernel_arguments::{self, KernelArgument};

use crate::boot_url::BootUrl;

/// After so long without a byte iPXE gives a file up.
const SILENCE_MS: u32 = 60_000;

/// What is booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// Linux.
    Kernel {
        /// The kernel.
        kernel: BootUrl,
        /// The parts of its initramfs, in order; each but the last as long as the kernel wants it.
        initrds: Vec<Initrd>,
        /// Its command line.
        arguments: Vec<KernelArgument>,
    },
    /// An EFI program.
    Program(BootUrl),
    /// The image of a disk or CD, which stays attached until an operating system takes the machine over.
    Disk(BootUrl),
}

/// A part of an initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initrd {
    /// How the command line calls it; UEFI kernels fetch it by that name.
    pub name: &'static str,
    /// Where it is.
    pub url: BootUrl,
}

impl Boot {
    /// The script. It tries again for ever: somebody who watches the console sees why.
    pub fn script(&self) -> String {
        let mut script = String::from("#!ipxe\n:retry\nimgfree\n");
        let mut line = |command: String| writeln!(script, "{command} || goto failed").expect("a string takes all text");
        match self {
            Self::Kernel { kernel, initrds, arguments } => {
                let names: String = initrds.iter().map(|initrd| format!(" initrd={}", initrd.name)).collect();
                let arguments = kernel_arguments::join(arguments);
                line(format!("kernel --timeout {SILENCE_MS} {kernel}{names} {arguments}"));
                for Initrd { name, url } in initrds {
                    line(format!("initrd --timeout {SILENCE_MS} --name {name} {url}"));
                }
                line("boot".into());
            }
            Self::Program(url) => line(format!("chain --timeout {SILENCE_MS} {url}")),
            Self::Disk(url) => line(format!("sanboot {url}")),
        }
        script + ":failed\necho Booting failed, trying again in 10 seconds\nsleep 10\ngoto retry\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_commands_on_lines_of_their_own() {
        let url = |name: &str| format!("http://192.0.2.1/{name}").parse::<BootUrl>().unwrap();
        let initrds = vec![Initrd { name: "config", url: url("c") }, Initrd { name: "main", url: url("i") }];
        let arguments = vec!["quiet".parse().unwrap(), "ipa-api-url=http://192.0.2.1".parse().unwrap()];
        let script = Boot::Kernel { kernel: url("k"), initrds, arguments }.script();
        let expected = "#!ipxe\n:retry\nimgfree\n\
            kernel --timeout 60000 http://192.0.2.1/k initrd=config initrd=main quiet ipa-api-url=http://192.0.2.1 || goto failed\n\
            initrd --timeout 60000 --name config http://192.0.2.1/c || goto failed\n\
            initrd --timeout 60000 --name main http://192.0.2.1/i || goto failed\n\
            boot || goto failed\n\
            :failed\necho Booting failed, trying again in 10 seconds\nsleep 10\ngoto retry\n";
        assert_eq!(script, expected);
        assert!(
            Boot::Program(url("p")).script().contains("\nchain --timeout 60000 http://192.0.2.1/p || goto failed\n")
        );
        assert!(Boot::Disk(url("d")).script().contains("\nsanboot http://192.0.2.1/d || goto failed\n"));
    }
}
