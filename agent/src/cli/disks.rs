//! `ferric-agent disks`.

use ferric_hardware::block::{self, BlockDevice, Listing};
use ferric_hardware::units::Bytes;
use serde_json::{Value, json};

use super::machine::MachineArguments;
use super::print;

/// Arguments of `disks`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where it looks.
    #[command(flatten)]
    pub machine: MachineArguments,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Prints the eligible and the rejected devices.
///
/// # Errors
/// The reason, for people.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (machine, policy) = arguments.machine.resolve()?;
    let listing = block::list(&machine, &policy);
    let text = match arguments.json {
        true => serde_json::to_string_pretty(&as_json(&listing)?)?,
        false => table(&listing),
    };
    Ok(print::text(&text)?)
}

/// `{"eligible": [device…], "rejected": [device with "reason"…]}`.
fn as_json(listing: &Listing) -> serde_json::Result<Value> {
    let eligible = listing.eligible.iter().map(|e| serde_json::to_value(&**e)).collect::<Result<Vec<_>, _>>()?;
    let rejected = listing.rejected.iter().map(|rejection| {
        let mut device = serde_json::to_value(&rejection.device)?;
        device["reason"] = rejection.reason.to_string().into();
        Ok(device)
    });
    Ok(json!({"eligible": eligible, "rejected": rejected.collect::<serde_json::Result<Vec<_>>>()?}))
}

fn table(listing: &Listing) -> String {
    let eligible = listing.eligible.iter().map(|e| row(e, "eligible".to_string()));
    let rejected = listing.rejected.iter().map(|r| row(&r.device, r.reason.to_string()));
    let head = ["DEVICE", "SIZE", "TYPE", "MODEL", "SERIAL", "STATE"].map(str::to_string);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(eligible).chain(rejected).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn row(device: &BlockDevice, state: String) -> [String; 6] {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_string());
    [
        device.name.clone(),
        Bytes(device.size_bytes).to_string(),
        or_dash(&device.tran),
        or_dash(&device.model),
        or_dash(&device.serial),
        state,
    ]
}
