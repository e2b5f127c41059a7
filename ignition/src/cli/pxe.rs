//! `ferric-ignition pxe`.

use ferric_ignition::kernel_arguments::KernelArgument;
use ferric_ignition::pxe::LivePxe;

use super::print;

/// Arguments of `pxe`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Kernel of the live system (http, https or tftp)
    #[arg(long, value_name = "URL")]
    kernel_url: String,
    /// Its initramfs, of the same build
    #[arg(long, value_name = "URL")]
    initramfs_url: String,
    /// Its root file system, of the same build
    #[arg(long, value_name = "URL")]
    rootfs_url: String,
    /// The Ignition config
    #[arg(long, value_name = "URL")]
    ignition_url: String,
    /// Further kernel argument, one word; repeatable
    #[arg(long, value_name = "ARGUMENT")]
    karg: Vec<KernelArgument>,
    /// Write only the kernel arguments, for other boot loaders
    #[arg(long)]
    kargs_only: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { kernel_url, initramfs_url, rootfs_url, ignition_url, karg, kargs_only } = arguments;
    let live = LivePxe::new(kernel_url, initramfs_url, rootfs_url, ignition_url, karg.clone())?;
    Ok(print::text(&if *kargs_only { live.kernel_arguments().to_string() } else { live.ipxe_script() })?)
}
