//! What end-to-end tests stand on: things that are made for one test and are gone after it, also when it fails.
//!
//! - [`loop_device`]: a disk
//! - [`image`], [`disk_image`], [`coreos_image`]: what is deployed to it, and what became of it
//! - [`process`]: a running program, and where ours are found; [`artefact`]: what `make` builds; [`deployment`]: a disk that
//!   was deployed
//! - [`conductor`]: the least that an agent takes for one
//! - [`network`]: a free port, waiting for a server; [`namespace`]: networks apart from the machine's own;
//!   [`wait`]: for anything else, never for ever
//! - [`terminal`]: a terminal as people see it; [`recording`]: what was seen, as a picture
//! - [`file_server`]: a web server; [`fault_server`]: one that misbehaves as told
//! - [`registry`]: a container registry; [`token_registry`]: one whose tokens do not last
//! - [`peers`]: the real programs that ours are compared with; [`ironic`]: the real conductor and its client
//! - [`vm`]: a virtual machine that runs one command; [`qemu`]: one that boots as a server does; [`qmp`]: what both are told
//!   while they run; [`live_iso`]: a live system; [`agent_box`]: a captured machine for an agent that could do harm

pub mod agent_box;
pub mod artefact;
pub mod certificates;
pub mod conductor;
pub mod coreos_image;
pub mod deployment;
pub mod disk_image;
pub mod fault_server;
pub mod file_server;
pub mod image;
pub mod ironic;
pub mod live_iso;
pub mod loop_device;
pub mod namespace;
pub mod network;
pub mod peers;
pub mod process;
pub mod proxy;
pub mod qemu;
pub mod qmp;
pub mod recording;
pub mod registry;
pub mod terminal;
pub mod token_registry;
pub mod vm;
pub mod wait;
