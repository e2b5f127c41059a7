//! `image.*`: making the machine boot what was written.

use std::sync::Arc;
use std::time::Duration;

use ferric_steps::arguments::FromArguments;
use ferric_steps::deploy::bootloader::{self, InstallBootloader};
use serde_json::Value;

use super::{Arguments, Command, Extension, Mode, PLAIN, Running};
use crate::agent::Agent;
use crate::error::Error;

/// This command the conductor polls: at once, then every 6 s. An answer that comes just before its end would cost 6 s.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// `image`.
pub const EXTENSION: Extension = Extension {
    name: "image",
    class: "ImageExtension",
    commands: &[Command {
        name: "install_bootloader",
        mode: Mode::Async,
        required: &["root_uuid"],
        optional: &["efi_system_part_uuid", "prep_boot_part_uuid", "target_boot_mode", "ignore_bootloader_failure"],
        linger: POLL_INTERVAL,
        run: |agent, arguments, running| Box::pin(install_bootloader(agent, arguments, running)),
        ..PLAIN
    }],
};

async fn install_bootloader(agent: Arc<Agent>, arguments: Arguments, running: Running) -> Result<Value, Error> {
    let step = agent.step(&running, Value::Null);
    let wanted = InstallBootloader::from_arguments(&arguments, &step)?;
    Ok(bootloader::install_bootloader(&step, wanted).await?)
}
