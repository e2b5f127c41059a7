//! A conductor that drives the agent end to end, with Redfish and HTTP boot.
//!
//! What it is made of:
//! - [`conductor`]: everything that requests and flows share; [`config`]: its options; [`enrolment`]: its nodes
//! - [`node`]: the record of a machine; [`state`]: its states; [`store`]: the database; [`token`]: who may speak for it
//! - [`api`]: Ironic's HTTP interface; [`error`]: its refusals; [`artefacts`]: files for machines
//! - [`flow`]: what happens between two stable states
//! - [`agent_client`]: commands to an agent
//! - [`driver`]: power and boot of a machine; [`ramdisk`]: what it boots, with parameters of its own; [`dhcp`]: where it
//!   is told so
//! - [`journal`], [`fault`]: what was seen, what is to go wrong
//! - [`server`]: all of it behind a socket
//! - [`demo`]: the whole life of one machine, on [`boot_image`]: a disk image that boots
//! - [`bmc`]: the Redfish emulator, in front of QEMU machines and local processes
//! - [`redfish`]: the Redfish client
//! - [`tls`]: one provider for all of them
//! - [`cli`]: one file per subcommand

pub mod agent_client;
pub mod api;
pub mod artefacts;
pub mod bmc;
pub mod boot_image;
pub mod cli;
pub mod clock;
pub mod conductor;
pub mod config;
pub mod demo;
pub mod dhcp;
pub mod driver;
pub mod enrolment;
pub mod error;
pub mod fault;
pub mod flow;
pub mod journal;
pub mod node;
pub mod ramdisk;
pub mod redfish;
pub mod server;
pub mod state;
pub mod store;
pub mod tls;
pub mod token;
