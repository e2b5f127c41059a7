//! A disk image of CoreOS' layout, with nothing in it that runs: what coreos-installer looks for when it installs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::disk_image::{compressed, run};

const MIB: u64 = 1 << 20;
/// Where each partition starts and how long it is, in MiB: BIOS-BOOT, EFI-SYSTEM, boot, root.
const LAYOUT: [(u64, u64); 4] = [(1, 1), (2, 16), (18, 40), (58, 37)];
const BOOT: (u64, u64) = LAYOUT[2];
const SIZE_MIB: u64 = 96;
const BIOS_BOOT: &str = "21686148-6449-6E6F-744E-656564454649";
/// The disk's GUID before the first boot gives it one of its own.
const UNINITIALISED: &str = "00000000-0000-4000-a000-000000000001";
const ENTRY: &str = "loader/entries/ostree-1-fedora-coreos.conf";
const INITRAMFS: &str = "ostree/fedora-coreos-1/initramfs.img";
/// What other platforms than metal have in the place of its consoles.
const PLATFORMS: &str = r#"{"metal": {"kernel_arguments": []}, "qemu": {
    "grub_commands": ["serial --speed=115200", "terminal_output serial"], "kernel_arguments": ["console=tty0", "console=ttyS0,115200n8"]}}"#;
/// The kernel arguments before the installation.
pub const KERNEL_ARGUMENTS: &str = "ignition.platform.id=metal $ignition_firstboot root=LABEL=root";

/// Makes the image `coreos.raw.xz` in `folder`, compressed as it is published.
///
/// # Errors
/// When a tool fails or the folder cannot be written.
pub fn metal_image(folder: &Path) -> Result<PathBuf> {
    made(folder, "coreos", &[])
}

/// The same as `full.raw.xz`, with a boot partition on which there is no room for another file.
///
/// # Errors
/// As [`metal_image`].
pub fn full_metal_image(folder: &Path) -> Result<PathBuf> {
    /// As many files as fit into one block of inodes or two.
    const INODES: [&str; 4] = ["-b", "4096", "-N", "32"];
    let image = made(folder, "full", &INODES)?;
    let offset = (BOOT.0 * MIB).to_string();
    let raw = folder.join("full.raw").display().to_string();
    let file_system = tempfile::NamedTempFile::new()?;
    let copy = file_system.path().display().to_string();
    run(
        "dd",
        &[&format!("if={raw}"), &format!("of={copy}"), "bs=1M", &format!("skip={}", BOOT.0), "count=40", "status=none"],
    )?;
    let free = run("dumpe2fs", &["-h", &copy])?;
    let free = free.lines().find_map(|line| line.strip_prefix("Free inodes:")).unwrap_or_default().trim().parse()?;
    for number in 0..free {
        fs::write(folder.join("full-boot").join(format!("filler{number}")), "")?;
    }
    let (source, length) = (folder.join("full-boot").display().to_string(), format!("{}M", BOOT.1));
    let arguments = ["-q", "-F", "-E", &format!("offset={offset}"), "-L", "boot", "-d", &source];
    run("mkfs.ext4", &[&arguments[..], &INODES[..], &[&raw, &length]].concat())?;
    fs::remove_file(image)?;
    compressed(&folder.join("full.raw"), "xz")
}

