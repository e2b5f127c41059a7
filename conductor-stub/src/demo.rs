//! The whole life of one machine on a disk that is gone afterwards: enrol, inspect, clean, deploy, verify.
//!
//! Conductor and agent are processes of their own and speak over TCP. Everything made here is owned by a value
//! that takes it away when it is dropped: on success, failure, Ctrl-C and panic alike.
//!
//! - [`disk`]: the loop device
//! - [`machine`]: the conductor's process and the one node
//! - [`display`]: what people see while they wait
//! - [`verify`]: the disk against the image
//! - [`table`]: what it came to

pub mod disk;
pub mod display;
pub mod machine;
pub mod table;
pub mod verify;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::boot_image::BootImage;
use disk::Disk;
use display::Display;
use machine::Machine;
use table::{Row, Table};

/// The size of the throw-away disk.
const DISK_BYTES: u64 = 2 << 30;

/// What a demonstration needs to know.
#[derive(Debug, Clone)]
pub struct Demo {
    /// Where the image is kept between runs.
    pub cache: PathBuf,
    /// The agent program.
    pub agent: PathBuf,
    /// This program.
    pub conductor: PathBuf,
}

impl Demo {
    /// Runs it and prints the table. Conductor, machine and disk are there until what this returns is stopped.
    ///
    /// # Errors
    /// What went wrong, with the end of the logs; everything has been taken away by then.
    pub async fn run(&self) -> Result<Deployed> {
        let mut table = Table::default();
        let display = Display::new();

        let start = Instant::now();
        display.say("building the image (once per kernel) and a 2 GiB disk");
        let cache = self.cache.clone();
        let image = tokio::task::spawn_blocking(move || BootImage::get(&cache)).await??;
        let work = tempfile::Builder::new().prefix("ferric-demo-").tempdir().context("making a working directory")?;
        let disk = Disk::new(work.path(), DISK_BYTES)?;
        table.add(Row::new(
            "prepare",
            start.elapsed(),
            &format!("an image of {} MiB and a disk of {} MiB", image.size_bytes >> 20, DISK_BYTES >> 20),
        ));

        let machine = Machine::start(self, work.path(), disk.path()).await?;
        display.say(&format!("conductor and its page: {}/", machine.url));
        let result = life(&machine, &display, &mut table, &image, &disk).await;
        display.done();
        if let Err(error) = result {
            let logs = machine.logs();
            machine.stop().await;
            bail!("{error:#}\n{logs}");
        }
        println!("{table}");
        Ok(Deployed { machine, _disk: disk, _work: work })
    }
}

/// A machine whose life was shown, and all that belongs to it.
#[derive(Debug)]
pub struct Deployed {
    machine: Machine,
    _disk: Disk,
    _work: tempfile::TempDir,
}

impl Deployed {
    /// The conductor's URL.
    pub fn url(&self) -> &str {
        &self.machine.url
    }

    /// Takes everything away.
    pub async fn stop(self) {
        self.machine.stop().await;
    }
}

async fn life(machine: &Machine, display: &Display, table: &mut Table, image: &BootImage, disk: &Disk) -> Result<()> {
    let start = Instant::now();
    machine.enrol().await?;
    machine.verb(json!({"target": "manage"}), "manageable", display).await?;
    table.add(Row::new("enrol", start.elapsed(), "enroll -> manageable"));

    let start = Instant::now();
    machine.verb(json!({"target": "inspect"}), "manageable", display).await?;
    let inventory = machine.get("/inventory").await?;
    table.add(Row::new("inspect", start.elapsed(), &summary(&inventory["inventory"])));

    let start = Instant::now();
    machine.verb(json!({"target": "provide"}), "available", display).await?;
    let steps = machine.steps_since(start).await?;
    table.add(Row::new("clean", start.elapsed(), &names(&steps)).bytes(bytes(&steps)));

    let start = Instant::now();
    machine
        .patch(json!([{"op": "add", "path": "/instance_info/image_source", "value": format!("file://{}", image.path.display())}]))
        .await?;
    let drive = json!({"meta_data": {"name": "demo", "local-hostname": "demo"}, "user_data": "#cloud-config\n"});
    machine.verb(json!({"target": "active", "configdrive": drive}), "active", display).await?;
    let steps = machine.steps_since(start).await?;
    table.add(Row::new("deploy", start.elapsed(), &names(&steps)));
    if let Some(write) = steps.iter().find(|step| step["text"] == "write_image") {
        let seconds = write["seconds"].as_f64().unwrap_or_default();
        let row =
            Row::new("  write_image", std::time::Duration::from_secs_f64(seconds), "sha256 verified by the agent");
        table.add(row.bytes(Some(image.size_bytes)));
    }

    let start = Instant::now();
    display.say("reading the disk back");
    let (path, device) = (image.path.clone(), disk.path().to_owned());
    let found = tokio::task::spawn_blocking(move || verify::compare(&path, &device)).await??;
    table.add(Row::new("verify", start.elapsed(), &found.to_string()).bytes(Some(found.compared_bytes)));
    Ok(())
}

fn summary(inventory: &Value) -> String {
    let count = |key: &str| inventory[key].as_array().map_or(0, Vec::len);
    format!(
        "{} {}, {} CPUs, {} MiB, {} disk(s), {} interface(s)",
        inventory["system_vendor"]["manufacturer"].as_str().unwrap_or("?"),
        inventory["system_vendor"]["product_name"].as_str().unwrap_or("?"),
        inventory["cpu"]["count"],
        inventory["memory"]["physical_mb"],
        count("disks"),
        count("interfaces")
    )
}

fn names(steps: &[Value]) -> String {
    let names: Vec<&str> = steps.iter().filter_map(|step| step["text"].as_str()).collect();
    names.join(", ")
}

fn bytes(steps: &[Value]) -> Option<u64> {
    let sum: u64 = steps.iter().filter_map(|step| step["done_bytes"].as_u64()).sum();
    (sum > 0).then_some(sum)
}

/// Where images are kept: `ferric` below the user's cache directory.
pub fn default_cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("XDG_CACHE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(|| Path::new("/var/cache").to_owned())
        .join("ferric")
}
