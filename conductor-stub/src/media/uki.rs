//! Kernel, command line and initramfs in one EFI program (UAPI specification "Unified Kernel Image"): sections of systemd's
//! EFI stub.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::program::{ProgramError, at, run};

/// The kernel stands here in memory; the initramfs follows at the next mebibyte.
const KERNEL_ADDRESS: u64 = 0x200_0000;
const ALIGNMENT: u64 = 1 << 20;

/// Whose machines a kernel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Architecture {
    /// Of a kernel with an EFI stub: its PE header says it.
    ///
    /// # Errors
    /// When it has none.
    pub fn of_kernel(kernel: &Path) -> Result<Self, ProgramError> {
        let refused = || ProgramError::Program {
            program: kernel.display().to_string(),
            text: "not a kernel that UEFI could start (no EFI stub for x86-64 or arm64)".into(),
        };
        let mut file = File::open(kernel).map_err(at(kernel))?;
        let mut bytes = |offset: u64, length: usize| {
            let mut bytes = vec![0; length];
            file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut bytes)).map_err(|_| refused())?;
            Ok::<_, ProgramError>(bytes)
        };
        let dos = bytes(0, 64)?;
        if !dos.starts_with(b"MZ") {
            return Err(refused());
        }
        let header = bytes(u64::from(u32::from_le_bytes([dos[60], dos[61], dos[62], dos[63]])), 6)?;
        match &header[..] {
            b"PE\0\0\x64\x86" => Ok(Self::X86_64),
            b"PE\0\0\x64\xaa" => Ok(Self::Aarch64),
            _ => Err(refused()),
        }
    }

    /// Its letters in the names of EFI programs.
    pub fn efi(self) -> &'static str {
        match self {
            Self::X86_64 => "x64",
            Self::Aarch64 => "aa64",
        }
    }

    fn objcopy(self) -> (&'static str, &'static str) {
        match (self, std::env::consts::ARCH) {
            (Self::X86_64, "x86_64") | (Self::Aarch64, "aarch64") => ("objcopy", "binutils"),
            (Self::X86_64, _) => ("x86_64-linux-gnu-objcopy", "binutils-x86-64-linux-gnu"),
            (Self::Aarch64, _) => ("aarch64-linux-gnu-objcopy", "binutils-aarch64-linux-gnu"),
        }
    }
}

/// Writes the program to `uki`; `command_line` is as long as the section is to be.
///
/// # Errors
/// When the stub or objcopy are missing, or the kernel is none.
pub fn unify(uki: &Path, kernel: &Path, initramfs: &Path, command_line: &[u8]) -> Result<(), ProgramError> {
    let architecture = Architecture::of_kernel(kernel)?;
    let stub = format!("/usr/lib/systemd/boot/efi/linux{}.efi.stub", architecture.efi());
    if !Path::new(&stub).is_file() {
        return Err(ProgramError::Missing { what: stub, package: "systemd-boot-efi" });
    }
    let work = tempfile::tempdir_in(uki.parent().unwrap_or(Path::new("."))).map_err(at(uki))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = work.path().join(name);
        std::fs::write(&path, bytes).map_err(at(&path)).map(|()| path)
    };
    let kernel_bytes = kernel.metadata().map_err(at(kernel))?.len();
    let sections = [
        (".osrel", 0x2_0000, write("osrel", b"ID=ferric\nNAME=Ferric\nVERSION_ID=1\n")?),
        (".cmdline", 0x3_0000, write("cmdline", command_line)?),
        (".linux", KERNEL_ADDRESS, kernel.to_owned()),
        (".initrd", (KERNEL_ADDRESS + kernel_bytes).next_multiple_of(ALIGNMENT), initramfs.to_owned()),
    ];
    let mut arguments = Vec::new();
    for (name, address, file) in sections {
        arguments.push(format!("--add-section={name}={}", file.display()));
        arguments.push(format!("--change-section-vma={name}={address:#x}"));
    }
    arguments.push(stub);
    arguments.push(uki.display().to_string());
    let (program, package) = architecture.objcopy();
    run(program, package, &arguments).map(drop)
}