fn made(folder: &Path, name: &str, boot_arguments: &[&str]) -> Result<PathBuf> {
    let boot = folder.join(format!("{name}-boot"));
    for (name, content) in [
        ("ignition.firstboot", String::new()),
        (
            "grub2/grub.cfg",
            "set pager=1\n# CONSOLE-SETTINGS-START\nterminal_input console\n# CONSOLE-SETTINGS-END\n".to_string(),
        ),
        ("coreos/platforms.json", PLATFORMS.to_string()),
        (ENTRY, format!("title CoreOS\nversion 1\noptions {KERNEL_ARGUMENTS}\nlinux /vmlinuz\ninitrd /{INITRAMFS}\n")),
        (INITRAMFS, "no initramfs".to_string()),
    ] {
        let file = boot.join(name);
        fs::create_dir_all(file.parent().unwrap_or(&boot))?;
        fs::write(file, content)?;
    }
    let image = folder.join(format!("{name}.raw"));
    File::create(&image)?.set_len(SIZE_MIB * MIB)?;
    let name = image.display().to_string();
    let mut partitions = vec!["-U".to_string(), UNINITIALISED.to_string()];
    for (index, ((start, length), (kind, label))) in LAYOUT
        .iter()
        .zip([(BIOS_BOOT, "BIOS-BOOT"), ("ef00", "EFI-SYSTEM"), ("8300", "boot"), ("8300", "root")])
        .enumerate()
    {
        let number = index + 1;
        partitions.extend(["-n".to_string(), format!("{number}:{start}M:+{length}M")]);
        partitions.extend([
            "-t".to_string(),
            format!("{number}:{kind}"),
            "-c".to_string(),
            format!("{number}:{label}"),
        ]);
    }
    partitions.push(name.clone());
    run("sgdisk", &partitions.iter().map(String::as_str).collect::<Vec<_>>())?;
    run("mformat", &["-i", &format!("{name}@@{}M", LAYOUT[1].0), "-T", "32768", "-v", "EFI-SYSTEM", "::"])?;
    let source = boot.display().to_string();
    let boot = [&["-L", "boot", "-d", &source], boot_arguments].concat();
    for ((start, length), arguments) in [(BOOT, boot), (LAYOUT[3], vec!["-L", "root"])] {
        let offset = format!("offset={}", start * MIB);
        run("mkfs.ext4", &[&["-q", "-E", &offset], &arguments[..], &[&name, &format!("{length}M")]].concat())?;
    }
    compressed(&image, "xz")
}

/// What is on the boot partition of an installed disk.
#[derive(Debug)]
pub struct BootPartition {
    file_system: tempfile::NamedTempFile,
}

impl BootPartition {
    /// The boot partition in the bytes of a whole disk.
    ///
    /// # Errors
    /// When the disk is too short or no copy can be made.
    pub fn of_disk(disk: &Path) -> Result<Self> {
        let file_system = tempfile::NamedTempFile::new()?;
        let table =
            run("partx", &["--raw", "--noheadings", "--output", "NAME,START,SECTORS", &disk.display().to_string()])?;
        let boot: Vec<&str> = table
            .lines()
            .find_map(|line| line.strip_prefix("boot "))
            .context("no boot partition")?
            .split(' ')
            .collect();
        let copy = [
            format!("if={}", disk.display()),
            format!("of={}", file_system.path().display()),
            format!("skip={}", boot[0]),
            format!("count={}", boot[1]),
            "status=none".to_string(),
        ];
        run("dd", &copy.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(Self { file_system })
    }

    /// The content of a file.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let directory = tempfile::tempdir()?;
        let copy = directory.path().join("copy");
        self.debugfs(&format!("dump /{path} {}", copy.display()))?;
        Ok(fs::read(copy)?)
    }

    /// The paths of all files.
    ///
    /// # Errors
    /// When the partition has no ext4.
    pub fn files(&self) -> Result<Vec<String>> {
        let mut files = Vec::new();
        let mut directories = vec![String::new()];
        while let Some(directory) = directories.pop() {
            // `/INODE/MODE/UID/GID/NAME/SIZE/`
            for line in self.debugfs(&format!("ls -p /{directory}"))?.lines() {
                let fields: Vec<&str> = line.split('/').collect();
                let [_, _, mode, _, _, name, ..] = fields[..] else { continue };
                if ["", ".", "..", "lost+found"].contains(&name) {
                    continue;
                }
                let path = format!("{directory}{name}");
                if mode.starts_with("04") { directories.push(format!("{path}/")) } else { files.push(path) }
            }
        }
        files.sort();
        Ok(files)
    }

    /// Type and permissions as `stat` of debugfs shows them.
    ///
    /// # Errors
    /// When the partition has no ext4.
    pub fn stat(&self, path: &str) -> Result<String> {
        self.debugfs(&format!("stat /{path}"))
    }

    /// The Ignition config for the first boot.
    ///
    /// # Errors
    /// When there is none, or it is no JSON.
    pub fn ignition(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.read("ignition/config.ign")?)?)
    }

    /// The kernel arguments for the first boot.
    ///
    /// # Errors
    /// When there is no boot entry.
    pub fn kernel_arguments(&self) -> Result<String> {
        let entry = String::from_utf8(self.read(ENTRY)?)?;
        Ok(entry.lines().find_map(|line| line.strip_prefix("options ")).unwrap_or_default().to_string())
    }

    /// The initramfs for the first boot.
    ///
    /// # Errors
    /// When there is none.
    pub fn initramfs(&self) -> Result<Vec<u8>> {
        self.read(INITRAMFS)
    }

    fn debugfs(&self, request: &str) -> Result<String> {
        run("debugfs", &["-R", request, &self.file_system.path().display().to_string()])
    }
}
