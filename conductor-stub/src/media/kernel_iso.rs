//! An ISO of a kernel and an initramfs: for UEFI (CD, USB stick, HTTP) by an EFI system partition with a boot loader, for
//! BIOS by GRUB.

use std::fs;
use std::path::{Path, PathBuf};

use super::areas::{Place, PlaceError, Places};
use super::uki::Architecture;
use crate::program::{ProgramError, at, run};

/// GRUB as the distribution signed it, and the shim that Microsoft did.
const SIGNED: &str = "/usr/lib";
/// What GRUB needs to boot this ISO.
const MODULES: [&str; 12] = [
    "iso9660",
    "fat",
    "part_gpt",
    "part_msdos",
    "linux",
    "normal",
    "search",
    "search_fs_file",
    "configfile",
    "serial",
    "terminal",
    "echo",
];
/// By this the boot loader knows the medium that it is on.
const MARK: &str = ".disk/info";

/// What cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum KernelIsoError {
    /// A program or file.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The place for kernel arguments.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

/// What goes in.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// An EFI system partition with a boot loader that reads `/boot/grub/grub.cfg` of the ISO; otherwise one is made of
    /// what this host has.
    pub boot_loader: Option<PathBuf>,
}

/// Writes the ISO, and tells where each machine's arguments stand.
///
/// # Errors
/// When a program is missing or refuses.
pub fn write(iso: &Path, parts: &Parts) -> Result<Vec<Place>, KernelIsoError> {
    let architecture = Architecture::of_kernel(&parts.kernel)?;
    let work = tempfile::tempdir_in(iso.parent().unwrap_or(Path::new("."))).map_err(at(iso))?;
    let grub = work.path().join("grub");
    fs::create_dir(&grub).map_err(at(&grub))?;
    let mut places = Places::default();
    let config = grub.join("grub.cfg");
    let text = format!("linux /boot/vmlinuz {}\ninitrd /boot/initrd\nboot\n", places.leave(""));
    let serial = match architecture {
        Architecture::X86_64 => {
            "serial --unit=0 --speed=115200\nterminal_input serial console\nterminal_output serial console\n"
        }
        Architecture::Aarch64 => "",
    };
    fs::write(&config, format!("{serial}{text}")).map_err(at(&config))?;
    let mark = work.path().join("info");
    fs::write(&mark, "ramdisk\n").map_err(at(&mark))?;
    let esp = match &parts.boot_loader {
        Some(given) => given.clone(),
        None => system_partition(work.path(), architecture)?,
    };
    let mut arguments =
        vec!["-as".to_owned(), "mkisofs".into(), "-quiet".into(), "-o".into(), iso.display().to_string()];
    arguments.extend(["-volid", "RAMDISK", "-rational-rock", "-partition_offset", "16"].map(str::to_owned));
    arguments.extend([
        "-append_partition".into(),
        "2".into(),
        "0xef".into(),
        esp.display().to_string(),
        "-appended_part_as_gpt".into(),
    ]);
    if architecture == Architecture::X86_64 && Path::new("/usr/lib/grub/i386-pc/boot_hybrid.img").is_file() {
        let image = grub.join("bios.img");
        let mut words: Vec<String> =
            ["--format", "i386-pc-eltorito", "--prefix", "/boot/grub", "--output"].map(str::to_owned).to_vec();
        words.push(image.display().to_string());
        words.push("biosdisk".into());
        words.extend(MODULES.iter().filter(|module| **module != "fat").map(|module| (*module).to_owned()));
        run("grub-mkimage", "grub-common", &words)?;
        arguments.extend(
            ["--grub2-mbr", "/usr/lib/grub/i386-pc/boot_hybrid.img", "-b", "boot/grub/bios.img"].map(str::to_owned),
        );
        arguments.extend(
            ["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info", "-eltorito-alt-boot"]
                .map(str::to_owned),
        );
    }
    arguments
        .extend(["-e", "--interval:appended_partition_2:all::", "-no-emul-boot", "-graft-points"].map(str::to_owned));
    for (place, file) in [
        ("boot/grub", grub.as_path()),
        (MARK, mark.as_path()),
        ("boot/vmlinuz", parts.kernel.as_path()),
        ("boot/initrd", parts.initramfs.as_path()),
    ] {
        arguments.push(format!("{place}={}", escaped(file)));
    }
    run("xorriso", "xorriso", &arguments)?;
    Ok(places.find(iso)?)
}

/// As mkisofs reads paths behind the equals sign.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace('\\', "\\\\").replace('=', "\\=")
}

/// The distribution's signed boot loader where it is installed, else a GRUB that is made here.
fn system_partition(work: &Path, architecture: Architecture) -> Result<PathBuf, ProgramError> {
    let (efi, platform) = match architecture {
        Architecture::X86_64 => ("x64", "x86_64-efi"),
        Architecture::Aarch64 => ("aa64", "arm64-efi"),
    };
    let boot = work.join("esp/EFI/BOOT");
    fs::create_dir_all(&boot).map_err(at(&boot))?;
    let first = boot.join(format!("BOOT{}.EFI", efi.to_uppercase()));
    let search = format!("search --file --set=root /{MARK}\nset prefix=($root)/boot/grub\n");
    let shim = PathBuf::from(format!("{SIGNED}/shim/shim{efi}.efi.signed"));
    let signed = PathBuf::from(format!("{SIGNED}/grub/{platform}-signed/gcd{efi}.efi.signed"));
    if shim.is_file() && signed.is_file() {
        for (from, to) in [(&shim, first), (&signed, boot.join(format!("grub{efi}.efi")))] {
            fs::copy(from, &to).map_err(at(&to))?;
        }
        let config = boot.join("grub.cfg");
        fs::write(&config, format!("{search}source $prefix/grub.cfg\n")).map_err(at(&config))?;
    } else {
        if !Path::new(&format!("/usr/lib/grub/{platform}")).is_dir() {
            let package = if platform == "x86_64-efi" { "grub-efi-amd64-bin" } else { "grub-efi-arm64-bin" };
            return Err(ProgramError::Missing { what: format!("/usr/lib/grub/{platform}"), package });
        }
        let config = work.join("embedded.cfg");
        fs::write(&config, search).map_err(at(&config))?;
        let mut words: Vec<String> =
            ["--format", platform, "--prefix", "/boot/grub", "--config"].map(str::to_owned).to_vec();
        words.extend([config.display().to_string(), "--output".into(), first.display().to_string()]);
        words.extend(MODULES.map(str::to_owned));
        run("grub-mkimage", "grub-common", &words)?;
    }
    let bytes: u64 =
        fs::read_dir(&boot).map_err(at(&boot))?.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum();
    let esp = work.join("esp.img");
    let kib = (bytes.div_ceil(1024) + 512).next_multiple_of(32);
    let image = esp.display().to_string();
    run("mkfs.vfat", "dosfstools", &["-C", "--invariant", "-n", "ESP", &image, &kib.to_string()])?;
    let tree = work.join("esp/EFI").display().to_string();
    run("mcopy", "mtools", &["-s", "-m", "-i", &image, &tree, "::"])?;
    Ok(esp)
}
