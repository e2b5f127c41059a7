//! The last word before what is on a device is destroyed: one rule for all subcommands that do.

use std::io::{self, IsTerminal, Write};

use anyhow::ensure;
use ferric_hardware::block::BlockDevice;
use ferric_hardware::units::Bytes;

/// The flag that answers the question beforehand.
#[derive(Debug, Clone, clap::Args)]
pub struct Confirmation {
    /// Do not ask, on a terminal, whether what is on the device may be destroyed
    #[arg(long)]
    pub yes_destroy_data: bool,
}

impl Confirmation {
    /// Whether the word was given, or somebody is there to give it.
    pub(super) fn is_possible(&self) -> bool {
        self.yes_destroy_data || is_watched()
    }

    /// Asks for the device's name, where nobody has said yes and somebody is there.
    ///
    /// # Errors
    /// When another name is given, or none.
    pub(super) fn ask(&self, device: &BlockDevice) -> anyhow::Result<()> {
        if self.yes_destroy_data || !is_watched() {
            return Ok(());
        }
        eprint!("{}\nType its name to go on: ", question(device));
        io::stderr().flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        ensure!(answer.trim() == device.name, "{} was left alone", device.name);
        Ok(())
    }
}

fn is_watched() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn question(device: &BlockDevice) -> String {
    let facts = [device.model.clone(), device.serial.as_ref().map(|serial| format!("serial number {serial}"))];
    let mut facts: Vec<String> = facts.into_iter().flatten().collect();
    facts.push(Bytes(device.size_bytes).to_string());
    format!("This destroys what is on {} ({}).", device.name, facts.join(", "))
}
