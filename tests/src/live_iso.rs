//! A live system as its user would bring it: it prints a line and what its kernel was told on the serial console, and stays.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::vm::kernel;

/// Its kernel and its initramfs, made in `folder`.
///
/// # Errors
/// When a program or package is missing.
pub fn parts(folder: &Path, line: &str) -> Result<(PathBuf, PathBuf)> {
    let (root, initrd) = (folder.join("live-root"), folder.join("live-initrd"));
    for directory in [root.join("bin"), root.join("dev"), root.join("proc")] {
        fs::create_dir_all(directory)?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    symlink("busybox", root.join("bin/sh"))?;
    let init = format!(
        "#!/bin/sh\n/bin/busybox mount -t devtmpfs none /dev\n/bin/busybox mount -t proc none /proc\n\
         echo \"{line} $(/bin/busybox cat /proc/cmdline) end of line\" >/dev/ttyS0\nexec /bin/busybox sleep 2147483647\n"
    );
    fs::write(root.join("init"), init)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    let pack = format!("find . | cpio -o -H newc --quiet | gzip -1 >{}", initrd.display());
    run(Command::new("sh").args(["-c", &pack]).current_dir(&root))?;
    Ok((format!("/boot/vmlinuz-{}", kernel()?).into(), initrd))
}

/// Makes an ISO of it in `folder`, as `grub-mkrescue` does; it boots under UEFI and BIOS.
///
/// # Errors
/// When a program or package is missing.
pub fn make(folder: &Path, line: &str) -> Result<PathBuf> {
    let (tree, iso) = (folder.join("live-tree"), folder.join("live.iso"));
    fs::create_dir_all(tree.join("boot/grub"))?;
    let (kernel, initrd) = parts(folder, line)?;
    fs::copy(kernel, tree.join("boot/vmlinuz"))?;
    fs::copy(initrd, tree.join("boot/initrd"))?;
    fs::write(
        tree.join("boot/grub/grub.cfg"),
        "linux /boot/vmlinuz console=ttyS0 quiet panic=-1\ninitrd /boot/initrd\nboot\n",
    )?;
    run(Command::new("grub-mkrescue").arg("-o").arg(&iso).arg(&tree).args(["--", "-volid", "LIVE"]))?;
    Ok(iso)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
