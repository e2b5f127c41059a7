//! What coreos-installer puts on the boot partition, put there without it (its `src/install.rs`).

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ferric_ignition::archive::Archive;
use ferric_ignition::keyfile::{self, Keyfile, KeyfileError};
use serde::Deserialize;
use thiserror::Error;

use super::arguments::Boot;
use super::boot_entry::{self, BootEntryError};
use super::console::Console;
use crate::deploy::mounted::{Attributes, Mounted};

const IGNITION: &str = "/ignition/config.ign";
const FIRST_BOOT: &str = "/ignition.firstboot";
const ENTRIES: &str = "/loader/entries";
const PLATFORMS: &str = "/coreos/platforms.json";
const GRUB: [&str; 2] = ["/grub2/console.cfg", "/grub2/grub.cfg"];
/// What the image is made for.
const METAL: &str = "metal";
/// No text there is longer.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// Why something cannot be put there.
#[derive(Debug, Error)]
pub(super) enum BootPartitionError {
    /// By the file system.
    #[error("{path}")]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// By what the image has there.
    #[error("{path}: {cause}")]
    Entry { path: PathBuf, cause: BootEntryError },
    /// Something that every CoreOS image has.
    #[error("the image has no {0}")]
    Missing(&'static str),
    /// A table of platforms that cannot be read.
    #[error("{PLATFORMS}")]
    Platforms(#[source] serde_json::Error),
    /// Two connections of one name.
    #[error(transparent)]
    Keyfile(#[from] KeyfileError),
}

/// Defaults of one platform.
#[derive(Debug, Clone, Default, Deserialize)]
struct Platform {
    #[serde(default)]
    grub_commands: Vec<String>,
    #[serde(default)]
    kernel_arguments: Vec<String>,
}

/// A boot partition of an image that was just written.
pub(super) struct BootPartition<'a>(pub(super) &'a Mounted);

impl BootPartition<'_> {
    /// Puts everything there: Ignition configuration, kernel arguments, consoles, network connections.
    pub(super) fn prepare(
        &self,
        ignition: Option<&[u8]>,
        boot: &Boot,
        consoles: &[Console],
        keyfiles: &[Keyfile],
    ) -> Result<(), BootPartitionError> {
        if let Some(ignition) = ignition {
            // It may hold secrets.
            self.write(
                Path::new(IGNITION),
                ignition,
                &Attributes { mode: Some(0o600), directory_mode: Some(0o700), ..Attributes::default() },
            )?;
        }
        let platform = boot.platform.as_deref().filter(|platform| *platform != METAL);
        let platforms = if platform.is_some() || !consoles.is_empty() { self.platforms()? } else { HashMap::new() };
        let of = |name: &str| platforms.get(name).cloned().unwrap_or_default();
        self.change_options(boot, platform, consoles, &of)?;
        if let Some(arguments) = &boot.first_boot {
            let line = format!("set ignition_network_kcmdline=\"{arguments}\"\n");
            self.0.append(FIRST_BOOT, line.as_bytes()).map_err(|cause| failed(Path::new(FIRST_BOOT), cause))?;
        }
        let (own, metal) = (platform.map(of).unwrap_or_else(|| of(METAL)), of(METAL));
        if !consoles.is_empty() {
            self.change_grub(&grub_commands(consoles))?;
        } else if own.grub_commands != metal.grub_commands {
            self.change_grub(&own.grub_commands)?;
        }
        self.add_network(keyfiles)
    }

    fn change_options(
        &self,
        boot: &Boot,
        platform: Option<&str>,
        consoles: &[Console],
        of: &dyn Fn(&str) -> Platform,
    ) -> Result<(), BootPartitionError> {
        let path = self.entry()?;
        let original = self.text(&path)?.ok_or(BootPartitionError::Missing("boot entry"))?;
        let mut entry = original.clone();
        let metal = of(METAL).kernel_arguments;
        let edit = |entry: &str, append: &[String], delete: &[String]| {
            let changed = boot_entry::with_options(entry, |options| Ok(boot_entry::edited(options, append, delete)));
            changed.map_err(|cause| BootPartitionError::Entry { path: path.clone(), cause })
        };
        if let Some(platform) = platform {
            let changed = boot_entry::with_options(&entry, |options| boot_entry::for_platform(options, platform));
            entry = changed.map_err(|cause| BootPartitionError::Entry { path: path.clone(), cause })?;
            let own = of(platform).kernel_arguments;
            if consoles.is_empty() && !(own.is_empty() && metal.is_empty()) {
                entry = edit(&entry, &own, &metal)?;
            }
        }
        if !consoles.is_empty() {
            let arguments: Vec<String> = consoles.iter().map(|console| format!("console={console}")).collect();
            entry = edit(&entry, &arguments, &metal)?;
        }
        if !boot.append.is_empty() || !boot.delete.is_empty() {
            entry = edit(&entry, &boot.append, &boot.delete)?;
        }
        match entry == original {
            true => Ok(()),
            false => self.write(&path, entry.as_bytes(), &Attributes::default()),
        }
    }

    fn change_grub(&self, commands: &[String]) -> Result<(), BootPartitionError> {
        for path in GRUB.map(Path::new) {
            if let Some(text) = self.text(path)? {
                let changed = boot_entry::with_console_commands(&text, commands);
                let changed = changed.map_err(|cause| BootPartitionError::Entry { path: path.into(), cause })?;
                return self.write(path, changed.as_bytes(), &Attributes::default());
            }
        }
        Err(BootPartitionError::Missing("configuration of GRUB"))
    }

    /// Connections are in force before the disk is: they are a further archive of the initramfs.
    fn add_network(&self, keyfiles: &[Keyfile]) -> Result<(), BootPartitionError> {
        if keyfiles.is_empty() {
            return Ok(());
        }
        let mut archive = Archive::default();
        keyfile::embed(keyfiles, &mut archive)?;
        let entry = self.text(&self.entry()?)?.unwrap_or_default();
        let path = boot_entry::value(&entry, "initrd").ok_or(BootPartitionError::Missing("initramfs"))?;
        self.0.append(path, &archive.encode()).map_err(|cause| failed(Path::new(path), cause))
    }

    /// The entry that is booted: the last by name.
    fn entry(&self) -> Result<PathBuf, BootPartitionError> {
        let entries = self.0.list(ENTRIES).map_err(|cause| failed(Path::new(ENTRIES), cause))?;
        let names = entries
            .into_iter()
            .filter(|(_, is_directory)| !is_directory)
            .map(|(name, _)| Path::new(ENTRIES).join(name));
        let last = names.filter(|path| path.extension().is_some_and(|extension| extension == "conf")).max();
        last.ok_or(BootPartitionError::Missing("boot entry"))
    }

    fn platforms(&self) -> Result<HashMap<String, Platform>, BootPartitionError> {
        match self.text(Path::new(PLATFORMS))? {
            Some(text) => serde_json::from_str(&text).map_err(BootPartitionError::Platforms),
            None => Ok(HashMap::new()),
        }
    }

    fn text(&self, path: &Path) -> Result<Option<String>, BootPartitionError> {
        let mut text = String::new();
        let Some(file) = self.0.open_file(path).map_err(|cause| failed(path, cause))? else { return Ok(None) };
        file.take(MAX_TEXT_BYTES).read_to_string(&mut text).map_err(|cause| failed(path, cause))?;
        Ok(Some(text))
    }

    fn write(&self, path: &Path, contents: &[u8], attributes: &Attributes) -> Result<(), BootPartitionError> {
        self.0.write(path, contents, attributes).map_err(|cause| failed(path, cause))
    }
}

fn failed(path: &Path, cause: io::Error) -> BootPartitionError {
    BootPartitionError::File { path: path.into(), cause }
}

/// What GRUB needs to speak on all of them.
fn grub_commands(consoles: &[Console]) -> Vec<String> {
    let mut commands: Vec<String> = consoles.iter().filter_map(Console::grub_command).collect();
    let mut terminals: Vec<&str> = consoles.iter().map(Console::grub_terminal).collect();
    terminals.sort_unstable();
    terminals.dedup();
    commands.extend(["input", "output"].map(|way| format!("terminal_{way} {}", terminals.join(" "))));
    commands
}
