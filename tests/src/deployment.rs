//! A disk that conductor and agent, two processes, have deployed.

use std::path::Path;

use crate::process::program;
use anyhow::Result;
use conductor_stub::boot_image::BootImage;
use conductor_stub::demo::display::Display;
use conductor_stub::demo::machine::Machine;
use conductor_stub::demo::{Demo, default_cache};
use serde_json::json;

/// The programs under test.
pub fn programs() -> Demo {
    Demo { cache: default_cache(), agent: program("ferric-agent"), conductor: program("conductor-stub") }
}

/// Takes a machine whose only disk is `disk` through its life until `image` runs on it.
pub async fn deploy(disk: &Path, image: &BootImage) -> Result<()> {
    let work = tempfile::tempdir()?;
    let display = Display::new();
    let machine = Machine::start(&programs(), work.path(), disk).await?;
    let source = format!("file://{}", image.path.display());
    let life = async {
        machine.enrol().await?;
        machine.verb(json!({"target": "manage"}), "manageable", &display).await?;
        machine.verb(json!({"target": "provide"}), "available", &display).await?;
        machine.patch(json!([{"op": "add", "path": "/instance_info/image_source", "value": source}])).await?;
        machine.verb(json!({"target": "active"}), "active", &display).await
    };
    let result = life.await.map_err(|error| error.context(machine.logs()));
    machine.stop().await;
    result
}
