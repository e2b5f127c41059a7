//! The Ignition config that starts the agent, and the ways to bring it to a machine.
//!
//! - [`config`]: the config, from few words to JSON; [`document`], [`agent_conf`] and [`mod@unit`] are its parts
//! - [`image_reference`]: what names the agent's container image; [`host_name`]: what names a machine
//! - [`specification`]: what Ignition accepts; [`user_config`]: configs that others wrote; [`user_data`]: what is none
//! - [`live_iso`]: embed it, and kernel arguments, in an unmodified live ISO; [`archive`], [`iso9660`] and [`patch`]
//!   are what that needs
//! - [`uki`]: kernel arguments in a unified kernel image
//! - [`pxe`]: the same by network, an iPXE script; [`kernel_arguments`] keeps its lines in order

pub mod agent_conf;
pub mod archive;
pub mod config;
pub mod document;
pub mod host_name;
pub mod image_reference;
pub mod iso9660;
pub mod kernel_arguments;
pub mod live_iso;
pub mod patch;
pub mod pxe;
pub mod specification;
pub mod uki;
pub mod unit;
pub mod user_config;
pub mod user_data;
