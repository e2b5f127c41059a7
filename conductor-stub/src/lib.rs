//! A conductor that drives the agent end to end, with Redfish and HTTP boot.
//!
//! Where a node is decides what may be done with it:
//!
//! ```
//! use conductor_stub::state::{Event, ProvisionState};
//!
//! assert_eq!(ProvisionState::Manageable.follow(Event::Provide)?, ProvisionState::Cleaning);
//! assert!(ProvisionState::Active.follow(Event::Provide).is_err());
//! # Ok::<(), conductor_stub::state::NoTransition>(())
//! ```
//!
//! What it is made of:
//! - [`clock`]: points in time; [`crash`]: where tests have it die; [`log`]: what is said on standard error; [`tls`] and
//!   [`http`]: the same for everybody who speaks either
//! - [`node`]: the record of a machine; [`state`]: its states; [`events`]: what changes; [`store`]: the database;
//!   [`token`]: who may speak for it; [`lock`]: who may change it; [`mask`]: what nobody is shown; [`metrics`]: what is
//!   counted
//! - [`settings_file`]: files that people write; [`state_dir`]: where all that is kept; [`files`]: what else on this host may be read; [`boot_url`]: what may be
//!   written into the configuration of others
//! - [`program`]: programs that make files
//! - [`media`]: what machines boot and write, every file once; [`coreos`]: CoreOS' own artefacts, and the agent on them
//! - [`urls`], [`artefacts`], [`ipxe`], [`ramdisk`], [`dhcp`]: what a machine boots and where it is told so;
//!   [`services`]: all of that for drivers
//! - [`redfish`]: the Redfish client
//! - [`driver`]: power and boot of a machine
//! - [`agent_client`]: commands to an agent; [`journal`]: what was seen and said; [`error`]: why requests are refused
//! - [`conductor`]: everything that requests and flows share; [`config`]: its options; [`enrolment`]: its nodes;
//!   [`consoles`]: what they print
//! - [`flow`]: what happens between two stable states
//! - [`page`]: what people see of it in a browser
//! - [`api`]: Ironic's HTTP interface
//! - [`server`]: all of it put together, behind a socket
//! - [`bmc`]: the Redfish emulator, in front of QEMU machines and local processes
//! - [`demo`]: the whole life of one machine, on [`boot_image`]: a disk image that boots
//! - [`lab`]: blank virtual machines with BMCs, and a conductor that knows them
//! - [`host`]: machines in the words of Metal3, by Ironic's API
//! - [`cli`]: one file per subcommand
//!
//! Every module knows only those above it in this list.

pub mod agent_client;
pub mod api;
pub mod artefacts;
pub mod bmc;
pub mod boot_image;
pub mod boot_url;
pub mod cli;
pub mod clock;
pub mod conductor;
pub mod config;
pub mod consoles;
pub mod coreos;
pub mod crash;
pub mod demo;
pub mod dhcp;
pub mod driver;
pub mod enrolment;
pub mod error;
pub mod events;
pub mod files;
pub mod flow;
pub mod host;
pub mod http;
pub mod ipxe;
pub mod journal;
pub mod lab;
pub mod lock;
pub mod log;
pub mod mask;
pub mod media;
pub mod metrics;
pub mod node;
pub mod page;
pub mod program;
pub mod ramdisk;
pub mod redfish;
pub mod server;
pub mod services;
pub mod settings_file;
pub mod state;
pub mod state_dir;
pub mod store;
pub mod tls;
pub mod token;
pub mod urls;
