//! The Ironic agent: the process that speaks with the conductor and does what it asks.
//!
//! A start goes through [`config`], [`inspection`], [`lookup`], [`tls`], [`server`] with [`api`], and [`heartbeat`];
//! [`run`](mod@run) has them in order. A request goes through [`api`], [`token`], [`command`] and, for steps, on to
//! `ferric_steps`. [`state`] carries the agent over a restart.
//!
//! - [`cli`]: the subcommands of the program, one file each
//! - [`agent`](mod@agent): what all parts of the running agent share
//! - [`ironic`]: talking to Ironic; [`discovery`]: finding it; [`address`]: where Ironic reaches us
//! - [`disks`]: waiting for the disk that will be used; [`virtual_media`]: configuration that comes with the boot medium
//! - [`error`]: every error as the wire knows it; [`mask`]: what logs must not show; [`metrics`]

pub mod address;
pub mod agent;
pub mod api;
pub mod cli;
pub mod command;
pub mod config;
pub mod discovery;
pub mod disks;
pub mod error;
pub mod heartbeat;
pub mod inspection;
pub mod ironic;
pub mod logging;
pub mod lookup;
pub mod mask;
pub mod metrics;
pub mod run;
pub mod server;
pub mod state;
pub mod tls;
pub mod token;
pub mod virtual_media;

/// What the conductor is told about us.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
