//! EFI variables of the boot manager (UEFI specification, 3.1 and 3.3) through efivarfs: boot entries, their order, and
//! the one for the next boot. A directory with the same files is a machine's firmware, too.

mod device_path;
mod load_option;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

pub use device_path::{DevicePath, HardDrive, Signature};
pub use load_option::LoadOption;

use crate::ioctl;
use crate::machine::Machine;

const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Non-volatile, for boot services and at run time.
const ATTRIBUTES: [u8; 4] = 7_u32.to_le_bytes();

/// Why the firmware's variables cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum EfiError {
    /// This machine was not booted by UEFI, or efivarfs is not mounted.
    #[error("no EFI variables: the machine was not booted by UEFI, or efivarfs is not mounted")]
    Absent,
    /// A variable cannot be read, written or removed.
    #[error("EFI variable {variable}: {cause}")]
    Variable {
        /// Its name.
        variable: String,
        /// The cause.
        cause: io::Error,
    },
    /// The firmware's memory is full.
    #[error(
        "the firmware has no room for the variable {variable}: delete boot entries (clean step clean_uefi_nvram), or start \
         the machine anew, which lets its firmware clear up"
    )]
    OutOfRoom {
        /// Its name.
        variable: String,
    },
    /// All 65536 entries are used.
    #[error("no free boot entry")]
    Full,
}

/// The variables of one machine's boot manager.
#[derive(Debug, Clone)]
pub struct BootVariables {
    directory: PathBuf,
}

/// One boot entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootEntry {
    /// The number in its name, `Boot0003` → 3.
    pub number: u16,
    /// What it says.
    pub option: LoadOption,
}

impl BootVariables {
    /// The variables of `machine`.
    ///
    /// # Errors
    /// [`EfiError::Absent`] when there are none.
    pub fn of(machine: &Machine) -> Result<Self, EfiError> {
        let directory = machine.path("/sys/firmware/efi/efivars");
        let has_any = std::fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some());
        if has_any { Ok(Self { directory }) } else { Err(EfiError::Absent) }
    }

    /// Every boot entry, by number. Entries that cannot be understood are left out.
    ///
    /// # Errors
    /// When the variables cannot be listed or read.
    pub fn entries(&self) -> Result<Vec<BootEntry>, EfiError> {
        let mut entries = Vec::new();
        for number in self.numbers()? {
            let Some(data) = self.read(&name(number))? else { continue };
            match LoadOption::parse(&data) {
                Some(option) => entries.push(BootEntry { number, option }),
                None => tracing::warn!(entry = name(number), "a boot entry that cannot be understood"),
            }
        }
        Ok(entries)
    }

    /// The order in which entries are tried.
    ///
    /// # Errors
    /// When the variable cannot be read.
    pub fn order(&self) -> Result<Vec<u16>, EfiError> {
        let data = self.read("BootOrder")?.unwrap_or_default();
        Ok(data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
    }

    /// Sets the order in which entries are tried.
    ///
    /// # Errors
    /// When the variable cannot be written.
    pub fn set_order(&self, order: &[u16]) -> Result<(), EfiError> {
        let data: Vec<u8> = order.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.write("BootOrder", &data)
    }

    /// The entry that only the next boot uses.
    ///
    /// # Errors
    /// When the variable cannot be read.
    pub fn next(&self) -> Result<Option<u16>, EfiError> {
        Ok(self.read("BootNext")?.and_then(|data| Some(u16::from_le_bytes(data.get(..2)?.try_into().ok()?))))
    }

    /// Sets the entry that only the next boot uses.
    ///
    /// # Errors
    /// When the variable cannot be written.
    pub fn set_next(&self, number: u16) -> Result<(), EfiError> {
        self.write("BootNext", &number.to_le_bytes())
    }

    /// Adds an entry under the lowest free number and puts it first in the order.
    ///
    /// # Errors
    /// When a variable cannot be written; [`EfiError::Full`].
    pub fn create(&self, option: &LoadOption) -> Result<u16, EfiError> {
        let used = self.numbers()?;
        let number = (0..=u16::MAX).find(|number| !used.contains(number)).ok_or(EfiError::Full)?;
        self.write(&name(number), &option.encode())?;
        let mut order = self.order()?;
        order.retain(|other| *other != number);
        order.insert(0, number);
        self.set_order(&order).inspect_err(|_| {
            // An entry that nothing leads to would only take room.
            std::fs::remove_file(self.path(&name(number))).ok();
        })?;
        Ok(number)
    }

    /// Removes an entry, also from the order.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn delete(&self, number: u16) -> Result<(), EfiError> {
        let variable = name(number);
        let failed = |cause| EfiError::Variable { variable: variable.clone(), cause };
        let path = self.path(&variable);
        unlock(&File::open(&path).map_err(failed)?).map_err(failed)?;
        std::fs::remove_file(&path).map_err(failed)?;
        let order = self.order()?;
        if order.contains(&number) {
            self.set_order(&order.into_iter().filter(|other| *other != number).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn numbers(&self) -> Result<Vec<u16>, EfiError> {
        let failed = |cause| EfiError::Variable { variable: "Boot####".to_string(), cause };
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.directory).map_err(failed)? {
            let file = entry.map_err(failed)?.file_name();
            let number = file.to_str().and_then(|file| {
                let digits = file.strip_prefix("Boot")?.strip_suffix(GLOBAL)?.strip_suffix('-')?;
                (digits.len() == 4).then(|| u16::from_str_radix(digits, 16).ok())?
            });
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn path(&self, variable: &str) -> PathBuf {
        self.directory.join(format!("{variable}-{GLOBAL}"))
    }

    /// The data of a variable, without its attributes; nothing when there is none.
    fn read(&self, variable: &str) -> Result<Option<Vec<u8>>, EfiError> {
        match std::fs::read(self.path(variable)) {
            Ok(mut bytes) => Ok(Some(bytes.split_off(ATTRIBUTES.len().min(bytes.len())))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(EfiError::Variable { variable: variable.to_string(), cause }),
        }
    }

    fn write(&self, variable: &str, data: &[u8]) -> Result<(), EfiError> {
        let write = || -> io::Result<()> {
            let path = self.path(variable);
            if let Ok(existing) = File::open(&path) {
                unlock(&existing)?;
            }
            let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            // efivarfs takes a variable as a whole, in one write; other file systems may keep a longer tail.
            let bytes = [&ATTRIBUTES, data].concat();
            file.write_all(&bytes)?;
            if file.metadata()?.len() > bytes.len() as u64 {
                file.set_len(bytes.len() as u64)?;
            }
            Ok(())
        };
        let variable = variable.to_string();
        write().map_err(|cause| match cause.kind() {
            io::ErrorKind::StorageFull => EfiError::OutOfRoom { variable },
            _ => EfiError::Variable { variable, cause },
        })
    }
}

/// Makes a variable changeable; other file systems know no such attribute.
fn unlock(file: &File) -> io::Result<()> {
    match ioctl::clear_immutable(file) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EOPNOTSUPP)) => Ok(()),
        result => result,
    }
}

fn name(number: u16) -> String {
    format!("Boot{number:04X}")
}

#[cfg(test)]
mod tests;
