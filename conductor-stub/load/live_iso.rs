//! What is like CoreOS' live ISO to a conductor.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

/// Bytes of each area for kernel arguments.
const AREA_BYTES: usize = 1024;

/// An ISO in the shape of CoreOS' live one: two areas for kernel arguments, one for an Ignition config.
///
/// # Errors
/// When it cannot be written, or xorriso is missing.
pub(crate) fn live_iso(folder: &Path, mib: u64) -> Result<PathBuf> {
    let (tree, iso) = (folder.join("tree"), folder.join("live.iso"));
    for directory in ["coreos", "images", "boot/grub", "isolinux"] {
        fs::create_dir_all(tree.join(directory))?;
    }
    let default = "coreos.liveiso=x ignition.firstboot";
    let mut area = format!("{default}\n").into_bytes();
    area.resize(AREA_BYTES, b'#');
    for file in ["boot/grub/grub.cfg", "isolinux/isolinux.cfg"] {
        fs::write(tree.join(file), [b"linux ", &area[..], b"\nboot\n"].concat())?;
    }
    fs::write(tree.join("images/ignition.img"), vec![0; 256 << 10])?;
    fs::write(tree.join("coreos/igninfo.json"), r#"{"file": "images/ignition.img"}"#)?;
    let areas = format!(
        r#"{{"default": "{default}", "size": {AREA_BYTES}, "files": [{{"path": "boot/grub/grub.cfg", "offset": 6}}, {{"path": "isolinux/isolinux.cfg", "offset": 6}}]}}"#
    );
    fs::write(tree.join("coreos/kargs.json"), areas)?;
    let filler: Vec<u8> = (0..mib << 17).flat_map(|word: u64| word.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
    fs::write(tree.join("images/rootfs.img"), filler)?;
    fs::write(tree.join("images/efiboot.img"), vec![0; 4096])?;
    let mut make = Command::new("xorriso");
    make.args(["-as", "mkisofs", "-quiet", "-r", "-eltorito-alt-boot", "-e", "images/efiboot.img", "-no-emul-boot"]);
    let made = make.arg("-o").arg(&iso).arg(&tree).output();
    ensure!(made?.status.success(), "xorriso cannot write {}", iso.display());
    Ok(iso)
}
