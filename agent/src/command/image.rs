//! `image.*`: making the machine boot what was written.

use std::time::Duration;

use ferric_steps::arguments::FromArguments;
use ferric_steps::deploy::bootloader::{self, InstallBootloader};
use serde_json::Value;

use crate::error::Error;
use crate::extension::{Call, Command, Extension, Mode, PLAIN};

/// This command the conductor polls: at once, then every 6 s. An answer that comes just before its end would cost 6 s.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// `image`.
pub(super) const EXTENSION: Extension = Extension {
    name: "image",
    class: "ImageExtension",
    commands: &[Command {
        name: "install_bootloader",
        mode: Mode::Async,
        required: &["root_uuid"],
        optional: &["efi_system_part_uuid", "prep_boot_part_uuid", "target_boot_mode", "ignore_bootloader_failure"],
        linger: POLL_INTERVAL,
        run: |call| Box::pin(install_bootloader(call)),
        ..PLAIN
    }],
};

async fn install_bootloader(call: Call) -> Result<Value, Error> {
    let step = call.agent.step(&call.running, Value::Null);
    let wanted = InstallBootloader::from_arguments(&call.arguments, &step)?;
    Ok(bootloader::install_bootloader(&step, wanted).await?)
}
