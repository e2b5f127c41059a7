//! The Ironic agent: the process that speaks with the conductor and does what it asks.
//!
//! What it is told comes from many places; the later ones win (kernel command line, files, environment, flags):
//!
//! ```
//! use ferric_agent::config::{Config, Sources};
//!
//! let mut sources = Sources::default();
//! sources.kernel.insert("ipa-image-download-connection-retries".to_owned(), "3".to_owned());
//! sources.environment.insert("OS_DEFAULT__IMAGE_DOWNLOAD_CONNECTION_RETRIES".to_owned(), "5".to_owned());
//! assert_eq!(Config::load(&sources)?.step_options().download.retries.count, 5);
//! # Ok::<(), ferric_agent::config::ConfigError>(())
//! ```
//!
//! A start goes through [`config`], [`inspection`], [`lookup`], [`tls`], [`server`] with [`api`], and [`heartbeat`];
//! [`run`](mod@run) has them in order. A request goes through [`api`], [`token`], [`command`] and, for steps, on to
//! `ferric_steps`. [`state`] carries the agent over a restart.
//!
//! Upwards: [`registry`] ← [`agent`](mod@agent) ← [`extension`] ← [`command`] ← [`api`] ← [`run`](mod@run).
//!
//! - [`cli`]: the subcommands of the program, one file each
//! - [`agent`](mod@agent): what all parts of the running agent share; [`registry`]: the commands and what came of them
//! - [`extension`]: what a command is; [`command`]: all of them
//! - [`inventory`], [`vlans`], [`logs`]: what the machine is, what its network gets, what it says
//! - [`ironic`]: talking to Ironic; [`discovery`]: finding it; [`address`]: where Ironic reaches us
//! - [`disks`]: waiting for the disk that will be used; [`virtual_media`]: configuration that comes with the boot medium;
//!   [`network`]: network configuration among it
//! - [`error`]: every error as the wire knows it; [`mask`]: what logs must not show; [`metrics`]

pub mod address;
pub mod agent;
pub mod api;
mod blocking;
pub mod cli;
pub mod command;
pub mod config;
pub mod discovery;
pub mod disks;
pub mod error;
pub mod extension;
pub mod heartbeat;
pub mod inspection;
pub mod inventory;
pub mod ironic;
pub mod logging;
pub mod logs;
pub mod lookup;
pub mod mask;
pub mod metrics;
pub mod network;
mod private_file;
pub mod registry;
pub mod run;
pub mod server;
pub mod state;
pub mod tls;
pub mod token;
pub mod virtual_media;
pub mod vlans;

/// What the conductor is told about us.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
