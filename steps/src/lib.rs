//! What can be done to a machine. Knows nothing of the REST API or the conductor.
//!
//! An image on a disk, from a server, and nothing that could boot if its digest is another one:
//!
//! ```no_run
//! use ferric_hardware::block::{self, DevicePolicy};
//! use ferric_hardware::machine::Machine;
//! use ferric_steps::image::{self, Algorithm, Digest, Location, Verify, WriteRequest};
//! use ferric_steps::progress::Progress;
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let machine = Machine::host();
//! let policy = DevicePolicy { allowed: Some(vec!["/dev/loop0".into()]), skip: Vec::new() };
//! let device = block::list(&machine, &policy).find(&machine, "/dev/loop0")?.clone();
//! let digest = Digest::from_hex(Algorithm::Sha256, &"0".repeat(64))?;
//! let request = WriteRequest::new(vec![Location::parse("http://server/image.qcow2")?], device, Verify::Digest(digest));
//! image::write(request, &Progress::default(), &CancellationToken::new()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`options`]: the agent's options that change what steps do
//! - [`site`]: where work is done; [`step`]: a step under way
//! - [`arguments`]: what a step is given; [`offer`]: what a step is to Ironic
//! - [`catalogue`]: every step in one table, and its dispatch
//! - [`clean`]: erasing, RAID, burn-in
//! - [`deploy`]: what follows the writing of an image
//! - [`container_step`]: steps of container images
//! - [`plugin`]: steps of executables in a directory
//! - [`progress`]: how far something long has come
//! - [`image`]: the image pipeline, from a URL to the disk
//! - `leftover`: volumes of the disks' last owner, which stand in the way
//! - [`power`], [`flush`], [`clock`], [`lockdown`], [`rescue`], [`logs`]: what commands do to the machine outside of steps
//! - [`python`]: the words that errors share with the Python agent
//! - [`http`]: HTTP as a client; [`mod@fetch`]: documents that steps need by it; [`url_secrets`]: what of a URL nobody should read
//! - [`error`]: why a step failed

pub mod arguments;
mod boot_mode;
mod capability;
pub mod catalogue;
pub mod clean;
pub mod clock;
pub mod container_step;
pub mod deploy;
pub mod error;
pub mod fetch;
pub mod flush;
pub mod http;
pub mod image;
mod leftover;
pub mod lockdown;
pub mod logs;
mod loose;
pub mod offer;
pub mod options;
pub mod plugin;
pub mod power;
pub mod progress;
pub mod python;
pub mod rescue;
mod secret_file;
pub mod site;
pub mod step;
#[cfg(test)]
mod testing;
pub mod url_secrets;

pub use error::{ErrorKind, StepError};
