//! What happens to a node between two stable states.
//!
//! A verb of the API, a heartbeat, inspection data or a timeout starts an operation; it holds the node's lock,
//! moves the node along the state machine and ends in a `… wait` state or a stable one.
//!
//! - [`task`]: one operation on one node; [`error`], [`failure`]: why it fails, and what is left then
//! - [`verb`]: what a client asked for; [`heartbeat`], [`inspection_data`]: what an agent has to say
//! - [`resume`]: where an operation goes on from what is written of it
//! - [`inspect`], [`clean`], [`deploy`], [`rescue`], [`service`]: the flows; [`boot_iso`]: deployments that are an ISO
//! - [`steps`]: listing, planning and running steps, the same for clean, deploy and service
//! - [`firmware`]: steps that change the settings of firmware; [`image`]: what the agent is told about an image; [`configdrive`]: the config drive
//! - [`fast_track`]: a ramdisk that is up already
//! - [`power`]: switching the machine within a flow, [`instance`]: at its end; [`virtual_media`]: media of a machine that runs its instance
//! - [`watch`]: what happens by itself: [`timeout`] for the machine that never calls, [`progress`] of running steps, [`detach`] for media
//!   that go; [`recovery`]: what the end of the last conductor cut off
//! - [`journey`]: the nodes of the configuration

pub mod allocation;
pub mod boot_iso;
pub mod clean;
pub mod configdrive;
pub mod deploy;
pub mod detach;
pub mod error;
pub mod failure;
pub mod fast_track;
pub mod firmware;
pub mod heartbeat;
pub mod image;
pub mod inspect;
pub mod inspection_data;
pub mod instance;
pub mod journey;
pub mod management;
pub mod power;
pub mod progress;
pub mod recovery;
pub mod rescue;
pub mod resume;
pub mod service;
pub mod steps;
pub mod task;
pub mod timeout;
pub mod verb;
pub mod virtual_media;
pub mod watch;
