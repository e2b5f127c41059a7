//! Systems as whole disks, which are deployed to arrays: the one of `make grub-image` with an EFI system partition before its
//! root file system, and CoreOS' layout with a loader.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ferric_tests::artefact;
use ferric_tests::coreos_image::metal_image;
use ferric_tests::disk_image::{compressed, run};

/// Where the image of `make grub-image` keeps what UEFI starts.
const LOADER: [&str; 2] = ["grubx64.efi", "BOOTX64.CSV"];
const MIB: u64 = 1 << 20;
/// Where the partitions start, in MiB.
const ESP: u64 = 1;
const ROOT: u64 = 33;
/// Where CoreOS has its own.
const COREOS_ESP: u64 = 2;

/// Makes the image in `folder`, compressed.
pub(super) fn grub(folder: &Path) -> Result<PathBuf> {
    let [root, whole] = ["root.img", "whole.img"].map(|name| folder.join(name));
    let (root_name, name) = (root.display().to_string(), whole.display().to_string());
    run("zstd", &["-q", "-d", &artefact::grub_image("root.img.zst")?.display().to_string(), "-o", &root_name])?;
    fs::File::create(&whole)?.set_len(fs::metadata(&root)?.len() + (ROOT + 1) * MIB)?;
    let (esp, system) = (format!("1:{ESP}M:+{}M", ROOT - ESP - 1), format!("2:{ROOT}M:0"));
    run("sgdisk", &["-n", &esp, "-t", "1:ef00", "-n", &system, "-t", "2:8300", &name])?;
    run(
        "dd",
        &[
            &format!("if={root_name}"),
            &format!("of={name}"),
            "bs=1M",
            &format!("seek={ROOT}"),
            "conv=sparse,notrunc",
            "status=none",
        ],
    )?;
    let partition = format!("{name}@@{ESP}M");
    run("mformat", &["-i", &partition, "-T", &((ROOT - ESP - 1) * 2048).to_string(), "::"])?;
    run("mmd", &["-i", &partition, "::/EFI", "::/EFI/ferric"])?;
    for file in LOADER {
        let copy = folder.join(file).display().to_string();
        run("debugfs", &["-R", &format!("dump /boot/efi/EFI/ferric/{file} {copy}"), &root_name])?;
        run("mcopy", &["-i", &partition, &copy, "::/EFI/ferric/"])?;
    }
    compressed(&whole, "zstd")
}

/// Makes an image of CoreOS' layout in `folder`, compressed, whose system partition has a loader as CoreOS' has.
pub(super) fn coreos(folder: &Path) -> Result<PathBuf> {
    metal_image(folder)?;
    let image = folder.join("coreos.raw");
    let partition = format!("{}@@{COREOS_ESP}M", image.display());
    let csv: Vec<u8> = "\u{feff}shimx64.efi,CoreOS,,\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(folder.join("BOOTX64.CSV"), csv)?;
    fs::write(folder.join("shimx64.efi"), "loader")?;
    run("mmd", &["-i", &partition, "::/EFI", "::/EFI/fedora"])?;
    for file in ["BOOTX64.CSV", "shimx64.efi"] {
        run("mcopy", &["-i", &partition, &folder.join(file).display().to_string(), "::/EFI/fedora/"])?;
    }
    fs::remove_file(folder.join("coreos.raw.xz"))?;
    compressed(&image, "xz")
}
