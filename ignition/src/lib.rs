//! The Ignition config that starts the agent, and the ways to bring it to a machine.
//!
//! The config of a live system that runs the agent's container:
//!
//! ```
//! use ferric_ignition::config::{Agent, Further, Setup};
//! use ferric_ignition::document::Proxy;
//!
//! let setup = Setup {
//!     api_urls: vec!["https://192.0.2.1:6385".to_owned()],
//!     agent: Agent::Image {
//!         reference: "registry.example/ferric/agent:1".to_owned(),
//!         insecure_registry: false,
//!         pull_secret: None,
//!         mirrors: Vec::new(),
//!     },
//!     inspect: true,
//!     options: Vec::new(),
//!     ssh_keys: Vec::new(),
//!     hostname: None,
//!     network: Vec::new(),
//!     proxy: Proxy::default(),
//!     certificates: None,
//!     further: Further::default(),
//!     ip_options: None,
//! };
//! let json = serde_json::to_value(setup.document()?).unwrap();
//! assert_eq!(json["systemd"]["units"][0]["name"], "ferric-agent.service");
//! # Ok::<(), ferric_ignition::config::ConfigError>(())
//! ```
//!
//! - [`config`]: the config, from few words to JSON; [`document`], [`agent_conf`], [`mod@unit`] and
//!   [`directory`] are its parts
//! - [`image_reference`]: what names the agent's container image; [`host_name`]: what names a machine
//! - [`specification`]: what Ignition accepts; [`user_config`]: configs that others wrote; [`user_data`]: what is none
//! - [`customization`]: what a live system is given; [`keyfile`]: network connections, also from [`network_data`] and
//!   [`nmstate`]
//! - [`live_iso`]: embed it, and kernel arguments, in an unmodified live ISO; [`archive`], [`iso9660`] and [`patch`]
//!   are what that needs; [`minimal_iso`]: an ISO without root file system
//! - [`uki`]: kernel arguments in a unified kernel image
//! - [`live_initramfs`]: the same for network boot; [`pxe`]: an iPXE script; [`kernel_arguments`] keeps its lines in order
//! - `cli`: the program

pub mod agent_conf;
pub mod archive;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod customization;
pub mod directory;
pub mod document;
pub mod host_name;
pub mod image_reference;
pub mod iso9660;
pub mod kernel_arguments;
pub mod keyfile;
pub mod live_initramfs;
pub mod live_iso;
pub mod minimal_iso;
pub mod network_data;
#[cfg(feature = "cli")]
pub mod nmstate;
pub mod patch;
pub mod pxe;
pub mod specification;
pub mod uki;
pub mod unit;
pub mod user_config;
pub mod user_data;
