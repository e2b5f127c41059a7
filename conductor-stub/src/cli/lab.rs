//! `conductor-stub lab`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::stopped;
use crate::boot_image::BootImage;
use crate::demo;
use crate::lab::{self, Lab, Plan};

/// Where a package puts the ramdisk.
const INSTALLED: &str = "/usr/share/ferric/ramdisk";

/// Makes blank virtual machines with BMCs and a conductor that has them enrolled, prints how to go on, and leaves nothing
/// behind at Ctrl-C. Needs QEMU and OVMF (Debian: qemu-system-x86, ovmf), not root.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many machines
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub machines: u8,
    /// Folder of the ramdisk (ferric.efi, ferric.iso) that machines boot [default: target/ramdisk of the build that this
    /// program is of, else /usr/share/ferric/ramdisk]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub ramdisk: Option<PathBuf>,
    /// Folder of images that may be deployed; a bootable one is made there [default: ~/.cache/ferric]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
}

/// Makes the lab and keeps it until SIGINT or SIGTERM.
///
/// # Errors
/// What cannot be made or started; nothing is left then.
pub async fn run(arguments: Arguments) -> Result<()> {
    let stopped = stopped()?;
    tokio::pin!(stopped);
    let ramdisk = match arguments.ramdisk {
        Some(folder) => {
            ensure!(folder.join("ferric.efi").is_file(), "{}: there is no ferric.efi", folder.display());
            Some(folder)
        }
        None => found_ramdisk()?,
    };
    let images = arguments.cache.unwrap_or_else(demo::default_cache);
    let cache = images.clone();
    let making = tokio::task::spawn_blocking(move || BootImage::get(&cache));
    let image = tokio::select! {
        image = making => image?,
        () = &mut stopped => bail!("interrupted"),
    };
    let has_ramdisk = ramdisk.is_some();
    let lab = Lab::start(Plan { machines: arguments.machines, ramdisk, images }).await?;
    introduce(&lab);
    if !has_ramdisk {
        eprintln!(
            "There is no ramdisk (target/ramdisk, {INSTALLED}): the machines can be switched, not inspected or deployed. \
             `make ramdisk` makes it"
        );
    }
    match image {
        Ok(image) => go_on(&lab, &image.path),
        Err(error) => eprintln!("There is no image to deploy: {error}"),
    }
    println!("Ctrl-C ends the lab and takes everything away.");
    stopped.await;
    lab.stop().await;
    Ok(())
}

/// Beside the folder of this program, where `make ramdisk` leaves it, or where it is installed.
fn found_ramdisk() -> Result<Option<PathBuf>> {
    let program = std::env::current_exe().context("finding this program")?;
    let built = program.parent().and_then(Path::parent).map(|target| target.join("ramdisk"));
    let folders = built.into_iter().chain([PathBuf::from(INSTALLED)]);
    Ok(folders.into_iter().find(|folder| folder.join("ferric.efi").is_file()))
}

fn introduce(lab: &Lab) {
    let Lab { machines, url, bmc_url, .. } = lab;
    println!("{} blank machine(s), switched off: {}", machines.len(), lab::described());
    for machine in machines {
        println!("    {}  console: {}", machine.name, machine.console.display());
    }
    println!("All of them are in the network {}, with DHCP and without a way out.", lab::SUBNET);
    println!("The conductor and its page: {url}/  The BMCs: {bmc_url}/redfish/v1/");
    println!("In another terminal, with Ironic's client:");
    println!("    export OS_AUTH_TYPE=none OS_ENDPOINT={url}");
    println!("    baremetal node list");
}

fn go_on(lab: &Lab, image: &Path) {
    let Some(machine) = lab.machines.first() else { return };
    let name = &machine.name;
    println!("    baremetal node manage {name} --wait");
    println!("    baremetal node inspect {name} --wait");
    println!("    baremetal node provide {name} --wait");
    println!("    baremetal node set {name} --instance-info image_source={}", image.display());
    println!("    baremetal node deploy {name} --wait");
}
